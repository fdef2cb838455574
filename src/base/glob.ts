// Go's filepath.Match, which COPY sources and ignore files are written in. A pattern becomes a small automaton that is
// stepped once a character, so that no pattern, however hostile, makes matching slow.

/** A compiled pattern. */
export interface Glob {
  matches(path: string): boolean;
  /** Whether some path that starts with `prefix` could match. */
  matchesBeneath(prefix: string): boolean;
}

/** True if `pattern` has a character that means something in a pattern; others can be looked up as they are. */
export function hasGlob(pattern: string): boolean {
  return /[*?[\\]/.test(pattern);
}

/**
 * `*` and `?` and classes don't cross '/', except that a negated class may; `\` escapes.
 * @returns null: the pattern is malformed (unclosed class, empty class, trailing backslash)
 * @see Go path/filepath Match
 */
export function compileGlob(pattern: string): Glob | null {
  return compile(pattern, { doubleStar: false });
}

/** The same with `**`, which stands for any number of directories, or at the end for everything. */
export function compileDeepGlob(pattern: string): Glob | null {
  return compile(pattern, { doubleStar: true });
}

type Token =
  | { readonly kind: 'char'; readonly code: number }
  | { readonly kind: 'class'; readonly negated: boolean; readonly ranges: readonly (readonly [number, number])[] }
  /** `?`: any character but '/'. */
  | { readonly kind: 'one' }
  /** `*`: any number of characters but '/'. */
  | { readonly kind: 'star' }
  /** `**` at the end: anything. */
  | { readonly kind: 'all' }
  /** `**` elsewhere: nothing, or anything that ends with '/'. Two tokens: at `dirs` it can still be nothing, at `inside` not. */
  | { readonly kind: 'dirs' }
  | { readonly kind: 'inside' };

const slash = 0x2f;

function compile(pattern: string, { doubleStar }: { doubleStar: boolean }): Glob | null {
  const tokens = tokenize(pattern, doubleStar);
  if (!tokens) return null;
  const literal = literalPrefix(tokens);
  const ending = literalSuffix(tokens);
  return {
    matches: (path) => path.startsWith(literal) && path.endsWith(ending) && run(tokens, path)[tokens.length] === 1,
    matchesBeneath: (prefix) =>
      (prefix.startsWith(literal) || literal.startsWith(prefix)) && run(tokens, prefix).includes(1),
  };
}

function tokenize(pattern: string, doubleStar: boolean): Token[] | null {
  const chars = Array.from(pattern, (char) => char.codePointAt(0)!);
  const tokens: Token[] = [];
  let at = 0;
  while (at < chars.length) {
    const char = String.fromCodePoint(chars[at]!);
    if (char === '*' && doubleStar && chars[at + 1] === 0x2a) {
      at += 2;
      if (chars[at] === slash) at++; // '**/' may stand for nothing, its slash included
      if (at === chars.length) tokens.push({ kind: 'all' });
      else tokens.push({ kind: 'dirs' }, { kind: 'inside' });
    } else if (char === '*') {
      at++;
      tokens.push({ kind: 'star' });
    } else if (char === '?') {
      at++;
      tokens.push({ kind: 'one' });
    } else if (char === '[') {
      const parsed = parseClass(chars, at + 1);
      if (!parsed) return null;
      tokens.push(parsed.token);
      at = parsed.end;
    } else {
      if (char === '\\') at++;
      if (at === chars.length) return null;
      tokens.push({ kind: 'char', code: chars[at]! });
      at++;
    }
  }
  return tokens;
}

function parseClass(chars: readonly number[], start: number): { token: Token; end: number } | null {
  let at = start;
  const negated = chars[at] === 0x5e;
  if (negated) at++;
  const ranges: [number, number][] = [];
  const bound = (): number | null => {
    const code = chars[at];
    if (code === undefined || code === 0x2d || code === 0x5d) return null;
    if (code === 0x5c) at++;
    return chars[at++] ?? null;
  };
  while (chars[at] !== 0x5d || ranges.length === 0) {
    const low = bound();
    if (low === null) return null;
    let high: number | null = low;
    if (chars[at] === 0x2d) {
      at++;
      high = bound();
    }
    if (high === null) return null;
    ranges.push([low, high]);
  }
  return { token: { kind: 'class', negated, ranges }, end: at + 1 };
}

/** What every match starts with: most paths are decided by it. */
function literalPrefix(tokens: readonly Token[]): string {
  let text = '';
  for (const token of tokens) {
    if (token.kind !== 'char') break;
    text += String.fromCodePoint(token.code);
  }
  return text;
}

/** What every match ends with: it decides most paths for patterns such as '*.md'. */
function literalSuffix(tokens: readonly Token[]): string {
  let text = '';
  for (const token of tokens.toReversed()) {
    if (token.kind !== 'char') break;
    text = String.fromCodePoint(token.code) + text;
  }
  return text;
}

/** The states after reading `text`: state i is "tokens before i are used up"; state `tokens.length` accepts. */
function run(tokens: readonly Token[], text: string): Uint8Array {
  let now = new Uint8Array(tokens.length + 1);
  let next = new Uint8Array(tokens.length + 1);
  enter(tokens, now, 0);
  for (let i = 0; i < text.length; i++) {
    const code = text.codePointAt(i)!;
    if (code > 0xffff) i++;
    let alive = false;
    next.fill(0);
    for (let state = 0; state < tokens.length; state++) {
      if (now[state] === 1 && step(tokens, next, state, code)) alive = true;
    }
    [now, next] = [next, now];
    if (!alive) break;
  }
  return now;
}

/** Marks `state` and those that can be reached from it without a character. */
function enter(tokens: readonly Token[], states: Uint8Array, state: number): void {
  let at = state;
  for (;;) {
    states[at] = 1;
    const kind = tokens[at]?.kind;
    if (kind === 'star' || kind === 'all') at += 1;
    else if (kind === 'dirs') at += 2;
    else return;
  }
}

/** Reads one character in `state`. @returns whether any state is left */
function step(tokens: readonly Token[], next: Uint8Array, state: number, code: number): boolean {
  const token = tokens[state]!;
  switch (token.kind) {
    case 'char':
      if (code !== token.code) return false;
      break;
    case 'one':
      if (code === slash) return false;
      break;
    case 'class':
      if (token.ranges.some(([low, high]) => low <= code && code <= high) === token.negated) return false;
      break;
    case 'star':
      if (code === slash) return false;
      enter(tokens, next, state);
      return true;
    case 'all':
      enter(tokens, next, state);
      return true;
    case 'dirs':
      next[state + 1] = 1;
      if (code === slash) enter(tokens, next, state + 2);
      return true;
    case 'inside':
      next[state] = 1;
      if (code === slash) enter(tokens, next, state + 1);
      return true;
  }
  enter(tokens, next, state + 1);
  return true;
}
