// A stored image → an OCI image layout directory. An existing layout gains the image; index.json is replaced last, in one rename.
import { createHash, randomUUID } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import {
  copyFile,
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '../content/faults.js';
import type { Store } from '../content/handle.js';
import { makePath } from '../content/make-path.js';
import { otherDigest, readFailure } from '../damage.js';
import { StoreError } from '../errors.js';
import { descriptorOf } from '../image/images.js';
import type { StoredIndex } from '../image/indexes.js';
import type { Lease, StoredImage } from '../types.js';
import { type Descriptor, type Digest, type ImageIndex, mediaTypes } from '../words.js';
import { parseLayoutIndex, refName } from './blob-folder.js';
import type { Compression } from './compress.js';
import { prepareBlobs } from './outgoing.js';
import { inParallel, type OnProgress } from './progress.js';

export interface ExportOptions {
  /** 'own': the forms that the image's manifest names. */
  readonly compression?: Compression | 'own' | undefined;
  readonly level?: number | undefined;
  /** The index that the image is in, to be written as a whole. */
  readonly index?: StoredIndex | undefined;
  /** Of the entry that lists it. */
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  /** Name of the image in the layout; an image that has it already there loses it. */
  readonly tag?: string | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Aborted, the layout is as it was, but for whole blobs. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Layers are written uncompressed unless asked otherwise: as reflinks of the store's files where the filesystem can.
 *
 * @returns digest of the manifest, or of the index, in the layout
 * @throws StoreError LAYOUT_DIR_NOT_EMPTY, LAYER_DAMAGED, BLOB_DAMAGED
 */
export async function exportLayout(
  store: Store,
  lease: Lease,
  image: StoredImage,
  dir: string,
  options: ExportOptions = {},
): Promise<Digest> {
  const { compression = 'none', level, tag, index, annotations = {}, onProgress, signal } = options;
  const choice = compression === 'own' ? null : { compression, level };
  const { root, documents, files } = await prepareBlobs(store, lease, { image, index }, choice, onProgress);
  const notes = { ...annotations, ...(tag !== undefined && { [refName]: tag }) };
  const entry = Object.keys(notes).length > 0 ? { ...root, annotations: notes } : root;
  await writeLayout(dir, { files, documents, entry, onProgress, signal });
  return root.digest;
}

/** What one entry of a layout consists of. */
export interface LayoutParts {
  readonly files: readonly { readonly descriptor: Descriptor; readonly path: string }[];
  readonly documents: readonly Buffer[];
  readonly entry: Descriptor;
  /** The new index.json; by default the entries that are there, with this one in the place of its namesake. */
  readonly index?: (() => Promise<Buffer>) | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Adds an entry to a layout, or makes one of it. @throws StoreError LAYOUT_DIR_NOT_EMPTY, BLOB_DAMAGED */
export async function writeLayout(dir: string, parts: LayoutParts): Promise<void> {
  await prepareDir(dir);
  await writeParts(dir, parts);
}

async function writeParts(dir: string, parts: LayoutParts): Promise<void> {
  const { files, documents, entry, index = () => indexWith(dir, entry), onProgress, signal } = parts;
  for (const { descriptor, path } of files) {
    await copyBlob(path, descriptor, blobFile(dir, descriptor.digest), signal);
    onProgress?.({ digest: descriptor.digest, state: 'done', doneBytes: descriptor.size, totalBytes: descriptor.size });
  }
  for (const bytes of documents) {
    await replaceFile(blobFile(dir, descriptorOf(bytes, '').digest), bytes);
  }
  await replaceFile(join(dir, 'index.json'), await index());
}

/** What a copy adds to a layout: blobs that come from anywhere, and documents. */
export interface LayoutAddition extends Omit<LayoutParts, 'files'> {
  readonly blobs: readonly Descriptor[];
  /** Writes a blob's bytes into a new file. @throws when they are not what the descriptor says */
  writeBlob(file: FileHandle, blob: Descriptor): Promise<void>;
}

/** `writeLayout` of blobs that are not files here, several at once. @throws StoreError LAYOUT_DIR_NOT_EMPTY */
export async function addToLayout(dir: string, parts: LayoutAddition): Promise<void> {
  const { blobs, writeBlob, onProgress, signal } = parts;
  await prepareDir(dir);
  await inParallel(blobs, blobsAtOnce, async (blob) => {
    signal?.throwIfAborted();
    const { digest, size } = blob;
    const target = blobFile(dir, digest);
    const present = await hasDigest(target, digest);
    if (!present) await placeFile(target, (file) => writeBlob(file, blob));
    onProgress?.({ digest, state: present ? 'present' : 'done', doneBytes: size, totalBytes: size });
  });
  await writeParts(dir, { ...parts, files: [] });
}

const blobsAtOnce = 4;

/** A file appears when it is complete. */
async function placeFile(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const temp = `${path}.${randomUUID()}`;
  try {
    const file = await open(temp, 'wx+', 0o644);
    try {
      await write(file);
    } finally {
      await file.close();
    }
    await rename(temp, path);
  } finally {
    await rm(temp, { force: true });
  }
}

export const layoutMarker = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

export function encodeIndexJson(manifests: readonly Descriptor[]): Buffer {
  const index: ImageIndex = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  return Buffer.from(JSON.stringify(index));
}

/** @throws StoreError LAYOUT_DIR_NOT_EMPTY: a directory that holds something else */
async function prepareDir(dir: string): Promise<void> {
  makePath(dir);
  const names = await readdir(dir);
  if (names.length > 0 && !names.includes('oci-layout')) {
    throw new StoreError('LAYOUT_DIR_NOT_EMPTY', {
      message: `${dir} is not empty and no OCI image layout: it contains ${JSON.stringify(names.sort()[0])}`,
      hint: 'name a new or empty directory, or an existing layout',
    });
  }
  // First of all: what a killed process left is a layout without an index, which the next one goes on with.
  await replaceFile(join(dir, 'oci-layout'), layoutMarker);
  for (const part of [join(dir, 'blobs'), join(dir, 'blobs', 'sha256')]) await requireOwnDir(part);
}

/** What is written into a layout stays in it. @throws StoreError LAYOUT_INVALID */
async function requireOwnDir(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  if ((await lstat(path)).isDirectory()) return;
  throw new StoreError('LAYOUT_INVALID', {
    message: `${path} is a link to elsewhere: a layout's blobs lie in it`,
    hint: 'remove the link, or name another directory',
  });
}

/** The entries that are there, less those with the new one's name (or, without a name, the same image without one). */
async function indexWith(dir: string, entry: Descriptor): Promise<Buffer> {
  let entries: readonly Descriptor[] = [];
  try {
    entries = parseLayoutIndex(await readFile(join(dir, 'index.json')), dir).manifests;
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  const name = entry.annotations?.[refName];
  const kept = entries.filter((other) => {
    const itsName = other.annotations?.[refName];
    return name === undefined ? itsName !== undefined || other.digest !== entry.digest : itsName !== name;
  });
  return encodeIndexJson([...kept, entry]);
}

function blobFile(dir: string, digest: Digest): string {
  return join(dir, 'blobs', 'sha256', digest.slice('sha256:'.length));
}

async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  const temp = `${path}.${randomUUID()}`;
  try {
    await writeFile(temp, bytes);
    await rename(temp, path);
  } finally {
    await rm(temp, { force: true });
  }
}

/** @throws StoreError BLOB_DAMAGED: the file is not what its digest says; then nothing is left */
async function copyBlob(
  from: string,
  { digest }: Descriptor,
  target: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (await hasDigest(target, digest)) return;
  const temp = `${target}.${randomUUID()}`;
  try {
    const found = (await cloned(from, temp)) ? await digestOf(temp) : await copyHashed(from, temp, signal);
    if (found !== digest) throw otherDigest('blob', digest, found);
    await rename(temp, target);
  } catch (error) {
    throw readFailure('blob', digest, error);
  } finally {
    await rm(temp, { force: true });
  }
}

async function hasDigest(path: string, digest: Digest): Promise<boolean> {
  try {
    return (await digestOf(path)) === digest;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/** True where the filesystem shares the blocks (btrfs, xfs) instead of copying them. */
async function cloned(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    return true;
  } catch (error) {
    if (!hasCode(error, 'ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'EINVAL', 'ENOTTY', 'ENOSYS')) throw error;
    await rm(to, { force: true });
    return false;
  }
}

async function copyHashed(from: string, to: string, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(to, 'wx', 0o644);
  try {
    for await (const chunk of createReadStream(from, { highWaterMark: 1 << 20 })) {
      signal?.throwIfAborted();
      hash.update(chunk as Buffer);
      await file.writeFile(chunk as Buffer);
    }
  } finally {
    await file.close();
  }
  return `sha256:${hash.digest('hex')}`;
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return `sha256:${hash.digest('hex')}`;
}
