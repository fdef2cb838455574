// From the root document of an image (index or manifest) to the manifest and config for one platform. The same walk for
// the store, layouts, archives and registries: they only differ in how a blob is read.
import { createHash } from 'node:crypto';
import { StoreError } from '../errors.js';
import type { Descriptor, Digest, ImageConfig, ImageIndex, Manifest, Platform } from '../words.js';
import { type ImageDocument, parseConfig, parseImageDocument, requireSameLayerCount } from './document.js';
import { descriptorPlatform, isAttestation, platformRank } from './platform.js';
import { formatPlatform } from './platform-names.js';
import { maxDocumentBytes } from './strict-json.js';

/** An image's documents, exactly as published and checked; its layers may be elsewhere yet. */
export interface ResolvedImage {
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly manifestBytes: Buffer;
  readonly config: ImageConfig;
  readonly configBytes: Buffer;
}

/** Reads a manifest, index or config. What it returns is checked against the descriptor by the caller. */
export type ReadDocument = (descriptor: Descriptor) => Promise<Buffer>;

const maxIndexDepth = 4;
/** An index may list the same entry many times over, at every depth: what counts is how much is read. */
const maxDocuments = 200;

/**
 * An index is resolved to its best entry for `platform`; a plain manifest is what it is, whatever its platform.
 *
 * @param name the image's name for messages
 * @throws StoreError PLATFORM_NOT_IN_INDEX, PLATFORM_NEEDED, IMAGE_INDEX_TOO_DEEP, BLOB_DIGEST_MISMATCH,
 *   BLOB_SIZE_MISMATCH; those of the document parsers
 */
export async function resolveImage(
  root: Descriptor,
  platform: Platform | undefined,
  name: string,
  read: ReadDocument,
): Promise<ResolvedImage> {
  let documents = 0;
  const readBounded: ReadDocument = (descriptor) => {
    documents += 1;
    if (documents > maxDocuments) throw tooDeep(name, `refers to more than ${maxDocuments} documents`);
    return read(descriptor);
  };
  const open = async (descriptor: Descriptor, depth: number): Promise<ResolvedImage> => {
    if (depth > maxIndexDepth) throw tooDeep(name, `is an index nested more than ${maxIndexDepth} deep`);
    const { bytes, document } = await readImageDocument(descriptor, name, readBounded);
    if (document.kind === 'manifest') return readConfig(descriptor.digest, document.manifest, bytes, name, readBounded);
    return chooseEntry(document.index, platform, name, (entry) => open(entry, depth + 1));
  };
  return open(root, 0);
}

function tooDeep(name: string, problem: string): StoreError {
  return new StoreError('IMAGE_INDEX_TOO_DEEP', { message: `${name} ${problem}` });
}

/** @throws StoreError BLOB_DIGEST_MISMATCH, BLOB_SIZE_MISMATCH; those of parseImageDocument */
async function readImageDocument(
  descriptor: Descriptor,
  name: string,
  read: ReadDocument,
): Promise<{ bytes: Buffer; document: ImageDocument }> {
  const bytes = await readChecked(descriptor, `the manifest of ${name}`, read);
  return { bytes, document: parseImageDocument(bytes, `the manifest of ${name}`, descriptor.mediaType) };
}

async function readConfig(
  digest: Digest,
  manifest: Manifest,
  manifestBytes: Buffer,
  name: string,
  read: ReadDocument,
): Promise<ResolvedImage> {
  const configBytes = await readChecked(manifest.config, `the config of ${name}`, read);
  const config = parseConfig(configBytes, `the config of ${name}`);
  requireSameLayerCount(manifest, config, name);
  return { digest, manifest, manifestBytes, config, configBytes };
}

async function readChecked(descriptor: Descriptor, what: string, read: ReadDocument): Promise<Buffer> {
  if (descriptor.size > maxDocumentBytes) {
    throw new StoreError('IMAGE_DOCUMENT_INVALID', { message: `${what} is larger than ${maxDocumentBytes} bytes` });
  }
  const bytes = await read(descriptor);
  requireBytes(bytes, descriptor, what);
  return bytes;
}

