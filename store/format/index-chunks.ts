// Where a file's bytes lie in the tar, as EROFS chunks: powers of two of one size, each a run of blocks or a hole.
import { blockBits, blockSize, chunkIndexSize, maxChunkBits, nullBlock } from './erofs.js';
import type { LayerNode } from './layer-tree.js';

/** Together in one index; a layer whose sparse files need more mounts as a tree. */
export const maxSparseChunks = 1 << 20;

/** The only external device: the tar. */
const tarDevice = 1;

export interface ChunkPlan {
  /** A chunk has 512 << bits bytes. */
  readonly bits: number;
  readonly count: number;
}

/** Null where chunks can't express it. */
export function planChunks({ size, sparse }: LayerNode): ChunkPlan | null {
  const bits = sparse ? sparseBits(sparse.realSize, sparse.pieces) : chunkBitsFor(size);
  if (bits < 0) return null;
  const count = Math.ceil((sparse ? sparse.realSize : size) / chunkBytes(bits));
  return sparse && count > maxSparseChunks ? null : { bits, count };
}

export function writeChunks(image: Buffer, at: number, node: LayerNode, { bits, count }: ChunkPlan): void {
  const { size, dataOffset, sparse } = node;
  const unit = chunkBytes(bits);
  if (sparse) for (let i = 0; i < count; i++) writeChunk(image, at + i * chunkIndexSize, nullBlock);
  let source = dataOffset;
  for (const [offset, length] of sparse?.pieces ?? [[0, size] as const]) {
    for (let done = 0; done < length; done += unit) {
      writeChunk(image, at + ((offset + done) / unit) * chunkIndexSize, (source + done) / blockSize);
    }
    source += length;
  }
}

/** One chunk for the whole file wherever that is possible. */
function chunkBitsFor(size: number): number {
  let bits = 0;
  while (bits < maxChunkBits && chunkBytes(bits) < size) bits++;
  return bits;
}

function chunkBytes(bits: number): number {
  return 2 ** (blockBits + bits);
}

type Pieces = readonly (readonly [offset: number, length: number])[];

/** All pieces must start and end at chunk boundaries (the last may end with the file); negative where they don't. */
function sparseBits(realSize: number, pieces: Pieces): number {
  let bits = chunkBitsFor(realSize);
  for (const [offset, length] of pieces) {
    bits = Math.min(bits, boundaryBits(offset));
    if (offset + length !== realSize) bits = Math.min(bits, boundaryBits(length));
  }
  return bits;
}

/** The largest `bits` whose chunks have a boundary at `offset`; -1 if not even blocks have. */
function boundaryBits(offset: number): number {
  if (offset === 0) return maxChunkBits;
  if (offset % blockSize !== 0) return -1;
  let blocks = offset / blockSize;
  let bits = 0;
  for (; blocks % 2 === 0; bits++) blocks /= 2;
  return bits;
}

function writeChunk(image: Buffer, at: number, block: number): void {
  image.writeUInt16LE(block === nullBlock ? 0 : tarDevice, at + 2);
  image.writeUInt32LE(block, at + 4);
}
