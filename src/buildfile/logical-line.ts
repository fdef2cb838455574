import type { SourceFile, Span } from '../base/index.js';
import type { HeredocOpener } from './heredoc.js';
import type { Heredoc, Word } from './types.js';

/** One instruction on one line of text. */
export interface LogicalLine {
  readonly file: SourceFile;
  readonly text: string;
  /** Where the pieces of `text` come from, ascending: `text` from offset `at` on lies in the file from `from` on. */
  readonly pieces: readonly { readonly at: number; readonly from: number }[];
  readonly heredocs: readonly { readonly opener: HeredocOpener; readonly heredoc: Heredoc }[];
  /** The comments above it, without '#', down from the last one without words: that parts them from it. */
  readonly comments: readonly Word[];
  /** Offset in the file of the first empty line that it goes on after. */
  readonly emptyLine: number | null;
  /** Offset in the file after the line, heredoc bodies included. */
  readonly end: number;
}

/** The place in the file of `text.slice(start, end)`. */
export function spanOf(line: LogicalLine, start: number, end: number): Span {
  const from = offsetInFile(line, start);
  return { file: line.file, start: from, end: end > start ? offsetInFile(line, end - 1) + 1 : from };
}

function offsetInFile(line: LogicalLine, offset: number): number {
  let low = 0;
  let high = line.pieces.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (line.pieces[middle]!.at <= offset) low = middle;
    else high = middle - 1;
  }
  const piece = line.pieces[low];
  return piece ? piece.from + (offset - piece.at) : line.end;
}
