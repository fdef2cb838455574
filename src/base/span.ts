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
  const before = file.text.slice(0, offset);
  const lineStart = before.lastIndexOf('\n') + 1;
  let line = 1;
  for (const char of before) if (char === '\n') line++;
  return { line, column: offset - lineStart + 1 };
}
