import { displayPath, type RawPath } from '#native';
import { BuildError, type Span } from '../base/index.js';
import { baseName, joinPath, parentPath, resolveLinks } from './copy-links.js';
import type { SourceTree } from './copy-source.js';

/** The error for a source that names nothing, with the likely reason. */
export function sourceNotFound(tree: SourceTree, path: RawPath, pattern: string, at: Span): BuildError {
  const reason = findReason(tree, path, pattern);
  return new BuildError('COPY_NOT_FOUND', {
    message: `${pattern} is not in ${tree.name}${reason.message}`,
    hint: reason.hint,
    at,
  });
}

/** The error for a pattern that can't find anything. */
export function nothingMatched(tree: SourceTree, pattern: string, at: Span): BuildError {
  return new BuildError('COPY_NOT_FOUND', {
    message: `no file in ${tree.name} matches ${pattern}`,
    hint: 'check the pattern, and that .dockerignore does not exclude the files it means',
    at,
  });
}

function findReason(tree: SourceTree, path: RawPath, pattern: string): { message: string; hint: string | undefined } {
  const shown = displayPath(path);
  if (tree.hides(path)) {
    return {
      message: ': excluded by .dockerignore',
      hint: `add a line !${shown} at the end of the ignore file to take it back`,
    };
  }
  const circle = findCircle(tree, path);
  if (circle !== null) return { message: `: the symlink ${displayPath(circle)} leads in a circle`, hint: undefined };
  const dir = resolveLinks((at) => tree.lookup(at), parentPath(path), true);
  const link = dir === null || path === '' ? null : tree.lookup(joinPath(dir, baseName(path)));
  if (link?.type === 'symlink') {
    return {
      message: `: it is a symlink to ${displayPath(link.linkTarget)}, which is not there`,
      hint: 'symlinks are followed inside the source only, never to files outside of it',
    };
  }
  const { parent, name } = firstMissing(tree, path);
  const similar = parent === null ? null : nearest(name, siblings(tree, parent));
  if (similar !== null) {
    return { message: '', hint: `did you mean ${displayPath(joinPath(parent!, similar))}?` };
  }
  if (/(^|\/)\.\.(\/|$)/.test(pattern)) {
    return { message: '', hint: "files above the source's top can't be copied; '..' stops there" };
  }
  return { message: '', hint: 'sources are relative to the top of what is copied from' };
}

/** The first part of `path` that symlinks never let arrive. */
function findCircle(tree: SourceTree, path: RawPath): RawPath | null {
  if (path === '') return null;
  const above = findCircle(tree, parentPath(path));
  return above ?? (resolveLinks((at) => tree.lookup(at), path, true) === null ? path : null);
}

/** The first component of `path` that isn't there, and the directory where it should be. */
function firstMissing(tree: SourceTree, path: RawPath): { parent: RawPath | null; name: RawPath } {
  let missing = path;
  while (missing !== '') {
    const parent = resolveLinks((at) => tree.lookup(at), parentPath(missing), true);
    if (parent !== null && tree.lookup(parent)?.type === 'dir') return { parent, name: baseName(missing) };
    missing = parentPath(missing);
  }
  return { parent: null, name: path };
}

function siblings(tree: SourceTree, dir: RawPath): RawPath[] {
  return tree.names(dir).filter((name) => tree.lookup(joinPath(dir, name)) !== null);
}

/** The candidate with the fewest edits, if they are few for a name of this length. */
function nearest(name: string, candidates: readonly RawPath[]): RawPath | null {
  let best: RawPath | null = null;
  let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) >= bestDistance || name.length > 100) continue;
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Levenshtein distance. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
