// A word's variables: which have a value and which don't.

import type { Span } from '../base/index.js';
import { type ExpandOptions, ExpansionError, expandWord, type Word } from '../buildfile/index.js';

export interface Recorded {
  /** Null if the word can't be expanded, which is not for a check to tell. */
  readonly text: string | null;
  readonly matched: ReadonlySet<string>;
  readonly unmatched: ReadonlySet<string>;
}

const nothing: ReadonlySet<string> = new Set();

export function expandRecording(text: string, values: ReadonlyMap<string, string>, options: ExpandOptions): Recorded {
  if (!text.includes('$')) return { text: plain(text, options), matched: nothing, unmatched: nothing };
  const matched = new Set<string>();
  const unmatched = new Set<string>();
  const lookup = (name: string): string | undefined => {
    const value = values.get(name);
    (value === undefined ? unmatched : matched).add(name);
    return value;
  };
  return { text: attempt(() => expandWord(text, lookup, options)), matched, unmatched };
}

function plain(text: string, options: ExpandOptions): string | null {
  return attempt(() => expandWord(text, () => undefined, options));
}

/** The result; null where the text is no word, which planning tells better. */
export function attempt<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof ExpansionError) return null;
    throw error;
  }
}

/** Where a variable stands in a word; the word where that can't be told, as behind a continued line. */
export function placeOfVariable({ at }: Pick<Word, 'at'>, name: string): Span {
  const written = at.file.text.slice(at.start, at.end);
  const found = new RegExp(`\\$\\{?${name.replace(/\W/g, '\\$&')}(?!\\w)`).exec(written);
  if (found === null) return at;
  const start = at.start + found.index;
  return { file: at.file, start, end: start + found[0].length };
}
