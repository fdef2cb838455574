// What the parser of one kind of instruction is given, and how it refuses.
import { BuildError, type Span } from '../base/index.js';
import type { Flags } from './flags.js';
import { parseStringArray } from './json-array.js';
import { type LogicalLine, spanOf } from './logical-line.js';
import type { EscapeCharacter, Keyword, Word } from './types.js';
import { blankWords, restOfLine } from './words.js';

export interface InstructionText {
  readonly line: LogicalLine;
  readonly keyword: Keyword;
  readonly flags: Flags;
  /** Offset of the keyword, and of the arguments after the flags. */
  readonly start: number;
  readonly rest: number;
  readonly escapeChar: EscapeCharacter;
  /** What every instruction has. Parsers put it into their own literal: merging objects costs more than parsing them. */
  readonly at: Span;
  readonly source: string;
}

/** The arguments of COPY, ADD and VOLUME: a JSON array, or words between blanks. @throws BuildError ARGUMENTS_INVALID */
export function jsonOrWords(text: InstructionText): Word[] {
  const { line } = text;
  const array = parseStringArray(line.text, text.rest);
  if (array.kind === 'none') return blankWords(line, text.rest);
  if (array.kind === 'not-strings') return fail(text, `the JSON array of ${text.keyword} may only hold strings`);
  return array.items.map((item) => ({ text: item.text, at: spanOf(line, item.start, item.end) }));
}

/** @throws BuildError ARGUMENTS_INVALID at the arguments, or at the keyword if there are none */
export function fail(text: InstructionText, message: string, hint?: string): never {
  const rest = restOfLine(text.line, text.rest);
  throw new BuildError('ARGUMENTS_INVALID', {
    message,
    hint,
    at: rest?.at ?? spanOf(text.line, text.start, text.start + text.keyword.length),
  });
}
