// An OCI image layout directory → the store.
import { createReadStream } from 'node:fs';
import { constants, type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Store } from '../content/handle.js';
import { StoreError } from '../errors.js';
import { maxDocumentBytes, parseStrictJson } from '../image/strict-json.js';
import type { Lease, StoredImage } from '../types.js';
import type { Descriptor, Digest } from '../words.js';
import { type BlobFolder, parseLayoutIndex, resolveInFolder } from './blob-folder.js';
import { type ReceiveOptions, receiveImage } from './receive.js';

export interface LayoutOptions extends ReceiveOptions {
  /** May be left out where the layout holds one image. */
  readonly tag?: string | undefined;
}

/**
 * Layers that the store has are not read.
 *
 * @throws StoreError LAYOUT_NOT_FOUND, LAYOUT_INVALID, LAYOUT_BLOB_MISSING, LAYOUT_TAG_NEEDED, LAYOUT_TAG_UNKNOWN, PLATFORM_NOT_IN_INDEX; IMAGE_*, BLOB_*
 */
export async function importLayout(
  store: Store,
  lease: Lease,
  dir: string,
  options: LayoutOptions = {},
): Promise<StoredImage> {
  const folder = await openLayout(dir);
  const resolved = await resolveInFolder(folder, options.tag, options.platform);
  return receiveImage(store, lease, resolved, dir, (layer) => folder.open(layer), options);
}

/** @throws StoreError LAYOUT_NOT_FOUND, LAYOUT_INVALID */
export async function openLayout(dir: string): Promise<BlobFolder> {
  const marker = await readLayoutFile(dir, 'oci-layout');
  const index = await readLayoutFile(dir, 'index.json');
  if (marker === null || index === null) {
    throw new StoreError('LAYOUT_NOT_FOUND', {
      message: `${dir} is no OCI image layout: it has no file '${marker === null ? 'oci-layout' : 'index.json'}'`,
      hint: 'name the directory that holds oci-layout, index.json and blobs/',
    });
  }
  requireLayoutVersion(marker, dir);
  return {
    name: dir,
    index: parseLayoutIndex(index, dir),
    readDocument: async (blob) => {
      const file = await openBlob(dir, blob.digest);
      try {
        return await readAtMost(file, blob.size + 1);
      } finally {
        await file.close();
      }
    },
    open: (blob) => streamBlob(dir, blob),
  };
}

/** @throws StoreError LAYOUT_INVALID */
export function requireLayoutVersion(marker: Buffer, name: string): void {
  const value = parseStrictJson(marker, `oci-layout of ${name}`);
  const version =
    typeof value === 'object' && value !== null && 'imageLayoutVersion' in value && value.imageLayoutVersion;
  if (typeof version === 'string' && /^1\./.test(version)) return;
  throw new StoreError('LAYOUT_INVALID', { message: `${name} is an OCI image layout of a version that is not known` });
}

async function readLayoutFile(dir: string, name: string): Promise<Buffer | null> {
  const file = await openRegular(join(dir, name));
  if (file === null) return null;
  try {
    return await readAtMost(file, maxDocumentBytes + 1);
  } finally {
    await file.close();
  }
}

async function* streamBlob(dir: string, blob: Descriptor): AsyncGenerator<Uint8Array> {
  const file = await openBlob(dir, blob.digest);
  yield* createReadStream('', { fd: file, highWaterMark: 1 << 20 });
}

/** The digest has been parsed: it can't leave the directory. */
async function openBlob(dir: string, digest: Digest): Promise<FileHandle> {
  const file = await openRegular(join(dir, 'blobs', 'sha256', digest.slice('sha256:'.length)));
  if (file !== null) return file;
  throw new StoreError('LAYOUT_BLOB_MISSING', {
    message: `${dir} lacks the blob ${digest}`,
    hint: 'the layout is incomplete; copy it again',
  });
}

/** Null if there is none. What is no regular file (a pipe would block) is no part of a layout. */
export async function openRegular(path: string): Promise<FileHandle | null> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new StoreError('LAYOUT_UNREADABLE', { message: `${path}: ${(error as Error).message}`, cause: error });
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new StoreError('LAYOUT_INVALID', { message: `${path} is no regular file` });
}

export async function readAtMost(file: FileHandle, maxBytes: number): Promise<Buffer> {
  const size = Math.min((await file.stat()).size, maxBytes);
  const buffer = Buffer.alloc(size);
  let done = 0;
  while (done < size) {
    const { bytesRead } = await file.read(buffer, done, size - done, done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return buffer.subarray(0, done);
}
