// Blobs into files, checked on the way.
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { openFileDigest } from '#native';
import { StoreError } from '../errors.js';
import type { Descriptor } from '../words.js';

const gatherBytes = 1 << 20;

/** Smaller blobs are digested on their way: loading the native code takes longer. */
const digestedAsideBytes = 8 << 20;

/**
 * Writes the bytes of a blob at `position` of a file that can be read, too. One write is under way while the next bytes come, and
 * what was written of a large blob is digested by another thread meanwhile.
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
  if (blob.size < digestedAsideBytes) {
    await writeGathered(file, position, verified(bytes, blob, from), async (written) => onBytes(written));
    return;
  }
  const digest = await openFileDigest(file.fd, position);
  let digesting: Promise<void> = Promise.resolve();
  let found: string;
  try {
    await writeGathered(file, position, ofSize(bytes, blob, from), async (written) => {
      onBytes(written);
      await digesting; // never far behind: what it reads is still in memory
      digesting = digest.takeTo(position + written);
      digesting.catch(() => {}); // awaited before the next part
    });
    await digesting;
  } finally {
    await digesting.catch(() => {});
    found = `sha256:${digest.close()}`;
  }
  if (found !== blob.digest) throw digestMismatch(blob.digest, found, from);
}

/** @param onWritten called with how many bytes are in the file */
async function writeGathered(
  file: FileHandle,
  position: number,
  bytes: AsyncIterable<Uint8Array>,
  onWritten: (written: number) => Promise<void>,
): Promise<void> {
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  let handedOver = 0;
  let writing: Promise<void> = Promise.resolve();
  const write = async (): Promise<void> => {
    await writing;
    const [parts, size, at] = [waiting, waitingBytes, handedOver];
    handedOver += waitingBytes;
    waiting = [];
    waitingBytes = 0;
    writing = writeAll(file, parts, position + at).then(() => onWritten(at + size));
    writing.catch(() => {}); // awaited before the next one
  };
  try {
    for await (const chunk of bytes) {
      waiting.push(chunk);
      waitingBytes += chunk.length;
      if (waitingBytes >= gatherBytes) await write();
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
  blob: Descriptor,
  from: string,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  for await (const chunk of ofSize(bytes, blob, from)) {
    hash.update(chunk);
    yield chunk;
  }
  const found = `sha256:${hash.digest('hex')}`;
  if (found !== blob.digest) throw digestMismatch(blob.digest, found, from);
}

/** The bytes as they come. @throws StoreError BLOB_SIZE_MISMATCH before more than the blob's bytes have come */
async function* ofSize(
  bytes: AsyncIterable<Uint8Array>,
  { digest, size }: Descriptor,
  from: string,
): AsyncGenerator<Uint8Array> {
  let seen = 0;
  for await (const chunk of bytes) {
    seen += chunk.length;
    if (seen > size) throw sizeMismatch(digest, `more than ${size}`, size, from);
    yield chunk;
  }
  if (seen !== size) throw sizeMismatch(digest, String(seen), size, from);
}

function digestMismatch(digest: string, found: string, from: string): StoreError {
  return new StoreError('BLOB_DIGEST_MISMATCH', {
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
