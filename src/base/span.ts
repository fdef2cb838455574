/** A text with a name people know it by: 'Buildfile', a path, '<stdin>'. */
export interface SourceFile {
  readonly name: string;
  readonly text: string;
  /** The place in another file that this one was included at. */
  readonly includedAt?: Span;
}

/** A piece of a source file, in UTF-16 offsets; `end` is exclusive. */
export interface Span {
  readonly file: SourceFile;
  readonly start: number;
  readonly end: number;
}

/** 1-based line and column of an offset. */
export function lineAndColumn(file: SourceFile, offset: number): { line: number; column: number } {
  const starts = lineStarts(file);
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle]! <= offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: Math.min(offset, file.text.length) - starts[low]! + 1 };
}

/** The text of a line (1-based) without its end. */
export function lineText(file: SourceFile, line: number): string {
  const starts = lineStarts(file);
  const next = starts[line];
  return file.text.slice(starts[line - 1], next === undefined ? undefined : next - 1).replace(/\r$/, '');
}

export function lineCount(file: SourceFile): number {
  return lineStarts(file).length;
}

/** Kept for each file: a file with thousands of findings is searched for its lines once. */
const knownStarts = new WeakMap<SourceFile, readonly number[]>();

function lineStarts(file: SourceFile): readonly number[] {
  const known = knownStarts.get(file);
  if (known !== undefined) return known;
  const starts = [0];
  for (let at = file.text.indexOf('\n'); at >= 0; at = file.text.indexOf('\n', at + 1)) starts.push(at + 1);
  knownStarts.set(file, starts);
  return starts;
}
