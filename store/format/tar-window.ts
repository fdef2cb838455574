// A tar read by its headers: large windows by pread, file contents skipped.
import { readSync } from 'node:fs';
import { StoreError } from '../errors.js';
import { blockSize } from './tar-block.js';

const windowBytes = 256 * 1024;
/** No header is longer, with its extension; hardly any with its sparse map. */
const headBytes = (1 << 20) + (64 << 10);

export class TarWindow {
  /** Of the whole tar; infinite while it is being written. */
  size: number;
  /** Bytes that can be read by now. */
  available: number;
  /** What is in memory; positions in it are multiples of 512 away from its start, so that `words` may be used. */
  readonly buffer = Buffer.allocUnsafeSlow(windowBytes);
  readonly words = new Uint32Array(this.buffer.buffer);
  readonly #fd: number;
  #start = 0;
  #length = 0;

  constructor(fd: number, size: number) {
    this.#fd = fd;
    this.size = size;
    this.available = size;
  }

  /** False while the tar is being written, and not yet far enough for what begins at `offset`. */
  reaches(offset: number): boolean {
    return this.available === this.size || offset + headBytes <= this.available;
  }

  /** Where in `buffer` the block at `offset` lies. @throws StoreError TAR_TRUNCATED */
  block(offset: number): number {
    const at = offset - this.#start;
    if (at >= 0 && at + blockSize <= this.#length) return at;
    this.#length = this.#read(this.buffer, offset, Math.min(windowBytes, this.available - offset));
    this.#start = offset;
    if (this.#length < blockSize) throw truncated(offset);
    return 0;
  }

  /** `length` bytes, good until the next read. @throws StoreError TAR_TRUNCATED */
  bytes(offset: number, length: number): Buffer {
    if (offset + length > this.available) throw truncated(offset);
    const at = offset - this.#start;
    if (at >= 0 && at + length <= this.#length) return this.buffer.subarray(at, at + length);
    const copy = Buffer.allocUnsafe(length);
    if (this.#read(copy, offset, length) < length) throw truncated(offset);
    return copy;
  }

  #read(into: Buffer, offset: number, length: number): number {
    let done = 0;
    while (done < length) {
      const count = readSync(this.#fd, into, done, length - done, offset + done);
      if (count === 0) break; // shorter than it was a moment ago
      done += count;
    }
    return done;
  }
}

export function truncated(offset: number): StoreError {
  return new StoreError('TAR_TRUNCATED', {
    message: `the tar ends in the middle of a member (at byte ${offset})`,
    hint: 'it is incomplete, or no tar; fetch or make it again',
  });
}
