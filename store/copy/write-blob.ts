// Blobs into files, checked on the way.
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { StoreError } from '../errors.js';
import type { Descriptor } from '../words.js';

const gatherBytes = 1 << 20;

/**
 * Writes the bytes of a blob at `position`. One write is under way while the next bytes are hashed.
 *
 * @param from its source, for messages
 * @throws StoreError BLOB_SIZE_MISMATCH, BLOB_DIGEST_MISMATCH
 */
export async function writeBlobAt(
  file: FileHandle,
  position: number,
  bytes: AsyncIterable<Uint8Array>,
  blob: Descriptor,
  from: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  let written = position;
  let writing: Promise<unknown> = Promise.resolve();
  const write = async (): Promise<void> => {
    await writing;
    const [parts, at] = [waiting, written];
    written += waitingBytes;
    waiting = [];
    waitingBytes = 0;
    writing = writeAll(file, parts, at);
    writing.catch(() => {}); // awaited before the next one
  };
  try {
    for await (const chunk of verified(bytes, blob, from)) {
      waiting.push(chunk);
      waitingBytes += chunk.length;
      if (waitingBytes < gatherBytes) continue;
      await write();
      onBytes(written - position);
    }
    await write();
    await writing;
  } finally {
    await writing.catch(() => {});
  }
}

async function writeAll(file: FileHandle, parts: readonly Uint8Array[], at: number): Promise<void> {
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  const { bytesWritten } = await file.writev(parts, at);
  if (bytesWritten === bytes) return;
  // A disk that fills up, or a signal, cuts it short: the next write tells, or goes on.
  const rest = Buffer.concat(parts).subarray(bytesWritten);
  await writeAll(file, [rest], at + bytesWritten);
}

/**
 * The bytes as they come; after the last one they are known to be the blob.
 *
 * @throws StoreError BLOB_SIZE_MISMATCH before more than the blob's bytes have come, BLOB_DIGEST_MISMATCH
 */
export async function* verified(
  bytes: AsyncIterable<Uint8Array>,
  { digest, size }: Descriptor,
  from: string,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let seen = 0;
  for await (const chunk of bytes) {
    seen += chunk.length;
    if (seen > size) throw sizeMismatch(digest, `more than ${size}`, size, from);
    hash.update(chunk);
    yield chunk;
  }
  if (seen !== size) throw sizeMismatch(digest, String(seen), size, from);
  const found = `sha256:${hash.digest('hex')}`;
  if (found === digest) return;
  throw new StoreError('BLOB_DIGEST_MISMATCH', {
    message: `the bytes for ${digest} of ${from} hash to ${found}`,
    hint: 'the image is damaged at its source, or was altered on its way',
  });
}

function sizeMismatch(digest: string, found: string, announced: number, from: string): StoreError {
  return new StoreError('BLOB_SIZE_MISMATCH', {
    message: `blob ${digest} of ${from} has ${found} bytes, ${announced} were announced`,
    hint: 'the image is damaged at its source',
  });
}

/** What follows the first `start` bytes. */
export async function* skipping(bytes: AsyncIterable<Uint8Array>, start: number): AsyncGenerator<Uint8Array> {
  let skip = start;
  for await (const chunk of bytes) {
    const fresh = skip === 0 ? chunk : chunk.subarray(skip);
    skip -= chunk.length - fresh.length;
    if (fresh.length > 0) yield fresh;
  }
}
