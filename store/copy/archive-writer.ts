// The tar around an image: members whose sizes are known, each written where it belongs. Into a file several go at once; into a
// pipe one after the other.
import { randomUUID } from 'node:crypto';
import { lstat, open, rename, rm } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { hasCode } from '../content/faults.js';
import { blockSize, checksumOf, fields, paddedSize } from '../format/tar-block.js';
import { unwritableArchive, writeTo } from '../transport/archive-save.js';
import { inParallel } from '../transport/progress.js';
import type { Descriptor } from '../words.js';
import { verified, writeBlobAt } from './write-blob.js';

export interface BlobMember {
  readonly name: string;
  readonly blob: Descriptor;
  open(): AsyncIterable<Uint8Array>;
}

export type Member =
  | { readonly name: string; readonly bytes: Buffer }
  | BlobMember
  | { readonly name: string; readonly dir: true };

export interface WriterOptions {
  /** Where the blobs are from, for messages. */
  readonly from: string;
  readonly onBlob?: ((blob: Descriptor, doneBytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const blobsAtOnce = 4;

/**
 * Deterministic: in order of names, without owners and times. A file appears when it is complete.
 *
 * @throws StoreError ARCHIVE_UNWRITABLE, BLOB_SIZE_MISMATCH, BLOB_DIGEST_MISMATCH
 */
export async function writeMembers(
  target: string | Writable,
  members: readonly Member[],
  options: WriterOptions,
): Promise<void> {
  const ordered = [...members].sort((a, b) => (a.name < b.name ? -1 : 1));
  if (typeof target === 'string' && (await isReplaceable(target))) return writeFile(target, ordered, options);
  return writeTo(target, inOrder(ordered, options), options.signal);
}

async function isReplaceable(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isFile();
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true;
    throw unwritableArchive(path, error);
  }
}

async function writeFile(path: string, members: readonly Member[], options: WriterOptions): Promise<void> {
  const temp = `${path}.${randomUUID()}`;
  try {
    const file = await open(temp, 'wx+', 0o666);
    try {
      const blobs: { member: BlobMember; position: number }[] = [];
      let position = 0;
      for (const member of members) {
        const head = Buffer.concat([headerOf(member), 'bytes' in member ? padded(member.bytes) : Buffer.alloc(0)]);
        await file.write(head, 0, head.length, position);
        position += head.length;
        if (!('blob' in member)) continue;
        blobs.push({ member, position });
        position += paddedSize(member.blob.size);
      }
      // Two blocks of zeros end a tar; what is not written is zeros too.
      await file.truncate(position + 2 * blockSize);
      await inParallel(blobs, blobsAtOnce, async ({ member, position: at }) => {
        options.signal?.throwIfAborted();
        const { blob } = member;
        await writeBlobAt(file, at, member.open(), blob, options.from, (bytes) => options.onBlob?.(blob, bytes));
        options.onBlob?.(blob, blob.size);
      });
    } finally {
      await file.close();
    }
    await rename(temp, path);
  } catch (error) {
    throw unwritableArchive(path, error);
  } finally {
    await rm(temp, { force: true });
  }
}

async function* inOrder(members: readonly Member[], options: WriterOptions): AsyncGenerator<Uint8Array> {
  for (const member of members) {
    yield headerOf(member);
    if ('bytes' in member) yield padded(member.bytes);
    if (!('blob' in member)) continue;
    const { blob } = member;
    yield* verified(member.open(), blob, options.from);
    yield Buffer.alloc(paddedSize(blob.size) - blob.size);
    options.onBlob?.(blob, blob.size);
  }
  yield Buffer.alloc(2 * blockSize);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(paddedSize(bytes.length) - bytes.length)]);
}

/** Names are ours, short and ASCII; sizes may be larger than eleven octal digits say. */
function headerOf(member: Member): Buffer {
  const block = Buffer.from(new ArrayBuffer(blockSize));
  const isDir = 'dir' in member;
  const size = 'bytes' in member ? member.bytes.length : 'blob' in member ? member.blob.size : 0;
  const put = (field: readonly [number, number], text: string): void => void block.write(text, field[0], 'ascii');
  put(fields.name, isDir ? `${member.name}/` : member.name);
  put(fields.mode, isDir ? '0000755' : '0000644');
  for (const field of [fields.uid, fields.gid, fields.devMajor, fields.devMinor]) put(field, '0000000');
  if (size < 8 ** 11) {
    put(fields.size, size.toString(8).padStart(11, '0'));
  } else {
    block[fields.size[0]] = 0x80;
    block.writeBigUInt64BE(BigInt(size), fields.size[1] - 8);
  }
  put(fields.mtime, '00000000000');
  put(fields.typeflag, isDir ? '5' : '0');
  put(fields.magic, 'ustar\x0000');
  put(fields.checksum, `${checksumOf(new Uint32Array(block.buffer), 0).toString(8).padStart(6, '0')}\0 `);
  return block;
}
