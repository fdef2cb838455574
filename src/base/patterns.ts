// Which paths a list of patterns means: .dockerignore files and COPY --exclude. As docker decides it: the last pattern
// that matches a path or a directory above it wins, and '!' takes a path back, even below an excluded directory.
import { posix } from 'node:path';
import { BuildError } from './errors.js';
import { compileDeepGlob, compileGlob, type Glob } from './glob.js';
import type { SourceFile } from './span.js';

/** Paths are text (UTF-8 decoded), relative, slash-separated, without './' or a trailing slash. Fastest when asked in the order of a walk. */
export interface IgnoreMatcher {
  ignores(path: string): boolean;
  /** True if `directory` is ignored and no pattern can take back anything below it: a walk need not enter it. */
  prunesDirectory(directory: string): boolean;
  /** True if some pattern begins with '!'. */
  readonly takesBack: boolean;
  /** True if a pattern means every path there is: '*', '**' or both with a slash between. */
  readonly ignoresAll: boolean;
}

/**
 * The matcher of an ignore file's text.
 * @throws BuildError IGNORE_INVALID
 * @see Dockerfile reference, ".dockerignore files"
 */
export function ignoreMatcher(text: string, name = '.dockerignore'): IgnoreMatcher {
  const file: SourceFile = { name, text };
  const patterns: Pattern[] = [];
  let start = text.startsWith('\uFEFF') ? 1 : 0;
  for (const line of text.slice(start).split('\n')) {
    const pattern = line.startsWith('#') ? null : compilePattern(normalizeLine(line));
    const lead = line.length - line.trimStart().length;
    if (pattern === 'malformed')
      throw invalid(line.trim(), { file, start: start + lead, end: start + line.trimEnd().length });
    if (pattern) patterns.push(pattern);
    start += line.length + 1;
  }
  return matcher(patterns);
}

/** The same for patterns that were given one by one, as to COPY --exclude. @throws BuildError IGNORE_INVALID */
export function patternMatcher(patterns: readonly string[]): IgnoreMatcher {
  return matcher(
    patterns.flatMap((text) => {
      const pattern = compilePattern(text);
      if (pattern === 'malformed') throw invalid(text, undefined);
      return pattern ?? [];
    }),
  );
}

/**
 * Whether `path` matches a COPY source pattern, as Go's filepath.Match.
 * @throws BuildError PATTERN_INVALID
 */
export function globMatcher(pattern: string): (path: string) => boolean {
  const glob = compileGlob(pattern);
  if (!glob) {
    throw new BuildError('PATTERN_INVALID', {
      message: `${JSON.stringify(pattern)} is not a valid pattern`,
      hint: "close every '[' with ']'; write '\\' before a character that is meant literally",
    });
  }
  return (path) => glob.matches(path);
}

interface Pattern {
  readonly text: string;
  readonly exclusion: boolean;
  readonly glob: Glob;
}

function invalid(pattern: string, at: BuildError['at']): BuildError {
  return new BuildError('IGNORE_INVALID', {
    message: `${JSON.stringify(pattern)} is not a valid pattern`,
    hint:
      pattern === '!'
        ? "put a pattern after '!'"
        : "close every '[' with ']'; write '\\' before a character that is meant literally",
    at,
  });
}

/** A line's pattern without blanks and a leading '/', as the ignore file's reader hands it on. */
function normalizeLine(line: string): string {
  const pattern = line.trim();
  const inverted = pattern.startsWith('!');
  const body = (inverted ? pattern.slice(1) : pattern).trim();
  if (body === '') return inverted ? '!' : '';
  const cleaned = clean(body);
  return (inverted ? '!' : '') + (cleaned.length > 1 && cleaned.startsWith('/') ? cleaned.slice(1) : cleaned);
}

