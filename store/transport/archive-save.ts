// Stored images → one tar that docker, podman and skopeo read. Streamed: headers and small files from memory, layers from
// where they lie.
import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { lstat, rename, rm } from 'node:fs/promises';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { hasCode } from '../content/faults.js';
import type { Store } from '../content/handle.js';
import { StoreError } from '../errors.js';
import { familiarName, formatReference, parseReference } from '../image/reference.js';
import type { Lease, StoredImage } from '../types.js';
import type { Descriptor, Digest } from '../words.js';
import { type ArchiveMember, packMembers } from './archive-pack.js';
import { containerdName, refName } from './blob-folder.js';
import type { CompressionChoice } from './compress.js';
import { encodeIndexJson, entryOf, layoutMarker } from './layout-export.js';
import { type OutgoingImage, prepareImage } from './outgoing.js';
import type { OnProgress } from './progress.js';

export interface NamedImage {
  readonly image: StoredImage;
  readonly names: readonly string[];
}

export interface SaveOptions extends Partial<CompressionChoice> {
  /** 'docker-archive' is what `docker load` has always read; 'oci-archive' keeps manifests and digests. */
  readonly format?: 'docker-archive' | 'oci-archive' | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Aborted, nothing is left at the target. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Deterministic: the same images and names give the same bytes. Layers that images share are written once.
 *
 * @param target a path (replaced when the archive is complete) or a stream such as standard output
 * @throws StoreError ARCHIVE_UNWRITABLE, BLOB_DAMAGED, SAVE_COMPRESSION
 */
export async function saveArchive(
  store: Store,
  lease: Lease,
  images: readonly NamedImage[],
  target: string | Writable,
  options: SaveOptions = {},
): Promise<void> {
  const { format = 'docker-archive', compression = 'none', level, onProgress, signal } = options;
  if (format === 'docker-archive' && compression !== 'none') {
    throw new StoreError('SAVE_COMPRESSION', {
      message: `layers of a docker-archive are not compressed, ${compression} was asked for`,
      hint: 'save as oci-archive, or compress the archive as a whole',
    });
  }
  const layout = format === 'oci-archive';
  const members = new Map<string, ArchiveMember>(
    layout
      ? [
          ['blobs', 'dir'],
          ['blobs/sha256', 'dir'],
        ]
      : [],
  );
  const parts: { named: NamedImage; outgoing: OutgoingImage }[] = [];
  for (const named of images) {
    const outgoing = await prepareImage(store, lease, named.image, { compression, level }, onProgress);
    parts.push({ named, outgoing });
    for (const { descriptor, path } of outgoing.layers) {
      const { digest, size } = descriptor;
      members.set(layout ? blobName(digest) : `${hex(digest)}.tar`, { path, size, digest });
    }
    const { configDigest } = named.image;
    members.set(layout ? blobName(configDigest) : `${hex(configDigest)}.json`, outgoing.config);
    if (layout) members.set(blobName(outgoing.manifest.descriptor.digest), outgoing.manifest.bytes);
  }
  if (layout) {
    const entries = parts.flatMap(({ named, outgoing }) => indexEntries(named, outgoing));
    members.set('oci-layout', layoutMarker);
    members.set('index.json', encodeIndexJson(entries));
  } else {
    members.set('manifest.json', Buffer.from(JSON.stringify(parts.map(dockerEntry))));
  }
  await writeTo(target, packMembers(members), signal);
}

/** @see moby, image/spec/v1.2.md: manifest.json */
function dockerEntry({ named, outgoing }: { named: NamedImage; outgoing: OutgoingImage }): unknown {
  return {
    Config: `${hex(named.image.configDigest)}.json`,
    RepoTags: named.names.map(familiarName),
    Layers: outgoing.layers.map(({ descriptor }) => `${hex(descriptor.digest)}.tar`),
  };
}

/** One entry a name. containerd and docker look at the one annotation, podman and skopeo at the other. */
function indexEntries({ image, names }: NamedImage, outgoing: OutgoingImage): Descriptor[] {
  if (names.length === 0) return [entryOf(image, outgoing, undefined)];
  return names.map((text) => {
    const name = formatReference(parseReference(text));
    return { ...entryOf(image, outgoing, name), annotations: { [refName]: name, [containerdName]: name } };
  });
}

function blobName(digest: Digest): string {
  return `blobs/sha256/${hex(digest)}`;
}

function hex(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

async function writeTo(
  target: string | Writable,
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const abortable = { ...(signal && { signal }) };
  const source = Readable.from(bytes, { objectMode: false, highWaterMark: 1 << 20 });
  if (typeof target !== 'string') return pipeline(source, target, abortable);
  try {
    if (await isSpecial(target)) return await pipeline(source, createWriteStream(target), abortable);
    const temp = `${target}.${randomUUID()}`;
    try {
      await pipeline(source, createWriteStream(temp, { flags: 'wx' }), abortable);
      await rename(temp, target);
    } finally {
      await rm(temp, { force: true });
    }
  } catch (error) {
    const reason = unwritable[(error as NodeJS.ErrnoException).code ?? ''];
    if (reason === undefined) throw error;
    throw new StoreError('ARCHIVE_UNWRITABLE', {
      message: `${target} can't be written: ${reason}`,
      hint: 'name a file in a directory that you may write to, on a disk with room',
      cause: error,
    });
  }
}

const unwritable: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such directory',
  ENOTDIR: 'a part of the path is no directory',
  EISDIR: 'it is a directory',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EROFS: 'the filesystem is read-only',
  ENOSPC: 'no space left',
  EDQUOT: 'the disk quota is used up',
};

/** A pipe or a device is written to, not replaced. */
async function isSpecial(path: string): Promise<boolean> {
  try {
    const facts = await lstat(path);
    return !facts.isFile() && !facts.isDirectory() && !facts.isSymbolicLink();
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}
