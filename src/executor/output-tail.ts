const keptBytes = 16 * 1024;
const keptLines = 20;

/** The end of a step's output, for the error message. Memory does not grow with the output. */
export class OutputTail {
  #chunks: Buffer[] = [];
  #bytes = 0;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes - (this.#chunks[0]?.length ?? 0) >= keptBytes) this.#bytes -= this.#chunks.shift()?.length ?? 0;
  }

  lines(): string[] {
    const text = Buffer.concat(this.#chunks).subarray(-keptBytes).toString('utf8');
    return text
      .split(/\r?\n/)
      .map((line) => line.slice(line.lastIndexOf('\r') + 1))
      .filter((line, index, all) => line !== '' || index < all.length - 1)
      .slice(-keptLines);
  }
}
