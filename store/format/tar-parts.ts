// Collects the parts of a tar: headers, padding and short contents run together in a few large buffers.
import type { AssemblePart } from '#native';

const chunkBytes = 1 << 20;

export class TarParts {
  /** Bytes of the tar so far. */
  size = 0;
  /** The zero-filled memory that `literal` gives places in. */
  buffer: Buffer = Buffer.alloc(chunkBytes);
  words: Uint32Array = wordsOf(this.buffer);
  readonly #parts: AssemblePart[] = [];
  /** The literal that is growing lies at [#start, #end) of `buffer`. */
  #start = 0;
  #end = 0;

  /** Reserves `length` zero bytes at the end of the tar; returns their place in `buffer`. */
  literal(length: number): number {
    // A place that a header may start at must stay aligned for `words`; the literal itself may start anywhere.
    if (this.#start === this.#end) this.#start = this.#end = placeFor(this.#end, this.size);
    if (this.#end + length > this.buffer.length) {
      this.#flush();
      this.buffer = Buffer.alloc(Math.max(chunkBytes, length + 4));
      this.words = wordsOf(this.buffer);
      this.#start = this.#end = placeFor(0, this.size);
    }
    const at = this.#end;
    this.#end += length;
    this.size += length;
    return at;
  }

  /** Adds a part of `size` bytes; returns its index. */
  push(part: AssemblePart, size: number): number {
    this.#flush();
    this.size += size;
    return this.#parts.push(part) - 1;
  }

  finish(): AssemblePart[] {
    this.#flush();
    return this.#parts;
  }

  #flush(): void {
    if (this.#end > this.#start) this.#parts.push({ bytes: this.buffer.subarray(this.#start, this.#end) });
    this.#start = this.#end;
  }
}

/** The first place from `from` on that is congruent to the tar's size modulo 4. */
function placeFor(from: number, size: number): number {
  return from + ((size - from) & 3);
}

function wordsOf(buffer: Buffer): Uint32Array {
  return new Uint32Array(buffer.buffer, buffer.byteOffset, buffer.length >>> 2);
}