function compilePattern(text: string): Pattern | null | 'malformed' {
  const trimmed = text.trim();
  if (trimmed === '') return null;
  const cleaned = clean(trimmed);
  const exclusion = cleaned.startsWith('!');
  const pattern = exclusion ? cleaned.slice(1) : cleaned;
  if (pattern === '' || !compileGlob(pattern)) return 'malformed';
  const glob = affixGlob(pattern) ?? compileDeepGlob(pattern);
  return glob ? { text: pattern, exclusion, glob } : 'malformed';
}

/** A `**` at one end with nothing special in the rest is a comparison of text: '**.md' is any path that ends so. */
function affixGlob(pattern: string): Glob | null {
  if (pattern.startsWith('**') && !/[*?[\]\\]/.test(pattern.slice(2))) {
    const suffix = pattern.slice(2);
    return {
      matches: (path) => path.endsWith(suffix) || (suffix.startsWith('/') && path === suffix.slice(1)),
      matchesBeneath: () => true,
    };
  }
  if (pattern.endsWith('**') && !/[*?[\]\\]/.test(pattern.slice(0, -2))) {
    const prefix = pattern.slice(0, -2);
    return {
      matches: (path) => path.startsWith(prefix),
      matchesBeneath: (directory) => directory.startsWith(prefix) || prefix.startsWith(directory),
    };
  }
  return null;
}

function matcher(patterns: readonly Pattern[]): IgnoreMatcher {
  const exclusions = patterns.filter((pattern) => pattern.exclusion);
  // The directories from the root to the path that was asked last: a walk asks for neighbours.
  const chain: { path: string; matches: readonly boolean[]; ignored: boolean }[] = [];

  const decide = (path: string): { matches: readonly boolean[]; ignored: boolean } => {
    let known = chain.at(-1);
    while (known !== undefined && !isAtOrBelow(path, known.path)) {
      chain.pop();
      known = chain.at(-1);
    }
    while (known?.path !== path) {
      const end = path.indexOf('/', known ? known.path.length + 1 : 0);
      const part: string = end < 0 ? path : path.slice(0, end);
      known = { path: part, ...decideBelow(patterns, part, known?.matches) };
      chain.push(known);
    }
    return known;
  };

  const takesBack = exclusions.length > 0;
  const ignoresAll = patterns.some(({ text, exclusion }) => !exclusion && ['*', '**', '**/*'].includes(text));
  if (patterns.length === 0) return { ignores: () => false, prunesDirectory: () => false, takesBack, ignoresAll };
  return {
    takesBack,
    ignoresAll,
    ignores: (path) => path !== '' && path !== '.' && decide(path).ignored,
    prunesDirectory: (directory) =>
      directory !== '' &&
      directory !== '.' &&
      decide(directory).ignored &&
      !exclusions.some((pattern) => pattern.glob.matchesBeneath(`${directory}/`)),
  };
}

/**
 * One path, given which patterns matched its directory. A pattern that could not have changed the outcome is not asked
 * and counts as "did not match" for everything below: docker does so, and it shows in lists such as 'a/x', '!a'.
 */
function decideBelow(
  patterns: readonly Pattern[],
  path: string,
  above: readonly boolean[] = none,
): { matches: readonly boolean[]; ignored: boolean } {
  let ignored = false;
  let matches: boolean[] | null = null;
  for (let i = 0; i < patterns.length; i++) {
    const pattern = patterns[i]!;
    if (above[i] !== true && (pattern.exclusion !== ignored || !pattern.glob.matches(path))) continue;
    matches ??= [];
    matches[i] = true;
    ignored = !pattern.exclusion;
  }
  return { matches: matches ?? none, ignored };
}

/** No pattern matched: most paths, so that they share it. */
const none: readonly boolean[] = [];

function isAtOrBelow(path: string, directory: string): boolean {
  return (
    path.startsWith(directory) &&
    (path.length === directory.length || path.charCodeAt(directory.length) === '/'.charCodeAt(0))
  );
}

/** Go's filepath.Clean. */
function clean(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal;
}
