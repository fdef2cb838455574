// Symlinks followed by look-ups in a tree that is never mounted: nothing of the host can be reached, whatever they say.
import type { RawPath } from '#native';

interface LinkEntry {
  readonly type: string;
  readonly linkTarget: RawPath;
}

const maxLinks = 255;

/**
 * `path` with the symlinks in it replaced by what they lead to, the last component's only if `followLast`. Absolute
 * targets start at the root, and `..` stops there. Components that don't exist stay as they are.
 *
 * @param lookup the entry at a path none of whose directories is a symlink
 * @returns null: the links lead in a circle
 */
export function resolveLinks(
  lookup: (path: RawPath) => LinkEntry | null,
  path: RawPath,
  followLast: boolean,
): RawPath | null {
  let todo = components(path);
  const done: string[] = [];
  let links = 0;
  while (todo.length > 0) {
    const name = todo[0]!;
    todo = todo.slice(1);
    if (name === '..') {
      done.pop();
      continue;
    }
    done.push(name);
    if (todo.length === 0 && !followLast) break;
    const entry = lookup(done.join('/') as RawPath);
    if (entry?.type !== 'symlink') continue;
    if (++links > maxLinks) return null;
    done.pop();
    if (entry.linkTarget.startsWith('/')) done.length = 0;
    todo = [...components(entry.linkTarget), ...todo];
  }
  return done.join('/') as RawPath;
}

function components(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

/** `dir` and `name` as one path; '' is the root. */
export function joinPath(dir: string, name: string): RawPath {
  return (dir === '' ? name : name === '' ? dir : `${dir}/${name}`) as RawPath;
}

/** The directory that holds `path`; '' for names in the root. */
export function parentPath(path: RawPath): RawPath {
  return path.slice(0, Math.max(0, path.lastIndexOf('/'))) as RawPath;
}

/** The last component. */
export function baseName(path: RawPath): RawPath {
  return path.slice(path.lastIndexOf('/') + 1) as RawPath;
}
