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
  write(image: Buffer, at: number): void;
}

/** Null where chunks can't express it. */
export function planChunks(node: LayerNode): ChunkPlan | null {
  const { size, dataOffset, sparse } = node;
  if (sparse) return planSparse(sparse.realSize, sparse.pieces, dataOffset);
  const bits = chunkBitsFor(size);
  const count = Math.ceil(size / chunkBytes(bits));
  return {
    bits,
    count,
    write(image, at) {
      const blocks = chunkBytes(bits) / blockSize;
      for (let i = 0; i < count; i++) writeChunk(image, at + i * chunkIndexSize, dataOffset / blockSize + i * blocks);
    },
  };
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

/** All pieces must start and end at chunk boundaries (the last may end with the file). */
function planSparse(realSize: number, pieces: Pieces, dataOffset: number): ChunkPlan | null {
  let bits = chunkBitsFor(realSize);
  for (const [offset, length] of pieces) {
    bits = Math.min(bits, boundaryBits(offset));
    if (offset + length !== realSize) bits = Math.min(bits, boundaryBits(length));
  }
  if (bits < 0) return null;
  const unit = chunkBytes(bits);
  const count = Math.ceil(realSize / unit);
  if (count > maxSparseChunks) return null;
  return {
    bits,
    count,
    write(image, at) {
      for (let i = 0; i < count; i++) writeChunk(image, at + i * chunkIndexSize, nullBlock);
      let source = dataOffset;
      for (const [offset, length] of pieces) {
        for (let done = 0; done < length; done += unit) {
          writeChunk(image, at + ((offset + done) / unit) * chunkIndexSize, (source + done) / blockSize);
        }
        source += length;
      }
    },
  };
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
