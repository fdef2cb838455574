import type { Stats } from 'node:fs';

const mostVerified = 10_000;

/** Files that were read whole and found right. */
export class VerifiedFiles {
  readonly #known = new Map<string, string>();

  has(digest: string, stat: Stats): boolean {
    return this.#known.get(digest) === stampOf(stat);
  }

  add(digest: string, stat: Stats): void {
    this.#known.delete(digest);
    this.#known.set(digest, stampOf(stat));
    if (this.#known.size > mostVerified) this.#known.delete(this.#known.keys().next().value!);
  }
}

function stampOf({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
}
