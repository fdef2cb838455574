// How a line's arguments become words. Quotes and escapes stay in them: expansion takes them away.
import { type LogicalLine, spanOf } from './logical-line.js';
import type { EscapeCharacter, Word } from './types.js';

/** Words between blanks, whatever quotes say: as in COPY, FROM and EXPOSE. Heredoc openers are no words. */
export function blankWords(line: LogicalLine, start: number): Word[] {
  let { text } = line;
  for (const { opener } of line.heredocs) {
    text = text.slice(0, opener.start) + ' '.repeat(opener.end - opener.start) + text.slice(opener.end);
  }
  const words: Word[] = [];
  const pattern = /[^\s]+/g;
  pattern.lastIndex = start;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    words.push({ text: match[0], at: spanOf(line, match.index, match.index + match[0].length) });
  }
  return words;
}

/** Words between blanks that are neither quoted nor escaped: as in ENV, LABEL and ARG. */
export function quotedWords(line: LogicalLine, start: number, escapeChar: EscapeCharacter): LineWord[] {
  const { text } = line;
  const words: LineWord[] = [];
  let at = start;
  for (;;) {
    while (at < text.length && /\s/.test(text[at]!)) at++;
    if (at >= text.length) return words;
    const from = at;
    let quote = '';
    while (at < text.length && (quote !== '' || !/\s/.test(text[at]!))) {
      const char = text[at]!;
      if (char === escapeChar && quote !== "'") at++;
      else if (quote === '') quote = char === '"' || char === "'" ? char : '';
      else if (char === quote) quote = '';
      at++;
    }
    const end = Math.min(at, text.length);
    const word = at > text.length ? text.slice(from, -1) : text.slice(from, end); // an escape at the very end is dropped
    if (word !== '') words.push({ text: word, start: from, end: from + word.length });
  }
}

/** A word with its offsets in the line. */
export interface LineWord {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** The rest of the line as one word, blanks around it dropped; null if nothing is there. */
export function restOfLine(line: LogicalLine, start: number): (Word & { readonly start: number }) | null {
  const rest = line.text.slice(start);
  const text = rest.trim();
  if (text === '') return null;
  const from = start + rest.length - rest.trimStart().length;
  return { text, start: from, at: spanOf(line, from, from + text.length) };
}
