// Compressed archives, by their first bytes. gzip is built in; the others need the host's own program (never one of an image).
import { spawn } from 'node:child_process';
import { createReadStream, createWriteStream, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { displayPath } from '#native';
import { openGrowthLimit, StoreError } from '#store';
import { BuildError, type Span } from '../base/index.js';
import type { SourceEntry } from './copy-source.js';

export type Compression = 'none' | 'gzip' | 'bzip2' | 'xz' | 'zstd';

const magics: readonly (readonly [Compression, Buffer])[] = [
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['bzip2', Buffer.from('BZh')],
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
];

const blockSize = 512;

/** How a tar is compressed in the file, null if it holds none. @throws BuildError ADD_TOOL_MISSING */
export async function detectTar(fd: number, archive: SourceEntry, at: Span): Promise<Compression | null> {
  const head = Buffer.alloc(blockSize);
  const length = readSync(fd, head, 0, blockSize, 0);
  if (isTarHeader(head.subarray(0, length))) return 'none';
  const compression = magics.find(([, magic]) => head.subarray(0, magic.length).equals(magic))?.[0];
  if (compression === undefined) return null;
  return isTarHeader(await firstBytes(decompress(fd, compression, archive, at))) ? compression : null;
}

/** @throws BuildError ADD_ARCHIVE_INVALID, ADD_ARCHIVE_TOO_LARGE, ADD_TOOL_MISSING */
export async function decompressTo(
  fd: number,
  compression: Exclude<Compression, 'none'>,
  path: string,
  archive: SourceEntry,
  { at, maxLayerBytes }: { readonly at: Span; readonly maxLayerBytes?: number | undefined },
): Promise<void> {
  const limit = openGrowthLimit(dirname(path), maxLayerBytes);
  const within = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let bytes = 0;
    for await (const chunk of chunks) {
      bytes += chunk.length;
      limit(bytes, archive.size);
      yield chunk;
    }
  };
  try {
    const unpacked = decompress(fd, compression, archive, at);
    await pipeline(unpacked, within, createWriteStream(path, { flags: 'wx', mode: 0o600 }));
  } catch (error) {
    if (error instanceof BuildError) throw error;
    if (error instanceof StoreError && error.code === 'LAYER_TOO_LARGE') {
      throw new BuildError('ADD_ARCHIVE_TOO_LARGE', {
        message: `${displayPath(archive.path)}: ${error.message}`,
        hint: error.hint,
        at,
        cause: error,
      });
    }
    throw new BuildError('ADD_ARCHIVE_INVALID', {
      message: `can't decompress ${displayPath(archive.path)} (${compression}): ${(error as Error).message}`,
      hint: 'the file is damaged, or the disk is full',
      at,
      cause: error,
    });
  }
}

/** @see POSIX pax, "ustar Header Block": the checksum counts its own field as blanks; old tars summed signed bytes */
function isTarHeader(block: Buffer): boolean {
  if (block.length < blockSize || block[0] === 0) return false;
  const stored = Number.parseInt(
    block
      .toString('latin1', 148, 156)
      .replace(/[\0 ]+$/g, '')
      .trim(),
    8,
  );
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < blockSize; i++) {
    const byte = i >= 148 && i < 156 ? 0x20 : block[i]!;
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  return stored === unsigned || stored === signed;
}

function decompress(fd: number, compression: Compression, archive: SourceEntry, at: Span): Readable {
  if (compression === 'gzip') {
    const file = createReadStream('', { fd, start: 0, autoClose: false });
    const gunzip = createGunzip();
    file.on('error', (error) => gunzip.destroy(error)).pipe(gunzip);
    return gunzip;
  }
  const child = spawn(compression, ['-dc'], { stdio: [fd, 'pipe', 'pipe'] });
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error('spawn gave no pipes');
  // Ends only when the program has ended well: a truncated archive must not look complete.
  const output = new PassThrough();
  let complaint = '';
  stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-500);
  });
  stdout.pipe(output, { end: false });
  child.on('error', () => output.destroy(toolMissing(compression, archive, at)));
  child.on('close', (code) => {
    if (code === 0) output.end();
    else output.destroy(new Error(complaint.trim() || `${compression} exited with ${code}`));
  });
  output.on('close', () => child.kill('SIGKILL'));
  return output;
}

/** Up to a block of decompressed bytes; fewer if there are no more, or what comes is no such data. */
async function firstBytes(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= blockSize) break; // leaving the loop destroys the stream
    }
  } catch (error) {
    if (error instanceof BuildError) throw error;
  }
  return Buffer.concat(chunks).subarray(0, blockSize);
}

function toolMissing(compression: string, archive: SourceEntry, at: Span): BuildError {
  return new BuildError('ADD_TOOL_MISSING', {
    message: `${displayPath(archive.path)} is compressed with ${compression}, and this machine has no program ${compression}`,
    hint: `install ${compression === 'xz' ? 'xz-utils' : compression}, or recompress the archive with gzip`,
    at,
  });
}
