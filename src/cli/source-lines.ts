// Places in JSON as buildx gives them: lines of numbered sources.
import { lineAndColumn, type SourceFile, type Span } from '../base/index.js';

interface Location {
  /** Left out for the first source. */
  readonly sourceIndex?: number;
  /** One for each line. */
  readonly ranges: readonly { readonly start: { readonly line: number }; readonly end: { readonly line: number } }[];
}

/** Numbers the files that places lie in: the main one is the first. */
export class Sources {
  readonly #files: SourceFile[];

  constructor(main: SourceFile) {
    this.#files = [main];
  }

  get files(): readonly SourceFile[] {
    return this.#files;
  }

  locate(at: Span): Location {
    const known = this.#files.indexOf(at.file);
    const index = known < 0 ? this.#files.push(at.file) - 1 : known;
    const { first, last } = linesOf(at);
    const ranges = Array.from({ length: last - first + 1 }, (_, i) => ({
      start: { line: first + i },
      end: { line: first + i },
    }));
    return { ...(index > 0 && { sourceIndex: index }), ranges };
  }

  /** The texts, as JSON has bytes. */
  encoded(): string[] {
    return this.#files.map(encode);
  }
}

export function encode({ text }: SourceFile): string {
  return Buffer.from(text).toString('base64');
}

export function linesOf({ file, start, end }: Span): { first: number; last: number } {
  const first = lineAndColumn(file, start).line;
  return { first, last: Math.max(first, lineAndColumn(file, Math.max(start, end - 1)).line) };
}
