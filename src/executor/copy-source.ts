// Where COPY and ADD take files from: a build context, or the files of another stage or image. Both look the same here.
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Assembly, assembleTar, type ContentRef, type FileStat, type RawPath, type Xattr } from '#native';
import { bareMeta, type EntryMeta, type RootView, sourceFailure, type ViewEntry } from '#store';
import type { Context } from '../context/index.js';
import { type ContentDigests, openContentDigests } from './content-digests.js';
import { baseName } from './copy-links.js';

export interface SourceEntry extends Omit<EntryMeta, 'type'> {
  readonly type: Exclude<EntryMeta['type'], 'hardlink'> | 'socket';
  /** Null unless it is a file with size > 0. */
  readonly content: ContentRef | null;
  /** Equal for names of the same file; null where it is known to have only this name. */
  readonly inode: string | null;
  /** What it was found in, which knows how to read it; null where the content is in the entry itself. */
  readonly tree: SourceTree | null;
  /** As a context reported it; null for files of layers. */
  readonly stat: FileStat | null;
}

export interface SourceTree {
  /** As messages call it: 'the build context', 'stage build'. */
  readonly name: string;
  /** Files keep their owners; otherwise they become root's. */
  readonly keepsOwners: boolean;
  /** Files' times were asked for: another time is another file. */
  readonly timesCount: boolean;
  /** The file at `path`, none of whose directories is a symlink. */
  lookup(path: RawPath): SourceEntry | null;
  /** Names in a directory in byte order. */
  names(dir: RawPath): readonly RawPath[];
  /** Everything below `dir`, in byte order of path. */
  walk(dir: RawPath): Promise<readonly SourceEntry[]>;
  /** True if a file is there and an ignore rule hides it. */
  hides(path: RawPath): boolean;
  /** SHA-256 (hex) of a file's content if that is known without reading it. */
  knownDigest(entry: SourceEntry): string | null;
  /** SHA-256 (hex) of the content of files of size > 0, in order. */
  digests(entries: readonly SourceEntry[]): Promise<readonly string[]>;
  /** Keeps a digest that was computed while the file was copied. */
  record(entry: SourceEntry, digest: string): void;
  /** A descriptor of a file that ADD may unpack; null where archives stay archives. */
  open(entry: SourceEntry): number | null;
}

/** SHA-256 (hex) of the content of files of size > 0, in order, wherever each was found. */
export async function digestsOf(entries: readonly SourceEntry[]): Promise<string[]> {
  const trees = new Set(entries.map((entry) => entry.tree));
  const [first] = trees;
  if (trees.size === 1 && first) return [...(await first.digests(entries))];
  const digests = new Map<SourceEntry, string>();
  for (const tree of trees) {
    const own = entries.filter((entry) => entry.tree === tree);
    const found = tree === null ? [] : await tree.digests(own);
    own.forEach((entry, i) => {
      digests.set(entry, found[i]!);
    });
  }
  return entries.map((entry) => digests.get(entry)!);
}

/** @param name as messages call it */
export function contextSource(context: Context, name: string): SourceTree {
  const tree: SourceTree = {
    name,
    keepsOwners: false,
    timesCount: false,
    lookup(path) {
      const file = context.lookup(path);
      return file && contextEntry(file, context.dir, tree);
    },
    names: (dir) => context.names(dir),
    walk: async (dir) => (await context.walk(dir)).map((file) => contextEntry(file, context.dir, tree)),
    hides: (path) => context.isIgnored(path),
    knownDigest: (entry) => context.knownDigest(statOf(entry)),
    digests: (entries) => context.digests(entries.map(statOf)),
    record: (entry, digest) => context.record(statOf(entry), digest),
    open: (entry) => context.open(statOf(entry)),
  };
  return tree;
}

function statOf({ stat, path }: SourceEntry): FileStat {
  if (stat === null) throw new Error(`not from a context: ${path}`);
  return stat;
}

const none: readonly Xattr[] = [];

function contextEntry(file: FileStat, root: string, tree: SourceTree): SourceEntry {
  const size = file.type === 'file' ? file.size : 0;
  return {
    path: file.path,
    type: file.type,
    mode: file.mode,
    uid: 0,
    gid: 0,
    size,
    mtimeSec: file.mtimeSec,
    mtimeNsec: file.mtimeNsec,
    linkTarget: file.linkTarget,
    devMajor: file.rdevMajor,
    devMinor: file.rdevMinor,
    xattrs: none, // what a developer's machine attached to a file says nothing about the image
    content: size > 0 ? { root, path: file.path, offset: 0 } : null,
    inode: file.nlink > 1 ? `${file.dev}:${file.ino}` : null,
    tree,
    stat: file,
  };
}

export interface ViewSourceOptions {
  readonly timesCount?: boolean;
  /** Where a file may be written that ADD looks at as an archive; null: archives stay archives. */
  readonly tempPath?: ((name: string) => string) | null;
}

/**
 * @param name as messages call it
 * @param known digests that outlive this build
 */
