// The patterns in ${name#pattern}, ${name%pattern} and ${name/pattern/text}: `*`, `?` and literal characters. Matched by
// stepping through states, so that the time is the product of the two lengths at worst.

type Token = { readonly kind: 'char'; readonly char: string } | { readonly kind: 'one' } | { readonly kind: 'star' };

/** A compiled pattern. */
export type ShellPattern = readonly Token[];

/** @returns null: `\` escapes something other than * ? \ } or / */
export function compileShellPattern(text: string): ShellPattern | null {
  const tokens: Token[] = [];
  const chars = Array.from(text);
  for (let at = 0; at < chars.length; at++) {
    let char = chars[at]!;
    if (char === '*') tokens.push({ kind: 'star' });
    else if (char === '?') tokens.push({ kind: 'one' });
    else {
      if (char === '\\') {
        char = chars[++at] ?? '';
        if (!['*', '?', '\\', '}', '/'].includes(char)) return null;
      }
      tokens.push({ kind: 'char', char });
    }
  }
  return tokens;
}

/** `value` without its shortest or longest beginning that matches. */
export function trimStart(value: string, pattern: ShellPattern, which: 'shortest' | 'longest'): string {
  const chars = Array.from(value);
  const length = matchLength(chars, 0, pattern, which);
  return length === null ? value : chars.slice(length).join('');
}

/** The same at its end. */
export function trimEnd(value: string, pattern: ShellPattern, which: 'shortest' | 'longest'): string {
  const chars = Array.from(value).reverse();
  const length = matchLength(chars, 0, pattern.toReversed(), which);
  return length === null ? value : chars.slice(length).reverse().join('');
}

/** `value` with the first match, or every match, replaced; each as long as possible. */
export function replaceMatches(value: string, pattern: ShellPattern, text: string, which: 'first' | 'all'): string {
  const chars = Array.from(value);
  const starts = matchStarts(chars, pattern);
  let result = '';
  let at = 0;
  while (at <= chars.length) {
    const length = starts[at] === 1 ? matchLength(chars, at, pattern, 'longest') : null;
    if (length !== null) {
      result += text;
      if (which === 'first') return result + chars.slice(at + length).join('');
    }
    if (!length) result += chars[at] ?? '';
    at += Math.max(1, length ?? 0);
  }
  return result;
}

function matchLength(
  chars: readonly string[],
  start: number,
  pattern: ShellPattern,
  which: 'shortest' | 'longest',
): number | null {
  let states = reach(pattern, new Uint8Array(pattern.length + 1), 0);
  let found: number | null = null;
  for (let at = start; ; at++) {
    if (states[pattern.length] === 1) {
      found = at - start;
      if (which === 'shortest') return found;
    }
    if (at >= chars.length || !states.includes(1)) return found;
    states = step(pattern, states, chars[at]!);
  }
}

/** 1 where some match begins: one pass backwards with the reversed pattern, which may begin anywhere. */
function matchStarts(chars: readonly string[], pattern: ShellPattern): Uint8Array {
  const starts = new Uint8Array(chars.length + 1);
  const reversed = pattern.toReversed();
  let states = reach(reversed, new Uint8Array(pattern.length + 1), 0);
  for (let at = chars.length; ; at--) {
    if (states[pattern.length] === 1) starts[at] = 1;
    if (at === 0) return starts;
    states = reach(reversed, step(reversed, states, chars[at - 1]!), 0);
  }
}

function step(pattern: ShellPattern, states: Uint8Array, char: string): Uint8Array {
  const next = new Uint8Array(pattern.length + 1);
  const wild = char !== '\n'; // `*` and `?` end at a line's end
  for (let state = 0; state < pattern.length; state++) {
    if (states[state] !== 1) continue;
    const token = pattern[state]!;
    if (token.kind === 'star') {
      if (wild) reach(pattern, next, state);
    } else if (token.kind === 'one' ? wild : token.char === char) reach(pattern, next, state + 1);
  }
  return next;
}

/** Marks `state` and those that stars let follow without a character. */
function reach(pattern: ShellPattern, states: Uint8Array, state: number): Uint8Array {
  let at = state;
  states[at] = 1;
  while (pattern[at]?.kind === 'star') states[++at] = 1;
  return states;
}
