// Variables, quotes and escapes in a word, as BuildKit's shell lexer reads them.
import { compileShellPattern, replaceMatches, type ShellPattern, trimEnd, trimStart } from './shell-pattern.js';

/** A word that can't be expanded; the caller knows its place. */
export class ExpansionError extends Error {
  /** True if the word itself is fine, but says ${name:?} of a variable that has no value. */
  readonly required: boolean;

  constructor(message: string, required = false) {
    super(message);
    this.required = required;
  }
}

export interface ExpandOptions {
  readonly escapeChar: string;
  /** Keep quotes as they are; they still decide what is expanded. */
  readonly rawQuotes?: boolean;
  /** Quotes are ordinary characters: for the content of heredocs. */
  readonly ignoreQuotes?: boolean;
  /** Leave variables without a value as they stand. */
  readonly keepUnset?: boolean;
}

/** Value of a variable; undefined if it has none. */
export type Lookup = (name: string) => string | undefined;

/** @throws ExpansionError */
export function expandWord(word: string, lookup: Lookup, options: ExpandOptions): string {
  if (!/[$'"]/.test(word) && !word.includes(options.escapeChar)) return word;
  return new Lexer(word, lookup, options).readUntil('', false).join('');
}

/** The same, split where unquoted blanks are once variables have their values. @throws ExpansionError */
export function expandWords(word: string, lookup: Lookup, options: ExpandOptions): string[] {
  const words: string[] = [];
  let current: string | null = null;
  for (const piece of new Lexer(word, lookup, options).readPieces('', false)) {
    if (piece.literal) current = (current ?? '') + piece.text;
    else {
      for (const part of piece.text.split(/(\s+)/)) {
        if (part === '') continue;
        if (!/^\s/.test(part)) current = (current ?? '') + part;
        else if (current) {
          words.push(current);
          current = null;
        }
      }
    }
  }
  if (current) words.push(current);
  return words;
}

interface Piece {
  readonly text: string;
  /** Quoted or escaped: blanks in it don't separate words. */
  readonly literal: boolean;
}

const maxDepth = 64;

class Lexer {
  readonly #text: string;
  readonly #lookup: Lookup;
  readonly #options: ExpandOptions;
  #at = 0;
  #depth = 0;
  #rawEscapes = false;

  constructor(text: string, lookup: Lookup, options: ExpandOptions) {
    this.#text = text;
    this.#lookup = lookup;
    this.#options = options;
  }

  /** Text up to `stop`, which is consumed; up to the end if `stop` is ''. */
  readUntil(stop: string, rawEscapes: boolean): string[] {
    return this.readPieces(stop, rawEscapes).map((piece) => piece.text);
  }

  readPieces(stop: string, rawEscapes: boolean): Piece[] {
    if (++this.#depth > maxDepth) throw new ExpansionError('variables are nested too deeply');
    const outer = this.#rawEscapes;
    this.#rawEscapes = rawEscapes;
    const pieces: Piece[] = [];
    for (;;) {
      const char = this.#text[this.#at];
      if (char === undefined) {
        if (stop !== '') throw new ExpansionError(`the { of a variable is not closed: ${stop} is missing`);
        break;
      }
      if (char === stop) {
        this.#at++;
        break;
      }
      pieces.push(this.#readUnit(char));
    }
    this.#rawEscapes = outer;
    this.#depth--;
    return pieces;
  }

  #readUnit(char: string): Piece {
    const { ignoreQuotes, escapeChar } = this.#options;
    if (char === '$') return { text: this.#readDollar(), literal: false };
    if (char === "'" && !ignoreQuotes) return { text: this.#readSingleQuoted(), literal: true };
    if (char === '"' && !ignoreQuotes) return { text: this.#readDoubleQuoted(), literal: true };
    this.#at++;
    if (char !== escapeChar) return { text: char, literal: !/\s/.test(char) };
    const escaped = this.#text[this.#at] ?? '';
    this.#at++;
    return { text: this.#rawEscapes ? char + escaped : escaped, literal: true };
  }

  #readSingleQuoted(): string {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end < 0) throw new ExpansionError("a ' is never closed");
    const quoted = this.#text.slice(this.#at, end + 1);
    this.#at = end + 1;
    return this.#options.rawQuotes ? quoted : quoted.slice(1, -1);
  }

  #readDoubleQuoted(): string {
    const { escapeChar, rawQuotes } = this.#options;
    let result = rawQuotes ? '"' : '';
    this.#at++;
    for (;;) {
      const char = this.#text[this.#at];
      if (char === undefined) throw new ExpansionError('a " is never closed');
      if (char === '"') break;
      if (char === '$') {
        result += this.#readDollar();
        continue;
      }
      this.#at++;
      if (char !== escapeChar) {
        result += char;
        continue;
      }
      const next = this.#text[this.#at];
      if (next === '"' || next === '$' || next === escapeChar) {
        result += this.#rawEscapes ? char + next : next;
        this.#at++;
      } else if (next !== undefined) result += this.#rawEscapes ? char + char : char;
    }
    this.#at++;
    return rawQuotes ? `${result}"` : result;
  }

  #readDollar(): string {
    this.#at++;
    if (this.#text[this.#at] !== '{') {
      const name = this.#readName();
      if (name === '') return '$';
      return this.#lookup(name) ?? (this.#options.keepUnset ? `$${name}` : '');
    }
    const start = this.#at - 1;
    this.#at++;
    const first = this.#text[this.#at];
    if (first === undefined) throw new ExpansionError('the { of a variable is never closed');
    const name = this.#readName();
    if (name === '') throw new ExpansionError(`\${ must be followed by the name of a variable, not ${first}`);
    const value = this.#readModifier(name);
    const unset = this.#lookup(name) === undefined;
    return unset && this.#options.keepUnset ? this.#text.slice(start, this.#at) : value();
  }

  /** What follows the name in `${name…}`. The value is asked for only after all of it was read. */
  #readModifier(name: string): () => string {
    const value = this.#lookup(name);
    let modifier = this.#text[this.#at++];
    if (modifier === '}') return () => value ?? '';
    if (modifier === undefined) throw new ExpansionError('the { of a variable is never closed');
    if (modifier === '/') return this.#readReplacement(value ?? '');
    const emptyIsUnset = modifier === ':';
    if (emptyIsUnset) modifier = this.#text[this.#at++];
    if (modifier === '#' || modifier === '%') return this.#readTrim(modifier, value ?? '');
    if (modifier !== '-' && modifier !== '+' && modifier !== '?') {
      throw new ExpansionError(`\${${name}${emptyIsUnset ? ':' : ''}${modifier ?? ''}…} is no form of a variable`);
    }
    const word = this.readUntil('}', false).join('');
    const given = value !== undefined && !(emptyIsUnset && value === '');
    if (modifier === '-') return () => (given ? value : word);
    if (modifier === '+') return () => (given ? word : '');
    return () => {
      if (given) return value;
      throw new ExpansionError(word || `${name} needs a value`, true);
    };
  }

  #readTrim(modifier: '#' | '%', value: string): () => string {
    let text = this.readUntil('}', true).join('');
    const which = text.startsWith(modifier) ? 'longest' : 'shortest';
    if (which === 'longest') text = text.slice(1);
    const trim = modifier === '#' ? trimStart : trimEnd;
    return () => trim(value, requirePattern(text), which);
  }

  #readReplacement(value: string): () => string {
    const which = this.#text[this.#at] === '/' ? 'all' : 'first';
    if (which === 'all') this.#at++;
    const pattern = this.readUntil('/', true).join('');
    const text = this.readUntil('}', true).join('');
    return () => replaceMatches(value, requirePattern(pattern), text, which);
  }

  /** A name, a number or one special parameter such as `@`; '' if there is none. */
  #readName(): string {
    const pattern = /\d+|[\p{L}_][\p{L}\p{Nd}_]*|[@*#?$!-]/uy;
    pattern.lastIndex = this.#at;
    const name = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += name.length;
    return name;
  }
}

function requirePattern(text: string): ShellPattern {
  const pattern = compileShellPattern(text);
  if (!pattern) throw new ExpansionError(`in the pattern ${text}, \\ may only stand before * ? \\ } or /`);
  return pattern;
}
