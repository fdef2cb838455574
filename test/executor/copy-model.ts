// COPY as BuildKit executes it, one file after the other into a tree: what our planner, which touches no tree, must come
// to as well. Trees are maps, written as plainly as can be; names without wildcards only.
import { patternMatcher } from '../../src/base/index.js';

export interface Node {
  readonly type: 'dir' | 'file' | 'symlink';
  readonly mode: number;
  readonly owner: string;
  /** A file's text, a symlink's target. */
  readonly text: string;
}

/** By path without a leading slash; the root is not in it. */
export type ModelTree = Map<string, Node>;

export interface ModelCopy {
  readonly sources: readonly string[];
  /** Absolute; a slash at the end stays. */
  readonly dest: string;
  readonly chown: string | null;
  readonly chmod: number | null;
  readonly exclude: readonly string[];
  readonly parents: boolean;
}

/** Changes `to`. @throws Error where BuildKit fails */
export function executeCopy(from: ModelTree, to: ModelTree, copy: ModelCopy): void {
  for (const source of copy.sources) {
    if (copy.parents) {
      const pivot = source.indexOf('/./');
      const [top, pattern] = pivot < 0 ? ['', source] : [source.slice(0, pivot), source.slice(pivot + 3)];
      if (!from.has(join(resolve(from, top), clean(pattern)))) throw new Error('required, and missing');
      copyMatch(from, to, top, copy, clean(pattern));
    } else {
      const entry = from.get(resolve(from, source));
      if (entry?.type === 'file' && copy.exclude.length > 0 && excludes(copy, baseOf(clean(source)))) continue;
      copyMatch(from, to, source, copy, null);
    }
  }
}

function copyMatch(from: ModelTree, to: ModelTree, source: string, copy: ModelCopy, include: string | null): void {
  const owner = copy.chown ?? '0:0';
  const mode = copy.chmod === null ? 0o755 : copy.chmod & 0o777;
  const directoryFirst = copy.dest.endsWith('/') ? copy.dest : copy.dest.slice(0, copy.dest.lastIndexOf('/'));
  makeDirectories(to, resolve(to, directoryFirst), mode, owner);
  let target = resolve(to, copy.dest);
  const path = resolve(from, source);
  const type = typeOf(from, path);
  if (type === null) throw new Error('no such source');
  if (type !== 'dir' && typeOf(to, target) === 'dir') target = join(target, baseOf(clean(source)));
  makeDirectories(to, type === 'dir' && typeOf(to, target) === null ? target : parentOf(target), mode, owner);
  copyTree({ from, to, copy, include, held: [] }, path, '', target, false);
}

interface Run {
  readonly from: ModelTree;
  readonly to: ModelTree;
  readonly copy: ModelCopy;
  readonly include: string | null;
  /** Directories on the way, which are made once something in them is. */
  readonly held: { readonly source: string; readonly target: string; done: boolean }[];
}

function copyTree(run: Run, path: string, below: string, target: string, overwrite: boolean): void {
  const { from, to, copy, held } = run;
  const included = below === '' || (isIncluded(run, below) && !excludes(copy, below));
  const node = from.get(path) ?? rootNode;
  if (!included && (node.type !== 'dir' || run.include === null || excludes(copy, below))) return;
  if (included) {
    for (const dir of held.filter((one) => !one.done)) {
      const source = from.get(dir.source)!;
      const there = to.get(dir.target);
      if (there !== undefined && there.type !== 'dir') throw new Error('not a directory');
      to.set(dir.target, there ? { ...there, mode: source.mode } : copied(copy, source));
      dir.done = true;
    }
  }
  const there = typeOf(to, target);
  if (node.type !== 'dir') {
    if (there === 'dir') throw new Error('a file over a directory');
    to.set(target, copied(copy, node));
    return;
  }
  if (included) {
    if (there !== null && there !== 'dir') throw new Error('a directory over something else');
    if (there === null || overwrite) to.set(target, copied(copy, node));
  }
  held.push({ source: path, target, done: included });
  for (const name of childrenOf(from, path))
    copyTree(run, join(path, name), join(below, name), join(target, name), true);
  held.pop();
}

function copied({ chown, chmod }: ModelCopy, node: Node): Node {
  return { ...node, owner: chown ?? node.owner, mode: node.type === 'symlink' ? node.mode : (chmod ?? node.mode) };
}

function isIncluded({ include }: Run, below: string): boolean {
  return include === null || include === '' || below === include || below.startsWith(`${include}/`);
}

function excludes({ exclude }: ModelCopy, below: string): boolean {
  return exclude.length > 0 && patternMatcher(exclude).ignores(below);
}

function makeDirectories(tree: ModelTree, path: string, mode: number, owner: string): void {
  if (path === '') return;
  makeDirectories(tree, parentOf(path), mode, owner);
  const there = tree.get(path);
  if (there && there.type !== 'dir') throw new Error('not a directory');
  if (!there) tree.set(path, { type: 'dir', mode, owner, text: '' });
}

const rootNode: Node = { type: 'dir', mode: 0o755, owner: '0:0', text: '' };

function typeOf(tree: ModelTree, path: string): Node['type'] | null {
  return path === '' ? 'dir' : (tree.get(path)?.type ?? null);
}

function childrenOf(tree: ModelTree, dir: string): string[] {
  return [...tree.keys()]
    .filter((path) => path !== '' && parentOf(path) === dir)
    .map(baseOf)
    .sort();
}

/** All symlinks followed, inside the tree; what is missing stays as it is. */
function resolve(tree: ModelTree, path: string, depth = 0): string {
  if (depth > 60) throw new Error('a circle');
  let done = '';
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  for (const [i, name] of names.entries()) {
    if (name === '..') {
      done = parentOf(done);
      continue;
    }
    const here = join(done, name);
    const node = tree.get(here);
    if (node?.type === 'symlink') {
      const start = node.text.startsWith('/') ? '' : `${done}/`;
      return resolve(tree, [start + node.text, ...names.slice(i + 1)].join('/'), depth + 1);
    }
    done = here;
  }
  return done;
}

/** `..` stops at the top, symlinks or not. */
function clean(path: string): string {
  const done: string[] = [];
  for (const name of path.split('/')) {
    if (name === '..') done.pop();
    else if (name !== '' && name !== '.') done.push(name);
  }
  return done.join('/');
}

function join(dir: string, name: string): string {
  return dir === '' ? name : name === '' ? dir : `${dir}/${name}`;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

function baseOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
