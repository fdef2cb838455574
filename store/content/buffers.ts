/**
 * Buffers of one size that are used again. Made and dropped by the hundred they would keep the garbage collector busier than
 * the decompressor.
 */
export class BufferPool {
  readonly #bytes: number;
  readonly #free: Buffer[] = [];
  readonly #own = new WeakSet<ArrayBufferLike>();

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  take(): Buffer {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    const made = Buffer.allocUnsafeSlow(this.#bytes);
    this.#own.add(made.buffer);
    return made;
  }

  /** The buffer that `chunk` is a part of may be taken again; one that is not from here is left alone. */
  give(chunk: Uint8Array): void {
    if (this.#own.has(chunk.buffer)) this.#free.push(Buffer.from(chunk.buffer));
  }
}
