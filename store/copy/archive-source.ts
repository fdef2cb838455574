// Archives as sources of a copy, read in place: an OCI layout in a tar, or what docker save writes.
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { decompressWithin, openGrowthLimit } from '../content/growth-limit.js';
import { StoreError } from '../errors.js';
import { parseConfig, parseImageDocument } from '../image/document.js';
import { descriptorOf, encodeManifest } from '../image/images.js';
import {
  archiveFolder,
  type DockerEntry,
  isLayoutArchive,
  layerMembers,
  readDockerManifest,
} from '../transport/archive-load.js';
import { type Archive, invalid, openArchive } from '../transport/archive-members.js';
import { type BlobFolder, rootOfFolder } from '../transport/blob-folder.js';
import { type Descriptor, type Digest, mediaTypes } from '../words.js';
import type { Document, ImageSource, Scratch } from './image-source.js';
import { folderSource } from './layout-image.js';
import { skipping } from './write-blob.js';

/** @throws StoreError ARCHIVE_*, LAYOUT_* */
export async function openOciArchiveSource(
  scratch: Scratch,
  source: string | Readable,
  tag: string | undefined,
): Promise<ImageSource> {
  const archive = await openArchive(scratch, source);
  if (isLayoutArchive(archive)) return folderSource(await archiveFolder(archive), tag);
  throw new StoreError('ARCHIVE_INVALID', {
    message: `${archive.name}: it has no index.json`,
    hint: archive.has('manifest.json')
      ? `it is of the kind that docker save writes: docker-archive:${archive.name}`
      : "it should be what 'skopeo copy … oci-archive:' or 'tsbuild save --format oci-archive' writes",
  });
}

/**
 * docker save writes a layout beside its own manifest.json today: that one has the digests, where all it names is there.
 *
 * @throws StoreError ARCHIVE_*, LAYOUT_*
 */
export async function openDockerArchiveSource(
  scratch: Scratch,
  source: string | Readable,
  name: string | undefined,
): Promise<ImageSource> {
  const archive = await openArchive(scratch, source);
  if (isLayoutArchive(archive)) {
    const folder = await archiveFolder(archive);
    if (await isComplete(archive, folder, name)) return folderSource(folder, name);
  }
  if (!archive.has('manifest.json')) throw invalid(archive.name, 'it has no manifest.json');
  const entry = entryNamed(await readDockerManifest(archive), name, archive.name);
  return dockerSource(archive, entry, name, scratch);
}

/** False where an index names images of other platforms that were not saved, or the name is not there. */
async function isComplete(archive: Archive, folder: BlobFolder, name: string | undefined): Promise<boolean> {
  try {
    const root = await rootOfFolder(folder, name);
    const document = parseImageDocument(root.bytes, archive.name, root.descriptor.mediaType);
    const parts = (manifest: { config: Descriptor; layers: readonly Descriptor[] }): readonly Descriptor[] => [
      manifest.config,
      ...manifest.layers,
    ];
    if (document.kind === 'manifest') return parts(document.manifest).every(isHere);
    for (const entry of document.index.manifests) {
      if (!isHere(entry)) return false;
      const child = parseImageDocument(await folder.readDocument(entry), archive.name);
      if (child.kind === 'index' || !parts(child.manifest).every(isHere)) return false;
    }
    return true;
  } catch (error) {
    if (error instanceof StoreError && error.code.startsWith('LAYOUT_TAG_')) return false;
    throw error;
  }

  function isHere({ digest }: Descriptor): boolean {
    return archive.has(`blobs/sha256/${digest.slice('sha256:'.length)}`);
  }
}

/** @throws StoreError LAYOUT_TAG_UNKNOWN, LAYOUT_TAG_NEEDED */
function entryNamed(entries: readonly DockerEntry[], name: string | undefined, archive: string): DockerEntry {
  const isNamed = (full: string): boolean =>
    full === name || full.endsWith(`/${name}`) || full.endsWith(`:${name}`) || `docker.io/library/${full}` === name;
  const byIndex = /^@(\d+)$/.exec(name ?? '')?.[1];
  const found =
    name === undefined
      ? entries
      : entries.filter((entry, i) => (byIndex === undefined ? entry.names.some(isNamed) : i === Number(byIndex)));
  const only = found[0];
  if (only !== undefined && new Set(found.map(({ config }) => config)).size === 1) return only;
  const names = entries.flatMap((entry) => entry.names).slice(0, 12);
  throw new StoreError(only === undefined ? 'LAYOUT_TAG_UNKNOWN' : 'LAYOUT_TAG_NEEDED', {
    message: only === undefined ? `${archive} has no image ${name}` : `${archive} holds ${found.length} images`,
    hint: names.length > 0 ? `it has ${names.join(', ')}: ${archive}:NAME` : `say which one: ${archive}:@0`,
  });
}

/** Such an archive has no manifest; one over the uncompressed layers stands in. */
async function dockerSource(
  archive: Archive,
  entry: DockerEntry,
  name: string | undefined,
  scratch: Scratch,
): Promise<ImageSource> {
  const configBytes = await archive.read(entry.config);
  const config = parseConfig(configBytes, `${entry.config} of ${archive.name}`);
  const members = layerMembers(archive, entry, config);
  const opened = new Map<Digest, { size: number; stream(): AsyncIterable<Uint8Array> }>();
  for (const [diffId, member] of members) {
    opened.set(diffId, await plainLayer(archive, member, scratch));
  }
  const layers = config.rootfs.diff_ids.map((digest) => ({
    mediaType: mediaTypes.ociLayer,
    digest,
    size: opened.get(digest)!.size,
  }));
  const bytes = encodeManifest(configBytes, layers, {});
  const root: Document = { descriptor: descriptorOf(bytes, mediaTypes.ociManifest), bytes };
  return {
    name: name === undefined ? archive.name : `${archive.name}:${name}`,
    isMadeUp: true,
    root: async () => root,
    readDocument: async () => configBytes,
    openBlob(blob, start = 0) {
      const stream = opened.get(blob.digest)?.stream() ?? once(configBytes);
      return start === 0 ? stream : skipping(stream, start);
    },
    repositoriesAt: () => [],
    close: async () => {},
  };
}

/** Some tools write compressed layers into such an archive: what they unpack to has to be known in advance. */
async function plainLayer(
  archive: Archive,
  member: string,
  scratch: Scratch,
): Promise<{ size: number; stream(): AsyncIterable<Uint8Array> }> {
  const head = await firstBytes(archive.stream(member));
  if (!/^(1f8b|28b52ffd|425a68|fd377a58)/.test(head.toString('hex'))) {
    return { size: archive.size(member), stream: () => archive.stream(member) };
  }
  const path = scratch.path('layer');
  const file = await open(path, 'wx', 0o600);
  let size = 0;
  try {
    const limit = openGrowthLimit(dirname(path), scratch.maxLayerBytes);
    for await (const chunk of decompressWithin(limit, archive.stream(member))) {
      size += chunk.length;
      await file.writeFile(chunk);
    }
  } finally {
    await file.close();
  }
  return { size, stream: () => createReadStream(path, { highWaterMark: 1 << 20 }) };
}

async function firstBytes(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  for await (const chunk of stream) return Buffer.from(chunk.subarray(0, 4));
  return Buffer.alloc(0);
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}
