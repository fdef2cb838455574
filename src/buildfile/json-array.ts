import { skipBlanks } from './blanks.js';

/** A JSON array of strings in a line of text, as the exec forms are written. */
export type StringArray =
  | {
      readonly kind: 'array';
      readonly items: readonly { readonly text: string; readonly start: number; readonly end: number }[];
    }
  /** An array, but with an element that is no string; its place where it can be told. */
  | { readonly kind: 'not-strings' }
  /** No JSON array: the shell form, as in `RUN [ -f x ] && y`. */
  | { readonly kind: 'none' };

/** Reads `text` from `start` to its end. */
export function parseStringArray(text: string, start: number): StringArray {
  if (text[skipBlanks(text, start)] !== '[') return { kind: 'none' };
  const body = text.slice(start);
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return { kind: 'none' };
  }
  if (!Array.isArray(value)) return { kind: 'none' };
  const items: { text: string; start: number; end: number }[] = [];
  // Valid JSON of strings only: each string literal is one element.
  const literal = /"(?:[^"\\]|\\.)*"/gs;
  for (const element of value as unknown[]) {
    const match = literal.exec(body);
    if (typeof element !== 'string' || !match) return { kind: 'not-strings' };
    items.push({ text: element, start: start + match.index, end: start + match.index + match[0].length });
  }
  return { kind: 'array', items };
}
