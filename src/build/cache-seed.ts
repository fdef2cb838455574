// What a cache begins with: files of a stage, an image or a context, copied into its directory when that is new.
import { type ApplyMeta, type ApplyOp, displayPath, type Host, type RawPath, rawPath } from '#native';
import { BuildError } from '../base/index.js';
import type { SourceEntry, SourceTree } from '../executor/index.js';
import type { RunMount, RunVertex } from '../graph/index.js';
import type { KeyInputs, SolvedVertices } from '../solver/index.js';
import { type BindIo, type Located, locate, treeDigest } from './bind-mount.js';

type CacheMount = Extract<RunMount, { kind: 'cache' }>;

export interface CacheSeed {
  /** Of the files with their owners and modes: caches that begin otherwise have nothing in common. */
  readonly digest: string;
  /** Where they come from, for people. */
  readonly origin: string;
  /** Makes `dir` with them. */
  fill(host: Host, dir: string): Promise<void>;
}

/** By mount, for those that begin with something. @throws BuildError MOUNT_SOURCE_NOT_FOUND, MOUNT_SOURCE_INVALID */
export async function cacheSeeds(
  vertex: RunVertex,
  solved: SolvedVertices,
  io: BindIo,
): Promise<ReadonlyMap<RunMount, CacheSeed>> {
  const seeds = new Map<RunMount, CacheSeed>();
  for (const mount of vertex.mounts) {
    if (mount.kind !== 'cache' || mount.from === null) continue;
    const source = await io.source(mount.from, solved);
    seeds.set(mount, await seedOf(mount, source));
  }
  return seeds;
}

/** The digests, as parts of the step's key. */
export async function seedDigests(vertex: RunVertex, solved: SolvedVertices, io: BindIo): Promise<KeyInputs> {
  const seeds = await cacheSeeds(vertex, solved, io);
  return Object.fromEntries([...seeds].map(([mount, { digest }]) => [mount.target ?? '', digest]));
}

async function seedOf(mount: CacheMount, source: SourceTree): Promise<CacheSeed> {
  const located = locate(source, mount);
  requireDirectory(mount, source, located);
  return {
    digest: await treeDigest(source, located),
    origin: mount.source === '/' ? source.name : `${mount.source} of ${source.name}`,
    async fill(host, dir) {
      const files = await source.walk(located.path);
      await host.applyTree(dir, [
        { op: 'dir', path: rawPath(''), meta: rootMeta(mount, located) },
        ...copyOps(files, located.path),
      ]);
    },
  };
}

function requireDirectory({ at }: CacheMount, { name }: SourceTree, { path, top }: Located): void {
  if (top === null || top.type === 'dir') return;
  throw new BuildError('MOUNT_SOURCE_INVALID', {
    message: `${displayPath(path)} in ${name} is a file, and a cache is a directory`,
    hint: 'name the directory that it lies in',
    at,
  });
}

function rootMeta({ mode, uid, gid }: CacheMount, { top }: Located): ApplyMeta {
  const plain = { mode: 0o755, uid: 0, gid: 0, mtimeSec: Math.floor(Date.now() / 1000), mtimeNsec: 0, xattrs: [] };
  const found = top === null ? plain : metaOf(top);
  return { ...found, mode: mode ?? found.mode, uid: uid ?? found.uid, gid: gid ?? found.gid };
}

/** Parents before children; further names of a file as links to its first. Sockets are of no use without their process. */
function* copyOps(files: readonly SourceEntry[], top: RawPath): Generator<ApplyOp> {
  const firstNames = new Map<string, RawPath>();
  const skip = top === '' ? 0 : top.length + 1;
  for (const entry of files) {
    const path = entry.path.slice(skip) as RawPath;
    const first = entry.inode !== null && entry.type !== 'dir' ? firstNames.get(entry.inode) : undefined;
    if (first !== undefined) {
      yield { op: 'link', path, target: first };
      continue;
    }
    if (entry.inode !== null) firstNames.set(entry.inode, path);
    const op = opOf(path, entry);
    if (op !== null) yield op;
  }
}

function opOf(path: RawPath, entry: SourceEntry): ApplyOp | null {
  const meta = metaOf(entry);
  switch (entry.type) {
    case 'socket':
      return null;
    case 'dir':
    case 'fifo':
      return { op: entry.type, path, meta };
    case 'symlink':
      return { op: 'symlink', path, meta, target: entry.linkTarget };
    case 'char':
    case 'block':
      return { op: 'device', path, meta, block: entry.type === 'block', major: entry.devMajor, minor: entry.devMinor };
    case 'file':
      return { op: 'file', path, meta, size: entry.size, content: entry.content ?? { bytes: new Uint8Array(0) } };
  }
}

function metaOf({ mode, uid, gid, mtimeSec, mtimeNsec, xattrs }: SourceEntry): ApplyMeta {
  return { mode, uid, gid, mtimeSec, mtimeNsec, xattrs };
}
