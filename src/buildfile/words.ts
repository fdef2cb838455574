// How a line's arguments become words. Quotes and escapes stay in them: expansion takes them away.
import { endOfWord, isBlank, skipBlanks } from './blanks.js';
import { type LogicalLine, spanOf } from './logical-line.js';
import type { EscapeCharacter, Word } from './types.js';

/** Words between blanks, whatever quotes say: as in COPY, FROM and EXPOSE. Heredoc openers are no words. */
export function blankWords(line: LogicalLine, start: number): Word[] {
  const text = line.heredocs.length > 0 ? withoutOpeners(line) : line.text;
  const words: Word[] = [];
  for (let at = skipBlanks(text, start); at < text.length; at = skipBlanks(text, at)) {
    const end = endOfWord(text, at);
    words.push({ text: text.slice(at, end), at: spanOf(line, at, end) });
    at = end;
  }
  return words;
}

function withoutOpeners(line: LogicalLine): string {
  let text = '';
  for (const { opener } of line.heredocs) {
    text += line.text.slice(text.length, opener.start) + ' '.repeat(opener.end - opener.start);
  }
  return text + line.text.slice(text.length);
}

/** Words between blanks that are neither quoted nor escaped: as in ENV, LABEL and ARG. */
export function quotedWords(line: LogicalLine, start: number, escapeChar: EscapeCharacter): LineWord[] {
  const { text } = line;
  const words: LineWord[] = [];
  let at = start;
  for (;;) {
    at = skipBlanks(text, at);
    if (at >= text.length) return words;
    const from = at;
    let quote = '';
    while (at < text.length && (quote !== '' || !isBlank(text.charCodeAt(at)))) {
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
  const from = skipBlanks(line.text, start);
  if (from === line.text.length) return null;
  const text = line.text.slice(from).trimEnd();
  return { text, start: from, at: spanOf(line, from, from + text.length) };
}
