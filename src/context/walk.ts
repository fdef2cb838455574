// The files below a directory of a context that the ignore rules leave in it. Directories that rules drop as a whole
// (node_modules, .git) are often the largest and are never entered. Small contexts are looked at file by file; for
// larger ones the kernel is asked in batches, which is faster for each file but first costs the library's loading.
import { closeSync } from 'node:fs';
import { displayPath, type FileStat, type RawPath, walkTree } from '#native';
import { BuildError, type IgnoreMatcher } from '../base/index.js';
import { inDirectory, openDirectory, readEntries, statEntry } from './beneath.js';

export interface Walked {
  /** Everything below the directory, itself excluded, in byte order of path, which is parents first. */
  readonly files: readonly FileStat[];
  /** What the rules ignore in directories that are there: the topmost of each. */
  readonly hidden: readonly RawPath[];
}

export async function walkContext(root: string, dir: RawPath, ignore: IgnoreMatcher | null): Promise<Walked> {
  const listed = list(root, dir, ignore);
  const inParallel = partsOf(listed.top, listed.isSmall, isWide);
  const parts = inParallel.length <= maxParts ? inParallel : partsOf(listed.top, listed.isSmall, () => false);
  const lists = await Promise.all(parts.map((part) => walkPart(root, part)));
  const files = inOrder(lists.length === 1 ? lists[0]! : lists.flat());
  return ignore ? keep(files, ignore, dir, listed.dropped) : { files, hidden: [] };
}

/** Loading the library takes as long as looking at this many files (10 ms). */
const smallFiles = 1500;

/** So many entries are read, upper directories first, to find directories that the rules drop. */
const searchedEntries = 4000;

interface Directory {
  readonly path: RawPath;
  /** Null: not read. */
  names: readonly RawPath[] | null;
  readonly below: Directory[];
  hasDropped: boolean;
}

interface Listed {
  readonly top: Directory;
  readonly isSmall: boolean;
  /** Directories that the rules drop, which nobody has to look into. */
  readonly dropped: readonly RawPath[];
}

function list(root: string, path: RawPath, ignore: IgnoreMatcher | null): Listed {
  const dropped: RawPath[] = [];
  const top: Directory = { path, names: null, below: [], hasDropped: false };
  const limit = ignore ? searchedEntries : smallFiles;
  let count = 0;
  const queue = [top];
  for (const directory of queue) {
    if (count > limit) break;
    const entries = inDirectory(root, directory.path, (fd) => readEntries(fd, directory.path));
    if (entries === null) throw changed(directory.path);
    const names: RawPath[] = [];
    for (const { name, isDirectory } of entries) {
      const below = (directory.path === '' ? name : `${directory.path}/${name}`) as RawPath;
      if (isDirectory && ignore?.prunesDirectory(displayPath(below))) {
        directory.hasDropped = true;
        dropped.push(below);
        continue;
      }
      names.push(name);
      if (!isDirectory) continue;
      const child: Directory = { path: below, names: null, below: [], hasDropped: false };
      directory.below.push(child);
      queue.push(child);
    }
    directory.names = names;
    count += names.length;
  }
  return { top, isSmall: count <= smallFiles, dropped };
}

/** A directory to be walked to its bottom (`files` null), or only the named entries of it. */
interface Part {
  readonly dir: RawPath;
  readonly files: readonly RawPath[] | null;
}

/** More batches than this cost more than they gain. */
const maxParts = 256;

/** Directories with little but directories in them: those are walked side by side. */
function isWide({ names, below }: Directory): boolean {
  return below.length >= 8 && names !== null && names.length - below.length <= 64;
}

/** One batch for each directory in which nothing is dropped, unless it is to be split. */
function partsOf(directory: Directory, isSmall: boolean, splits: (directory: Directory) => boolean): Part[] {
  if (directory.names === null) return [{ dir: directory.path, files: null }];
  const below = directory.below.flatMap((child) => partsOf(child, isSmall, splits));
  const isWhole = !isSmall && !directory.hasDropped && below.every((part) => part.files === null);
  if (isWhole && !splits(directory)) {
    return [{ dir: directory.path, files: null }];
  }
  return [{ dir: directory.path, files: directory.names }, ...below];
}

async function walkPart(root: string, part: Part): Promise<FileStat[]> {
  const fd = openDirectory(root, part.dir);
  if (fd === null) throw changed(part.dir);
  const prefix = part.dir === '' ? '' : `${part.dir}/`;
  try {
    if (part.files !== null) {
      return part.files.flatMap((name) => statEntry(fd, name, `${prefix}${name}` as RawPath) ?? []);
    }
    const found = await walkTree(`/proc/self/fd/${fd}`, { xattrs: false, called: part.dir });
    return found.slice(1); // without itself
  } finally {
    closeSync(fd);
  }
}

function changed(dir: RawPath): BuildError {
  return new BuildError('CONTEXT_CHANGED', {
    message: `${displayPath(dir)} is no longer a directory: it changed while the build was reading the context`,
    hint: 'run the build again when nothing writes to the context',
  });
}

function inOrder(files: FileStat[]): FileStat[] {
  for (let i = 1; i < files.length; i++) {
    if (files[i - 1]!.path >= files[i]!.path) return files.sort((a, b) => (a.path < b.path ? -1 : 1));
  }
  return files;
}

/**
 * What the rules leave; an ignored directory stays if something below it was taken back with '!'.
 * @param files in byte order of path
 */
export function keepUnignored<T extends Pick<FileStat, 'path' | 'type'>>(
  files: readonly T[],
  ignore: IgnoreMatcher,
): T[] {
  const kept = keptOf(files, ignore);
  return files.filter((_, i) => kept[i]);
}

function keep(files: readonly FileStat[], ignore: IgnoreMatcher, top: RawPath, dropped: readonly RawPath[]): Walked {
  const kept = keptOf(files, ignore);
  const left = files.filter((_, i) => kept[i]);
  const there = new Set<string>([top]);
  for (const file of left) if (file.type === 'dir') there.add(file.path);
  const ignored = [...dropped, ...files.flatMap((file, i) => (kept[i] ? [] : file.path))];
  return { files: left, hidden: ignored.filter((path) => there.has(parentOf(path))) };
}

/** Which of them stay. */
function keptOf(files: readonly Pick<FileStat, 'path' | 'type'>[], ignore: IgnoreMatcher): readonly boolean[] {
  const kept = new Array<boolean>(files.length).fill(false);
  const ignoredDirs = new Map<string, number>();
  const prunedDirs = new Set<string>();
  files.forEach((file, i) => {
    const parent = parentOf(file.path);
    if (prunedDirs.has(parent)) {
      if (file.type === 'dir') prunedDirs.add(file.path);
      return;
    }
    const path = displayPath(file.path);
    if (!ignore.ignores(path)) {
      kept[i] = true;
      for (let dir = parent; ignoredDirs.has(dir); dir = parentOf(dir)) kept[ignoredDirs.get(dir)!] = true;
    } else if (file.type === 'dir') {
      if (ignore.prunesDirectory(path)) prunedDirs.add(file.path);
      else ignoredDirs.set(file.path, i);
    }
  });
  return kept;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
