// Finds `<<NAME` in an instruction. What counts as one is what BuildKit takes for one: a shell word of digits, '<<',
// perhaps '-', and a name without '<'; never inside quotes.

import { isBlank, skipBlanks } from './blanks.js';

export interface HeredocOpener {
  /** Offsets of the opening word in the text. */
  readonly start: number;
  readonly end: number;
  readonly name: string;
  readonly expand: boolean;
  readonly stripTabs: boolean;
}

/** The openers in `text` from `start` on; none if its quotes don't match. */
export function findHeredocs(text: string, start: number): HeredocOpener[] {
  const openers: HeredocOpener[] = [];
  if (!text.includes('<<', start)) return openers;
  for (let at = skipBlanks(text, start); at < text.length; at = skipBlanks(text, at)) {
    const end = endOfWord(text, at);
    if (end === null) return [];
    const opener = asOpener(text.slice(at, end));
    if (opener) openers.push({ start: at, end, ...opener });
    at = end;
  }
  return openers;
}

/** The word without its quotes and escapes. */
function unquote(word: string): string {
  let result = '';
  for (let at = 0; at < word.length; at++) {
    const char = word[at]!;
    if (char === '\\') result += word[++at] ?? '';
    else if (char === "'" || char === '"') {
      const end = endOfQuoted(word, at) ?? word.length + 1;
      const inner = word.slice(at + 1, end - 1);
      result += char === '"' ? inner.replace(/\\(["$\\])/g, '$1') : inner;
      at = end - 1;
    } else result += char;
  }
  return result;
}

/** Offset after the quoted text that opens at `start`; null if it never closes. */
function endOfQuoted(text: string, start: number): number | null {
  const quote = text[start]!;
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === quote) return at + 1;
    if (quote === '"' && text[at] === '\\') at++;
  }
  return null;
}

/** Offset after the shell word at `start`; blanks between '<<' and a name belong to it. Null if a quote never closes. */
function endOfWord(text: string, start: number): number | null {
  let at = start;
  while (at < text.length && !isBlank(text.charCodeAt(at))) {
    const char = text[at]!;
    if (char === '\\') at += 2;
    else if (char === "'" || char === '"') {
      const end = endOfQuoted(text, at);
      if (end === null) return null;
      at = end;
    } else if (char === '<' && text[at + 1] === '<' && text[at + 2] !== '<' && text[at - 1] !== '<') {
      at += text[at + 2] === '-' ? 3 : 2;
      const name = skipBlanks(text, at);
      // '1 << 2))' is arithmetic: after blanks only a plain name makes it a heredoc.
      if (name > at && /^(?:'[\w.-]+'|"[\w.-]+"|[A-Za-z_-][\w.-]*)(?=\s|$)/.test(text.slice(name, name + 256)))
        at = name;
    } else at++;
  }
  return Math.min(at, text.length);
}

function asOpener(word: string): Pick<HeredocOpener, 'name' | 'expand' | 'stripTabs'> | null {
  const match = /^\d*<<(-?)\s*([^<]+)$/.exec(word);
  if (!match) return null;
  const name = unquote(match[2]!);
  if (name === '') return null;
  return { name, expand: !/['"]/.test(match[2]!.replace(/\\./gs, '')), stripTabs: match[1] === '-' };
}