export function viewSource(
  view: RootView,
  name: string,
  known: ContentDigests = openContentDigests(null),
  { timesCount = false, tempPath = null }: ViewSourceOptions = {},
): SourceTree {
  const tree: SourceTree = {
    name,
    keepsOwners: true,
    timesCount,
    lookup(path) {
      if (path === '') return { ...rootEntry, tree };
      const entry = view.lookup(path, false);
      return entry && viewEntry(entry, tree);
    },
    names: (dir) => view.list(dir).map((entry) => baseName(entry.path)),
    async walk(dir) {
      const found: SourceEntry[] = [];
      const visit = (at: RawPath): void => {
        for (const entry of view.list(at)) {
          found.push(viewEntry(entry, tree));
          if (entry.type === 'dir') visit(entry.path);
        }
      };
      visit(dir);
      return found.sort((a, b) => (a.path < b.path ? -1 : 1));
    },
    hides: () => false,
    knownDigest: ({ content }) => content && known.find(content),
    async digests(entries) {
      const unknown = entries.filter(({ content }) => content && known.find(content) === null);
      const read = await hashContents(unknown);
      const digests = new Map(unknown.map((entry, i) => [entry, read[i]!]));
      for (const [entry, digest] of digests) known.learn(entry.content!, digest);
      return entries.map((entry) => digests.get(entry) ?? known.find(entry.content!)!);
    },
    record({ content }, digest) {
      if (content) known.learn(content, digest);
    },
    open: (entry) => (tempPath === null ? null : openCopy(entry, tempPath('archive'))),
  };
  return tree;
}

/** Of a file in the middle of a tar, as a file of its own without a name. */
function openCopy({ content, size }: SourceEntry, path: string): number | null {
  if (content === null || 'bytes' in content || content.pieces) return null;
  const from = openSync(join(content.root, Buffer.from(content.path, 'latin1').toString()), 'r');
  const to = openSync(path, 'wx+', 0o600);
  try {
    rmSync(path);
    const buffer = Buffer.alloc(Math.min(size, 1024 * 1024));
    for (let done = 0; done < size; ) {
      const count = readSync(from, buffer, 0, Math.min(buffer.length, size - done), content.offset + done);
      if (count === 0) throw new Error(`${content.path} ends within a file`);
      writeSync(to, buffer, 0, count, done);
      done += count;
    }
    return to;
  } finally {
    closeSync(from);
  }
}

/** A view need not have an entry for its root. */
const rootEntry: Omit<SourceEntry, 'tree'> = {
  ...bareMeta,
  path: '' as RawPath,
  type: 'dir',
  mode: 0o755,
  content: null,
  inode: null,
  stat: null,
};

/** Field by field: copying with a rest pattern is several times slower, and there may be many files. */
function viewEntry(entry: ViewEntry, tree: SourceTree): SourceEntry {
  return {
    path: entry.path,
    type: entry.type,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    size: entry.size,
    mtimeSec: entry.mtimeSec,
    mtimeNsec: entry.mtimeNsec,
    linkTarget: entry.linkTarget,
    devMajor: entry.devMajor,
    devMinor: entry.devMinor,
    xattrs: entry.xattrs,
    content: entry.content,
    inode: `${entry.layer}:${entry.inode}`,
    tree,
    stat: null,
  };
}

/** Contents lie in the middle of tars: they are assembled into nothing, for their digests. */
async function hashContents(entries: readonly SourceEntry[]): Promise<string[]> {
  const dense = entries.filter((entry) => !isSparse(entry));
  const parts = new Assembly();
  for (const { content, size, path } of dense) {
    if (content === null) throw new Error(`no content to hash: ${path}`);
    if ('bytes' in content) parts.bytes(content.bytes);
    else parts.file(content.root, content.path, content.offset, size);
  }
  const contents = dense.map(({ content }) => content);
  const { fileDigests } =
    dense.length === 0
      ? { fileDigests: [] }
      : await assembleTar({ parts, output: null, heads: false, fileDigests: true }).catch(async (error: unknown) => {
          throw await sourceFailure(contents, error);
        });
  const digests = new Map(dense.map((entry, i) => [entry, fileDigests[i] ?? '']));
  return entries.map((entry) => digests.get(entry) ?? hashSparse(entry));
}

function isSparse({ content }: SourceEntry): boolean {
  return content !== null && !('bytes' in content) && content.pieces !== undefined;
}

/** Of what a reader of the file sees: the stored pieces, and zeros between them. */
function hashSparse({ content, size }: SourceEntry): string {
  if (content === null || 'bytes' in content) throw new Error('not a sparse file');
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(1024 * 1024);
  const feed = (length: number, fill: (chunk: Buffer, done: number) => void): void => {
    for (let done = 0; done < length; done += buffer.length) {
      const chunk = buffer.subarray(0, Math.min(buffer.length, length - done));
      fill(chunk, done);
      hash.update(chunk);
    }
  };
  const fd = openSync(join(content.root, Buffer.from(content.path, 'latin1').toString()), 'r');
  try {
    let at = 0;
    let stored = content.offset;
    for (const [offset, length] of content.pieces ?? []) {
      feed(offset - at, (chunk) => chunk.fill(0));
      feed(length, (chunk, done) => void readSync(fd, chunk, 0, chunk.length, stored + done));
      stored += length;
      at = offset + length;
    }
    feed(size - at, (chunk) => chunk.fill(0));
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}
