// A build context: a directory that is read where it lies. Only what a build names is looked at; only what changed
// since the last build is read.
import { closeSync, constants, fstatSync, openSync, realpathSync, statSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { displayPath, type FileStat, hashFiles, type RawPath } from '#native';
import { BuildError, type IgnoreMatcher } from '../base/index.js';
import { entryPath, inDirectory, inodeNumber, readEntries, statEntry } from './beneath.js';
import { openStatCache, type StatCache } from './stat-cache.js';
import { type Walked, walkContext } from './walk.js';

export interface Context {
  /** Absolute, without symlinks. */
  readonly dir: string;
  /** The file at `path`, whose directories must not be symlinks; null if there is none or the ignore rules hide it. */
  lookup(path: RawPath): FileStat | null;
  /** Names in a directory, in byte order, hidden ones included. */
  names(dir: RawPath): RawPath[];
  /** Everything below `dir` that the ignore rules leave, in byte order of path (parents first). Walks once. */
  walk(dir: RawPath): Promise<readonly FileStat[]>;
  /** The topmost paths below `dir` that the ignore rules hide: nothing of them, and all else, is to be seen. */
  hidden(dir: RawPath): Promise<readonly RawPath[]>;
  /** True if there is a file at `path` and an ignore rule hides it. */
  isIgnored(path: RawPath): boolean;
  /** SHA-256 (hex) of the content if that is known without reading it. */
  knownDigest(file: FileStat): string | null;
  /** SHA-256 (hex) of each file's content, in order. Reads only what is not known, in one batch. */
  digests(files: readonly FileStat[]): Promise<string[]>;
  /** Keeps what somebody else computed while reading a file that this context had reported. */
  record(file: FileStat, digest: string): void;
  /** A descriptor of a regular file as it was reported. @throws BuildError CONTEXT_CHANGED */
  open(file: FileStat): number;
  /** Writes the digest cache. */
  save(): void;
}

export interface ContextOptions {
  readonly ignore: IgnoreMatcher | null;
  /** Where digests are kept between builds; null: not at all. */
  readonly statCacheFile: string | null;
}

/** SHA-256 of nothing. */
const emptyDigest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/** @throws BuildError CONTEXT_NOT_FOUND */
export async function openContext(dir: string, options: ContextOptions): Promise<Context> {
  const root = contextRoot(dir);
  const { ignore } = options;
  const seenMs = Date.now();
  let opened: StatCache | null = null;
  const cache = (): StatCache => {
    opened ??= openStatCache(options.statCacheFile);
    return opened;
  };
  const files = new Map<RawPath, FileStat | null>();
  const walks = new Map<RawPath, Promise<Walked>>();
  /** What was found below each directory that was walked. */
  const walked = new Map<RawPath, readonly FileStat[]>();

  const lookup = (path: RawPath): FileStat | null => {
    const below = walkedAbove(walked, path);
    if (below) return search(below, path);
    const known = files.get(path);
    if (known !== undefined) return known;
    const file = statFile(root, path);
    const visible = file && !hides(ignore, file) ? file : null;
    files.set(path, visible);
    return visible;
  };

  const walkNow = async (top: RawPath): Promise<Walked> => {
    // The kernel is asked by another thread, and meanwhile this one reads what is known of the files.
    const [found] = await Promise.all([walkContext(root, top, ignore), nextTurn().then(cache)]);
    walked.set(top, found.files);
    cache().retain((path) => !isBelow(path, top) || search(found.files, path) !== null);
    return found;
  };
  const walk = (top: RawPath): Promise<Walked> => {
    const running = walks.get(top) ?? walkNow(top);
    walks.set(top, running);
    return running;
  };

  return {
    dir: root,
    lookup,
    names: (top) => (inDirectory(root, top, (fd) => readEntries(fd, top)) ?? []).map((entry) => entry.name).sort(),
    walk: async (top) => (await walk(top)).files,
    hidden: async (top) => (await walk(top)).hidden,
    isIgnored: (path) => lookup(path) === null && statFile(root, path) !== null,
    knownDigest: (file) => cache().find(file),
    async digests(list) {
      const digests = list.map((file) => (file.size === 0 ? emptyDigest : cache().find(file)));
      const unknown = list.filter((_, i) => digests[i] === null);
      if (unknown.length === 0) return digests as string[];
      const read = await hashFiles(unknown.map((file) => ({ root, path: file.path })));
      unknown.forEach((file, i) => {
        cache().learn(file, read[i]!, seenMs);
      });
      let next = 0;
      return digests.map((digest) => digest ?? read[next++]!);
    },
    record: (file, digest) => cache().learn(file, digest, seenMs),
    open: (file) => openUnchanged(root, file),
    save: () => opened?.save(),
  };
}

function contextRoot(dir: string): string {
  try {
    const root = realpathSync(dir);
    if (statSync(root).isDirectory()) return root;
  } catch (error) {
    throw new BuildError('CONTEXT_NOT_FOUND', {
      message: `can't open the build context ${dir}: ${(error as Error).message}`,
      cause: error,
    });
  }
  throw new BuildError('CONTEXT_NOT_FOUND', {
    message: `the build context ${dir} is not a directory`,
    hint: 'give the directory that COPY and ADD take their files from',
  });
}

/** An ignored directory is there as long as something below it may have been taken back. */
function hides(ignore: IgnoreMatcher | null, file: FileStat): boolean {
  if (!ignore) return false;
  const path = displayPath(file.path);
  return file.type === 'dir' ? ignore.prunesDirectory(path) : ignore.ignores(path);
}

function isBelow(path: string, dir: string): boolean {
  return dir === '' || path.startsWith(`${dir}/`);
}

function walkedAbove<T>(walked: ReadonlyMap<string, T>, path: string): T | null {
  if (path === '') return null;
  for (const [dir, found] of walked) if (isBelow(path, dir)) return found;
  return null;
}

/** The file at `path` among `files`, which are in byte order. */
function search(files: readonly FileStat[], path: RawPath): FileStat | null {
  let low = 0;
  for (let high = files.length; low < high; ) {
    const middle = (low + high) >>> 1;
    if (files[middle]!.path < path) low = middle + 1;
    else high = middle;
  }
  const file = files[low];
  return file?.path === path ? file : null;
}

function statFile(root: string, path: RawPath): FileStat | null {
  const slash = path.lastIndexOf('/');
  const dir = path.slice(0, Math.max(0, slash)) as RawPath;
  const name = (path === '' ? '.' : path.slice(slash + 1)) as RawPath;
  return inDirectory(root, dir, (fd) => statEntry(fd, name, path));
}

/** Never blocks on a FIFO and never follows a link that took the file's place. */
function openUnchanged(root: string, file: FileStat): number {
  const slash = file.path.lastIndexOf('/');
  const dir = file.path.slice(0, Math.max(0, slash)) as RawPath;
  const name = file.path.slice(slash + 1) as RawPath;
  const fd = inDirectory(root, dir, (dirFd) => openOr(entryPath(dirFd, name)));
  if (fd !== null) {
    const now = fstatSync(fd, { bigint: true });
    const sameFile = now.isFile() && inodeNumber(now.ino) === file.ino && Number(now.dev) === file.dev;
    if (sameFile && Number(now.size) === file.size) return fd;
    closeSync(fd);
  }
  throw new BuildError('CONTEXT_CHANGED', {
    message: `${displayPath(file.path)} changed in the build context while the build was reading it`,
    hint: 'run the build again when nothing writes to the context',
  });
}

function openOr(path: Buffer): number | null {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return null;
  }
}
