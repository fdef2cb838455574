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
import { descriptorOf } from '../image/images.js';
import { familiarName, formatReference, parseReference } from '../image/reference.js';
import type { Lease } from '../types.js';
import type { Descriptor, Digest } from '../words.js';
import { type ArchiveMember, packMembers } from './archive-pack.js';
import { containerdName, refName } from './blob-folder.js';
import type { Compression, CompressionChoice } from './compress.js';
import { encodeIndexJson, layoutMarker } from './layout-export.js';
import { imageOf, type Outgoing, prepareBlobs, prepareImage } from './outgoing.js';
import type { OnProgress } from './progress.js';

export type NamedImage = Outgoing & {
  readonly names: readonly string[];
  /** Of the entries that list it. */
  readonly annotations?: Readonly<Record<string, string>> | undefined;
};

export interface SaveOptions {
  /** 'own': the forms that the images' manifests name. */
  readonly compression?: Compression | 'own' | undefined;
  readonly level?: number | undefined;
  /**
   * 'docker-archive' is what `docker load` has always read; 'oci-archive' keeps manifests and digests; 'both' is an
   * oci-archive that `docker load` of any age reads too, as BuildKit writes one for docker.
   */
  readonly format?: 'docker-archive' | 'oci-archive' | 'both' | undefined;
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
  const choice = compression === 'own' ? null : { compression, level };
  const members =
    format === 'docker-archive'
      ? await dockerMembers(store, lease, images, onProgress)
      : await layoutMembers(store, lease, images, choice, onProgress);
  if (format === 'both') members.set('manifest.json', encodeDockerIndex(dockerEntries(images, members)));
  await writeTo(target, packMembers(members), signal);
}

type Members = Map<string, ArchiveMember>;

async function dockerMembers(
  store: Store,
  lease: Lease,
  images: readonly NamedImage[],
  onProgress: OnProgress | undefined,
): Promise<Members> {
  const members: Members = new Map();
  const entries: DockerEntry[] = [];
  for (const named of images) {
    const { names } = named;
    const image = imageOf(named);
    const { config, layers } = await prepareImage(store, lease, image, { compression: 'none' }, onProgress);
    for (const { descriptor, path } of layers) {
      const { digest, size } = descriptor;
      members.set(`${hex(digest)}.tar`, { path, size, digest });
    }
    members.set(`${hex(image.configDigest)}.json`, config);
    entries.push({
      Config: `${hex(image.configDigest)}.json`,
      RepoTags: names.map(familiarName),
      Layers: layers.map(({ descriptor }) => `${hex(descriptor.digest)}.tar`),
    });
  }
  members.set('manifest.json', encodeDockerIndex(entries));
  return members;
}

/** @see moby, image/spec/v1.2.md: manifest.json */
interface DockerEntry {
  readonly Config: string;
  readonly RepoTags: readonly string[];
  readonly Layers: readonly string[];
}

function encodeDockerIndex(entries: readonly DockerEntry[]): Buffer {
  return Buffer.from(JSON.stringify(entries));
}

async function layoutMembers(
  store: Store,
  lease: Lease,
  images: readonly NamedImage[],
  choice: CompressionChoice | null,
  onProgress: OnProgress | undefined,
): Promise<Members> {
  const members: Members = new Map([
    ['blobs', 'dir'],
    ['blobs/sha256', 'dir'],
  ]);
  const entries: Descriptor[] = [];
  for (const named of images) {
    const { root, documents, files } = await prepareBlobs(store, lease, named, choice, onProgress);
    for (const bytes of documents) members.set(blobName(descriptorOf(bytes, '').digest), bytes);
    for (const { descriptor, path } of files) {
      const { digest, size } = descriptor;
      members.set(blobName(digest), { path, size, digest });
    }
    entries.push(...indexEntries(named, root));
  }
  members.set('oci-layout', layoutMarker);
  members.set('index.json', encodeIndexJson(entries));
  return members;
}

/** The same images again, by the names of their blobs. */
function dockerEntries(images: readonly NamedImage[], members: Members): DockerEntry[] {
  return images.map((named) => {
    const { names } = named;
    const { config, layers } = imageOf(named).manifest;
    const places = [config, ...layers].map(({ digest }) => blobName(digest));
    if (!places.every((place) => members.has(place))) throw new Error('the archive has an image in another form');
    const [Config = '', ...Layers] = places;
    return { Config, RepoTags: names.map(familiarName), Layers };
  });
}

/** One entry a name. containerd and docker look at the one annotation, podman and skopeo at the other. */
function indexEntries({ names, annotations = {} }: NamedImage, root: Descriptor): Descriptor[] {
  if (names.length === 0) return [Object.keys(annotations).length > 0 ? { ...root, annotations } : root];
  return names.map((text) => {
    const name = formatReference(parseReference(text));
    return { ...root, annotations: { ...annotations, [refName]: name, [containerdName]: name } };
  });
}

function blobName(digest: Digest): string {
  return `blobs/sha256/${hex(digest)}`;
}

function hex(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

/** A file appears when it is complete. @throws StoreError ARCHIVE_UNWRITABLE */
export async function writeTo(
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
    throw unwritableArchive(target, error);
  }
}

/** What a failure to write there means; other errors as they are. */
export function unwritableArchive(path: string, error: unknown): unknown {
  const reason = unwritable[(error as NodeJS.ErrnoException).code ?? ''];
  if (reason === undefined) return error;
  return new StoreError('ARCHIVE_UNWRITABLE', {
    message: `${path} can't be written: ${reason}`,
    hint: 'name a file in a directory that you may write to, on a disk with room',
    cause: error,
  });
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
