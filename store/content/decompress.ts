// The bytes of a layer as they come (gzip, zstd, bzip2, xz, or none) → its tar. What it is, its first bytes tell.
//
// Whatever the compressor, memory stays bounded: chunks of about 1 MiB, one of them ahead. gzip is ISA-L where the host has it
// (twice as fast as zlib), else node's own zlib; bzip2 and xz are the host's programs.
import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { type Decoder, openDecoder } from '#native';
import { StoreError } from '../errors.js';
import { BufferPool } from './buffers.js';

const chunkBytes = 1 << 20;
/** Small chunks are gathered: each costs the decompressor a change of threads. */
const gatherBytes = 256 << 10;

type Bytes = AsyncIterable<Uint8Array>;

export function chunkPool(): BufferPool {
  return new BufferPool(chunkBytes);
}

/**
 * @param pool where the reader may give chunks back to that it has done with
 * @throws StoreError LAYER_COMPRESSION_DAMAGED, DECOMPRESSOR_MISSING; errors of `source` as they are
 */
export function decompress(source: Bytes, pool = chunkPool()): AsyncGenerator<Uint8Array> {
  return oneAhead(decompressed(source, pool));
}

async function* decompressed(source: Bytes, pool: BufferPool): AsyncGenerator<Uint8Array> {
  const inputs = new BufferPool(2 * gatherBytes);
  const chunks = oneAhead(gathered(source, inputs));
  const first = await chunks.next();
  const head = first.done
    ? Buffer.alloc(0)
    : Buffer.from(first.value.buffer, first.value.byteOffset, first.value.length);
  const all = (async function* () {
    if (!first.done) yield first.value;
    yield* chunks;
  })();
  try {
    if (head.length >= 2 && head.readUInt16BE(0) === 0x1f8b) yield* gunzip(all, inputs, pool);
    else if (isZstd(head)) yield* unzstd(all, inputs, pool);
    else if (head.subarray(0, 3).equals(Buffer.from('BZh'))) yield* byProgram('bzip2', all);
    else if (head.subarray(0, 6).equals(Buffer.from('fd377a585a00', 'hex'))) yield* byProgram('xz', all);
    else yield* all;
  } finally {
    await all.return(undefined);
    await chunks.return(undefined);
  }
}

/** The next item is made while this one is worked on. */
async function* oneAhead<T>(items: AsyncGenerator<T, void>): AsyncGenerator<T, void> {
  const ask = (): Promise<IteratorResult<T, void>> => {
    const asked = items.next();
    asked.catch(() => {}); // awaited in its turn
    return asked;
  };
  let next = ask();
  try {
    for (;;) {
      const { value, done } = await next;
      if (done) return;
      next = ask();
      yield value;
    }
  } finally {
    await items.return();
  }
}

async function* gathered(source: Bytes, pool: BufferPool): AsyncGenerator<Uint8Array> {
  let gathering = pool.take();
  let size = 0;
  for await (const chunk of source) {
    if (size + chunk.length > gathering.length) {
      if (size > 0) yield gathering.subarray(0, size);
      gathering = size > 0 ? pool.take() : gathering;
      size = 0;
    }
    if (size === 0 && chunk.length >= gatherBytes) {
      yield chunk;
      continue;
    }
    gathering.set(chunk, size);
    size += chunk.length;
    if (size < gatherBytes) continue;
    yield gathering.subarray(0, size);
    gathering = pool.take();
    size = 0;
  }
  if (size > 0) yield gathering.subarray(0, size);
}

async function* gunzip(source: Bytes, inputs: BufferPool, pool: BufferPool): AsyncGenerator<Uint8Array> {
  const decoder = await openDecoder('gzip');
  yield* decoder === null ? byZlib(source) : byLibrary('gzip', decoder, source, inputs, pool);
}

async function* unzstd(source: Bytes, inputs: BufferPool, pool: BufferPool): AsyncGenerator<Uint8Array> {
  const decoder = await openDecoder('zstd');
  if (decoder === null) throw new Error('no memory for a zstd decoder');
  yield* byLibrary('zstd', decoder, source, inputs, pool);
}

