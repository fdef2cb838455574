// Which files a source pattern of COPY or ADD means.
import { posix } from 'node:path';
import { displayPath, type RawPath, rawPath } from '#native';
import { BuildError, globMatcher, hasGlob, type IgnoreMatcher, patternMatcher, type Span } from '../base/index.js';
import { baseName, joinPath, parentPath, resolveLinks } from './copy-links.js';
import { sourceNotFound } from './copy-not-found.js';
import type { SourceEntry, SourceTree } from './copy-source.js';

/** A file or directory that a pattern named, with the symlink followed if it is one. */
export interface Match {
  readonly entry: SourceEntry;
  /** The name it was found under, which a file keeps when it lands in a directory. */
  readonly name: RawPath;
  /** A wildcard found it. */
  readonly wild: boolean;
  readonly at: Span;
}

/**
 * What `pattern` names, in byte order; [] only for a pattern with wildcards, whose fixed part must be there. Paths start at the top of the tree, and
 * `..` stops there.
 *
 * @throws BuildError COPY_NOT_FOUND, PATTERN_INVALID
 */
export function matchSource(tree: SourceTree, pattern: string, at: Span): Match[] {
  const names = cleanPattern(pattern);
  const firstWild = names.findIndex(hasGlob);
  const wild = firstWild >= 0;
  const fixed = rawPath((wild ? names.slice(0, firstWild) : names).join('/'));
  const top = follow(tree, fixed);
  if (!wild) {
    const entry = top === null ? null : tree.lookup(top);
    if (entry === null) throw sourceNotFound(tree, fixed, pattern, at);
    return [{ entry, name: baseName(fixed), wild, at }];
  }
  const globs = names.slice(firstWild).map((glob) => compile(glob, at));
  const dir = top === null ? null : tree.lookup(top);
  if (top === null || dir === null) throw sourceNotFound(tree, fixed, pattern, at);
  const paths = dir.type === 'dir' ? expand(tree, top, globs) : [];
  return paths.map((path) => {
    const resolved = follow(tree, path);
    const entry = resolved === null ? null : tree.lookup(resolved);
    if (entry === null) throw sourceNotFound(tree, path, pattern, at);
    return { entry, name: baseName(path), wild, at };
  });
}

/** The components of a source path: `..` can't lead above the top. */
function cleanPattern(pattern: string): string[] {
  return posix
    .normalize(`/${pattern}`)
    .split('/')
    .filter((name) => name !== '');
}

function follow(tree: SourceTree, path: RawPath): RawPath | null {
  return resolveLinks((at) => tree.lookup(at), path, true);
}

function compile(glob: string, at: Span): (name: string) => boolean {
  try {
    return globMatcher(glob);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    throw new BuildError(error.code, { message: error.message, hint: error.hint, at, cause: error });
  }
}

/** Component by component; symlinks that a wildcard found are not entered. */
function expand(tree: SourceTree, dir: RawPath, globs: readonly ((name: string) => boolean)[]): RawPath[] {
  const [glob, ...rest] = globs;
  const found: RawPath[] = [];
  for (const name of tree.names(dir)) {
    if (!glob!(displayPath(name))) continue;
    const path = joinPath(dir, name);
    const entry = tree.lookup(path);
    if (entry === null) continue;
    if (rest.length === 0) found.push(path);
    else if (entry.type === 'dir') found.push(...expand(tree, path, rest));
  }
  return found;
}

/** Files below a source directory. */
export interface Selection {
  readonly entries: readonly SourceEntry[];
  /** Directories among them that only lead to others. */
  readonly parents: ReadonlySet<SourceEntry>;
}

/** Everything below `dir` that `exclude` leaves. */
export async function selectBelow(tree: SourceTree, dir: RawPath, exclude: IgnoreMatcher | null): Promise<Selection> {
  const entries = await tree.walk(dir);
  if (!exclude) return { entries, parents: new Set() };
  return filter(entries, dir, (path) => !exclude.ignores(path));
}

/** The path of an entry below the directory `dir`, from there. */
export function relativePath(dir: RawPath, entry: SourceEntry): RawPath {
  return dir === '' ? entry.path : (entry.path.slice(dir.length + 1) as RawPath);
}

/**
 * What a pattern of `COPY --parents` selects below the pivot `dir`, with the directories that lead there. `**` stands
 * for any number of directories; symlinks are not followed.
 *
 * @throws BuildError COPY_NOT_FOUND
 */
export async function selectWithParents(
  tree: SourceTree,
  dir: RawPath,
  pattern: string,
  exclude: IgnoreMatcher | null,
  at: Span,
): Promise<Selection> {
  const names = cleanPattern(pattern);
  const firstWild = names.findIndex(hasGlob);
  const fixed = rawPath((firstWild < 0 ? names : names.slice(0, firstWild)).join('/'));
  const top = joinPath(dir, fixed);
  const above = entriesTo(tree, dir, top);
  if (above === null) {
    if (firstWild < 0) throw sourceNotFound(tree, top, pattern, at);
    return { entries: [], parents: new Set() };
  }
  const below = top === dir || above.at(-1)?.type === 'dir' ? await tree.walk(top) : [];
  const include = patternMatcher([names.join('/')]);
  return filter(
    [...above, ...below],
    dir,
    (path) => (names.length === 0 || include.ignores(path)) && !exclude?.ignores(path),
  );
}

/** What lies on the way from `dir` (excluded) to `path`; null if it isn't there, or only through a symlink. */
function entriesTo(tree: SourceTree, dir: RawPath, path: RawPath): SourceEntry[] | null {
  if (path === dir) return [];
  const above = entriesTo(tree, dir, parentPath(path));
  const parent = above?.at(-1);
  if (above === null || (parent !== undefined && parent.type !== 'dir')) return null;
  const entry = tree.lookup(path);
  return entry && [...above, entry];
}

/** The entries whose path from `dir` is wanted, and the unwanted directories above them. */
function filter(entries: readonly SourceEntry[], dir: RawPath, wanted: (path: string) => boolean): Selection {
  const candidates = new Map<string, SourceEntry>();
  const parents = new Set<SourceEntry>();
  const selected: SourceEntry[] = [];
  for (const entry of entries) {
    const path = relativePath(dir, entry);
    if (wanted(displayPath(path))) {
      for (let above = parentPath(path); candidates.has(above); above = parentPath(above)) {
        parents.add(candidates.get(above)!);
        candidates.delete(above);
      }
      selected.push(entry);
    } else if (entry.type === 'dir') {
      candidates.set(path, entry);
    }
  }
  return { entries: [...parents, ...selected], parents };
}
