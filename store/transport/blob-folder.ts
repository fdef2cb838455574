// An OCI image layout, in a directory or in an archive: index.json and blobs by digest.
// @see OCI image-spec v1.1, image-layout.md
import { StoreError } from '../errors.js';
import { parseImageDocument } from '../image/document.js';
import { descriptorOf } from '../image/images.js';
import { plainText } from '../image/plain-text.js';
import { descriptorPlatform, isAttestation, platformRank } from '../image/platform.js';
import { formatPlatform } from '../image/platform-names.js';
import { type ReadDocument, type ResolvedImage, requireBytes, resolveImage } from '../image/resolve.js';
import { canonicalJson } from '../image/strict-json.js';
import { type Descriptor, type ImageIndex, mediaTypes, type Platform } from '../words.js';

/** Where a layout's files are read from; the digests of blobs are checked by the reader. */
export interface BlobFolder {
  /** For messages: its path. */
  readonly name: string;
  readonly index: ImageIndex;
  readDocument(blob: Descriptor): Promise<Buffer>;
  open(blob: Descriptor): AsyncIterable<Uint8Array>;
}

export const refName = 'org.opencontainers.image.ref.name';
export const containerdName = 'io.containerd.image.name';

/** @throws StoreError LAYOUT_INVALID; IMAGE_* of parseImageDocument */
export function parseLayoutIndex(bytes: Buffer, name: string): ImageIndex {
  const document = parseImageDocument(bytes, `index.json of ${name}`);
  if (document.kind === 'index') return document.index;
  throw new StoreError('LAYOUT_INVALID', { message: `index.json of ${name} is a manifest, not an index` });
}

/**
 * The image of a layout that `tag` names; without a tag the only one, or the only one for the platform.
 *
 * @throws StoreError LAYOUT_TAG_UNKNOWN, LAYOUT_TAG_NEEDED, LAYOUT_EMPTY; those of resolveImage
 */
export async function resolveInFolder(
  folder: BlobFolder,
  tag: string | undefined,
  platform: Platform | undefined,
): Promise<ResolvedImage> {
  const images = folder.index.manifests.filter((entry) => !isAttestation(entry));
  if (images.length === 0) throw new StoreError('LAYOUT_EMPTY', { message: `${folder.name} holds no image` });
  const entries = tag === undefined ? images : images.filter((entry) => hasName(entry, tag));
  if (entries.length === 0) throw tagUnknown(folder.name, tag ?? '', images);
  if (tag === undefined) requireOneChoice(folder.name, images, platform);
  const name = tag === undefined ? folder.name : `${folder.name}:${tag}`;
  return resolveEntries(entries, platform, name, (blob) => folder.readDocument(blob));
}

/**
 * The document that `tag` names, as a whole; without a tag the only one. Entries that share a name come in an index made up of
 * them.
 *
 * @throws StoreError LAYOUT_TAG_UNKNOWN, LAYOUT_TAG_NEEDED, LAYOUT_EMPTY
 */
export async function rootOfFolder(
  folder: BlobFolder,
  tag: string | undefined,
): Promise<{ readonly descriptor: Descriptor; readonly bytes: Buffer }> {
  const all = folder.index.manifests;
  const images = all.filter((entry) => !isAttestation(entry));
  if (images.length === 0) throw new StoreError('LAYOUT_EMPTY', { message: `${folder.name} holds no image` });
  const entries = tag === undefined ? images : images.filter((entry) => entry.digest === tag || hasName(entry, tag));
  const only = entries[0];
  if (only === undefined) throw tagUnknown(folder.name, tag ?? '', images);
  if (tag === undefined) requireOneChoice(folder.name, images, undefined);
  if (entries.every(({ digest }) => digest === only.digest)) {
    const { mediaType, digest, size } = only;
    const bytes = await folder.readDocument(only);
    requireBytes(bytes, only, `the manifest of ${folder.name}`);
    return { descriptor: { mediaType, digest, size }, bytes };
  }
  const mediaType = mediaTypes.ociIndex;
  const bytes = canonicalJson({ schemaVersion: 2, mediaType, manifests: tag === undefined ? all : entries });
  return { descriptor: descriptorOf(bytes, mediaType), bytes };
}

/** Entries that share a name are one image for several platforms; a single entry is taken whatever its platform. */
export async function resolveEntries(
  entries: readonly Descriptor[],
  platform: Platform | undefined,
  name: string,
  read: ReadDocument,
): Promise<ResolvedImage> {
  const only = entries[0];
  if (only !== undefined && entries.every((entry) => entry.digest === only.digest)) {
    return resolveImage(only, platform, name, read);
  }
  const bytes = canonicalJson({ schemaVersion: 2, manifests: entries });
  const root = descriptorOf(bytes, mediaTypes.ociIndex);
  return resolveImage(root, platform, name, async (wanted) => (wanted.digest === root.digest ? bytes : read(wanted)));
}

/** 'app:1' and '1' both find an entry named 'app:1' or 'docker.io/library/app:1'. */
function hasName(entry: Descriptor, tag: string): boolean {
  return namesOfEntry(entry).some((name) => name === tag || name.endsWith(`:${tag}`) || name.endsWith(`/${tag}`));
}

export function namesOfEntry(entry: Descriptor): string[] {
  const names = [entry.annotations?.[containerdName], entry.annotations?.[refName]];
  return [...new Set(names.filter((name): name is string => name !== undefined && name !== ''))];
}

/** Several names and no tag: only the platform can still tell which one is meant. */
function requireOneChoice(name: string, images: readonly Descriptor[], platform: Platform | undefined): void {
  const digests = new Set(images.map((entry) => entry.digest));
  if (digests.size === 1) return;
  const platforms = images.map(descriptorPlatform);
  const named = new Set(images.map((entry) => namesOfEntry(entry)[0] ?? ''));
  const fitting = new Set(
    images
      .filter((_, i) => platform !== undefined && platforms[i] != null && platformRank(platform, platforms[i]!) > 0)
      .map((entry) => entry.digest),
  );
  if (named.size === 1 || (fitting.size === 1 && !platforms.includes(null))) return;
  throw new StoreError('LAYOUT_TAG_NEEDED', {
    message: `${name} holds ${digests.size} images: ${listed(images)}`,
    hint: `say which one: ${name}:TAG`,
  });
}

function tagUnknown(name: string, tag: string, images: readonly Descriptor[]): StoreError {
  return new StoreError('LAYOUT_TAG_UNKNOWN', {
    message: `${name} has no image ${JSON.stringify(tag)}, it has ${listed(images)}`,
    hint: 'give one of these tags, or none where there is one image',
  });
}

function listed(images: readonly Descriptor[]): string {
  const names = images.map((entry) => {
    const platform = descriptorPlatform(entry);
    return `${plainText(namesOfEntry(entry)[0] ?? entry.digest)}${platform === null ? '' : ` (${formatPlatform(platform)})`}`;
  });
  const shown = [...new Set(names)];
  return shown.length > 12 ? `${shown.slice(0, 12).join(', ')} and ${shown.length - 12} more` : shown.join(', ');
}