/** @throws StoreError BLOB_DIGEST_MISMATCH, BLOB_SIZE_MISMATCH */
export function requireBytes(bytes: Uint8Array, descriptor: Descriptor, what: string): void {
  if (bytes.length !== descriptor.size) {
    throw new StoreError('BLOB_SIZE_MISMATCH', {
      message: `${what} (${descriptor.digest}) has ${bytes.length} bytes, ${descriptor.size} were announced`,
    });
  }
  const found = sha256(bytes);
  if (found === descriptor.digest) return;
  throw new StoreError('BLOB_DIGEST_MISMATCH', {
    message: `${what} should have the digest ${descriptor.digest}, its bytes have ${found}`,
    hint: 'it was damaged or exchanged on its way; fetch it again',
  });
}

export function sha256(bytes: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** The entry for `platform`; entries that name none (buildah and skopeo leave it out in layouts) are opened to learn theirs. */
async function chooseEntry(
  index: ImageIndex,
  platform: Platform | undefined,
  name: string,
  open: (entry: Descriptor) => Promise<ResolvedImage>,
): Promise<ResolvedImage> {
  const images = index.manifests.filter((entry) => !isAttestation(entry) && entry.artifactType === undefined);
  const only = images[0];
  if (platform === undefined) {
    if (images.length === 1 && only !== undefined) return open(only);
    const offered = images.map(descriptorPlatform).filter((offer) => offer !== null);
    throw new StoreError('PLATFORM_NEEDED', {
      message: `${name} is an index of ${images.length} images: ${listing(offered)}`,
      hint: 'say which one with --platform',
    });
  }
  const best = bestOf(images, (entry) => rankOf(descriptorPlatform(entry), platform));
  if (best !== null) return open(best);
  const opened: ResolvedImage[] = [];
  for (const entry of images.filter((image) => descriptorPlatform(image) === null)) {
    const image = await openIfOffered(entry, open);
    if (image !== null) opened.push(image);
  }
  const learned = bestOf(opened, (image) => platformRank(platform, image.config));
  if (learned !== null) return learned;
  throw notInIndex(name, platform, [
    ...images.map(descriptorPlatform).filter((offer) => offer !== null),
    ...opened.map((image) => image.config),
  ]);
}

/** Null for a nested index without the platform: another entry may have it. */
async function openIfOffered(
  entry: Descriptor,
  open: (entry: Descriptor) => Promise<ResolvedImage>,
): Promise<ResolvedImage | null> {
  try {
    return await open(entry);
  } catch (error) {
    if (error instanceof StoreError && error.code === 'PLATFORM_NOT_IN_INDEX') return null;
    throw error;
  }
}

function rankOf(offered: Platform | null, wanted: Platform): number {
  return offered === null ? 0 : platformRank(wanted, offered);
}

/** The first of those with the highest rank above 0. */
function bestOf<T>(items: readonly T[], rank: (item: T) => number): T | null {
  let best: T | null = null;
  let bestRank = 0;
  for (const item of items) {
    const itsRank = rank(item);
    if (itsRank > bestRank) [best, bestRank] = [item, itsRank];
  }
  return best;
}

function notInIndex(name: string, wanted: Platform, offered: readonly Platform[]): StoreError {
  const first = offered[0];
  return new StoreError('PLATFORM_NOT_IN_INDEX', {
    message: `${name} is ${listing(offered)}, not ${formatPlatform(wanted)}`,
    hint:
      first === undefined
        ? 'it holds no image at all'
        : `build with --platform ${formatPlatform(first)}, or use an image that is published for ${formatPlatform(wanted)}`,
  });
}

function listing(platforms: readonly Platform[]): string {
  const names = [...new Set(platforms.map(formatPlatform))];
  if (names.length === 0) return 'for no platform';
  const shown = names.slice(0, 12);
  return names.length > shown.length ? `${shown.join(', ')} and ${names.length - shown.length} more` : shown.join(', ');
}
