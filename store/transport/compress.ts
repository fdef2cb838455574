// A layer's tar → the compressed bytes that registries keep. Cut into pieces of a fixed size that are compressed side by
// side; concatenated gzip members and zstd frames are one valid stream (RFC 1952, 2.2; RFC 8878, 3.1). The same tar, level
// and engine give the same bytes, whatever the number of processors. The engine is linked in when tsbuild is built.
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { codecEngines, openEncoder } from '#native';
import { BufferPool } from '../content/buffers.js';
import { otherDigest, readFailure } from '../damage.js';
import { StoreError } from '../errors.js';
import type { Layer } from '../types.js';
import { mediaTypes } from '../words.js';

export type Compression = 'gzip' | 'estargz' | 'zstd' | 'none';

export interface CompressionChoice {
  readonly compression: Compression;
  /** Of gzip and estargz 0 to 9, 2 by default (a third less time than 6, for 4 % more bytes); of zstd 1 to 22, 3 by default. */
  readonly level?: number | undefined;
}

export const layerTypes: Readonly<Record<Compression, string>> = {
  gzip: mediaTypes.ociLayerGzip,
  estargz: mediaTypes.ociLayerGzip,
  zstd: mediaTypes.ociLayerZstd,
  none: mediaTypes.ociLayer,
};

/** Small enough that memory stays small on many processors, large enough to cost next to nothing in bytes. */
const pieceBytes = { gzip: 1 << 20, zstd: 4 << 20 } as const;

/** More would wait for the digest of the tar, which one processor makes. */
const mostAtOnce = 12;

/** The level that a choice comes to. @throws StoreError COMPRESSION_LEVEL */
export function levelOf({ compression, level }: CompressionChoice): number {
  const [least, greatest, usual] = compression === 'zstd' ? [1, 22, 3] : [0, 9, 2];
  if (level === undefined) return usual;
  if (Number.isInteger(level) && level >= least && level <= greatest) return level;
  throw new StoreError('COMPRESSION_LEVEL', {
    message: `compression level ${level}: that of ${compression} goes from ${least} to ${greatest}`,
    hint: 'leave it out for the usual one',
  });
}

/** Name and version of what compresses: 'libdeflate 1.14'. */
export function engineOf(compression: 'gzip' | 'estargz' | 'zstd'): string {
  return codecEngines()[compression === 'zstd' ? 'zstd' : 'gzip'];
}

/**
 * The compressed layer, piece by piece, each good until the next one is asked for. The tar is hashed on the way: after the
 * last piece it is known to be the layer.
 *
 * @param onRead called with the bytes of the tar that are done
 * @throws StoreError LAYER_DAMAGED: the tar is not what its diffID says, COMPRESSION_LEVEL
 */
export async function* compressLayer(
  layer: Layer,
  choice: CompressionChoice & { readonly compression: 'gzip' | 'zstd' },
  onRead: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  const encoder = await openEncoder(choice.compression, levelOf(choice));
  const pieces = new BufferPool(pieceBytes[choice.compression]);
  const outputs = new BufferPool(encoder.bound(pieceBytes[choice.compression]));
  const encode = (piece: Buffer): Promise<Buffer> => encoder.encode(piece, outputs.take());
  let done = 0;
  for await (const [piece, compressed] of sideBySide(verifiedPieces(layer, pieces), encode)) {
    done += piece.length;
    pieces.give(piece);
    onRead(done);
    yield compressed;
    outputs.give(compressed);
  }
}

/** Each item with what `work` makes of it, in the order of the items. */
export async function* sideBySide<T, R>(
  items: AsyncIterable<T>,
  work: (item: T) => Promise<R>,
): AsyncGenerator<[T, R]> {
  const atOnce = Math.min(availableParallelism() + 1, mostAtOnce);
  const waiting: { item: T; result: Promise<R> }[] = [];
  const next = async (): Promise<[T, R]> => {
    const { item, result } = waiting.shift()!;
    return [item, await result];
  };
  try {
    for await (const item of items) {
      const result = work(item);
      result.catch(() => {}); // it is awaited in its turn; until then its failure is not unhandled
      waiting.push({ item, result });
      if (waiting.length >= atOnce) yield await next();
    }
    while (waiting.length > 0) yield await next();
  } finally {
    await Promise.allSettled(waiting.map(({ result }) => result));
  }
}

/** The tar in pieces as large as the pool's buffers. @throws StoreError LAYER_DAMAGED after the last one if it is not the layer */
export async function* verifiedPieces(layer: Layer, pool: BufferPool): AsyncGenerator<Buffer> {
  const file = await open(layer.tarPath, 'r');
  const hash = createHash('sha256');
  try {
    for (let offset = 0; offset < layer.size; ) {
      const piece = pool.take();
      const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, layer.size - offset), offset);
      if (bytesRead === 0) break; // shorter than it was: the digest tells
      const read = piece.subarray(0, bytesRead);
      hash.update(read);
      offset += bytesRead;
      yield read;
    }
  } catch (error) {
    throw readFailure('layer', layer.diffId, error);
  } finally {
    await file.close();
  }
  const found = `sha256:${hash.digest('hex')}`;
  if (found !== layer.diffId) throw otherDigest('layer', layer.diffId, found);
}