/** Members and frames one after the other are one stream (RFC 1952, 2.2; RFC 8878, 3.1). */
async function* byLibrary(
  format: string,
  decoder: Decoder,
  source: Bytes,
  inputs: BufferPool,
  pool: BufferPool,
): AsyncGenerator<Uint8Array> {
  let atFrameEnd = true;
  let output = pool.take();
  let filled = 0;
  try {
    for await (const chunk of source) {
      let rest = chunk;
      for (;;) {
        const step = await decoder.step(rest, output.subarray(filled)).catch((error: unknown) => {
          throw damaged(format, error);
        });
        atFrameEnd = step.frameDone;
        rest = rest.subarray(step.read);
        filled += step.written;
        if (filled === output.length) {
          yield output;
          output = pool.take();
          filled = 0;
          // Asked once more at the end of a frame, the decoder would begin another.
          if (step.frameDone && rest.length === 0) break;
        } else if (rest.length === 0) break;
        else if (step.read + step.written === 0) throw damaged(format, new Error('it makes no sense'));
      }
      inputs.give(chunk);
    }
  } finally {
    decoder.close();
  }
  if (!atFrameEnd) throw damaged(format, new Error('unexpected end of file'));
  if (filled > 0) yield output.subarray(0, filled);
}

/** For hosts without ISA-L. */
export async function* byZlib(source: Bytes): AsyncGenerator<Uint8Array> {
  const input = Readable.from(source, { objectMode: false });
  const output = createGunzip({ chunkSize: chunkBytes });
  input.on('error', (error) => output.destroy(error));
  input.pipe(output);
  try {
    for await (const chunk of output) yield chunk as Buffer;
  } catch (error) {
    throw isZlibError(error) ? damaged('gzip', error) : error;
  } finally {
    input.destroy();
    output.destroy();
  }
}

type Program = 'bzip2' | 'xz';

/** A stream says how much memory it takes: xz -9 takes 65 MiB, a hostile one up to 4 GiB. */
const programFlags: Readonly<Record<Program, readonly string[]>> = {
  bzip2: ['-dc'],
  xz: ['-dc', '--memlimit-decompress=128MiB'],
};

async function* byProgram(program: Program, source: Bytes): AsyncGenerator<Uint8Array> {
  const child = spawn(program, programFlags[program], { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (text: Buffer) => {
    complaint = (complaint + text.toString()).slice(0, 1000);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  ended.catch(() => {}); // awaited below
  const input = Readable.from(source, { objectMode: false });
  let sourceFailed: unknown = null;
  input.on('error', (error) => {
    sourceFailed = error;
    child.kill('SIGKILL');
  });
  child.stdin.on('error', () => {}); // it ended early: its exit code says why
  input.pipe(child.stdin);
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer;
    const code = await ended.catch((error: unknown) => {
      throw new StoreError('DECOMPRESSOR_MISSING', {
        message: `the layer is compressed by ${program}, which can't be started here`,
        hint: `install ${program}`,
        cause: error,
      });
    });
    if (sourceFailed !== null) throw sourceFailed;
    if (code !== 0) throw damaged(program, new Error(complaint.trim() || `${program} failed`));
  } finally {
    input.destroy();
    child.kill('SIGKILL');
  }
}

/** A frame, or a skippable frame. @see RFC 8878, 3.1 */
function isZstd(head: Buffer): boolean {
  if (head.length < 4) return false;
  const magic = head.readUInt32LE(0);
  return magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50;
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('Z_');
}

function damaged(format: string, cause: unknown): StoreError {
  return new StoreError('LAYER_COMPRESSION_DAMAGED', {
    message: `the layer's ${format} stream is damaged: ${cause instanceof Error ? cause.message : String(cause)}`,
    hint: 'the file or the transfer is damaged or incomplete: get it again',
    cause,
  });
}
