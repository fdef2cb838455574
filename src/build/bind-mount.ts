// What bind mounts show: the files of a context that its ignore rules leave, or those of another stage or an image.
import { createHash } from 'node:crypto';
import { displayPath, type Host, type LayerMount, type RawPath, rawPath } from '#native';
import { BuildError } from '../base/index.js';
import type { Context } from '../context/index.js';
import { type BoundFiles, resolveLinks, type SourceEntry, type SourceTree } from '../executor/index.js';
import { encodeFiles, type ListedFile } from '../explain/index.js';
import type { FileSource, RunMount, RunVertex } from '../graph/index.js';
import type { KeyInputs, SolvedVertices } from '../solver/index.js';

type BindMount = Extract<RunMount, { kind: 'bind' }>;

/** Where the files are. */
export interface BindIo {
  source(from: FileSource, solved: SolvedVertices): Promise<SourceTree>;
  context(name: string | null): Promise<Context>;
  /** Of a context that was fetched; null: it is a directory. */
  fetched(name: string | null, host: Host): Promise<readonly LayerMount[] | null>;
  layers(vertex: number, solved: SolvedVertices, host: Host): Promise<readonly LayerMount[]>;
}

export interface Bound {
  /** Digests of what is to be seen, by target: of several mounts at one place the last is on top. */
  readonly inputs: KeyInputs;
  /** The files, one by one. @see encodeFiles */
  list(): string;
}

/** What a step's bind mounts show it. */
export async function bindInputs(vertex: RunVertex, solved: SolvedVertices, io: BindIo): Promise<Bound> {
  const inputs: Record<string, string> = {};
  const trees = new Map<string, Tree>();
  for (const mount of bindMounts(vertex)) {
    const source = await io.source(mount.from, solved);
    const located = locate(source, mount);
    const tree = await (mount.from.kind === 'vertex' ? readLayers : readTree)(source, located);
    inputs[mount.target] = tree.digest;
    trees.set(mount.target, tree);
  }
  return { inputs, list: () => [...trees].map(([target, tree]) => encodeFiles(target, tree.files())).join('') };
}

/** The same files as the launcher mounts them. */
export async function bindFiles(
  vertex: RunVertex,
  solved: SolvedVertices,
  host: Host,
  io: BindIo,
): Promise<ReadonlyMap<RunMount, BoundFiles>> {
  const files = new Map<RunMount, BoundFiles>();
  for (const mount of bindMounts(vertex)) {
    const source = await io.source(mount.from, solved);
    const { path, top } = locate(source, mount);
    const { from } = mount;
    const layers =
      from.kind === 'vertex' ? await io.layers(from.vertex, solved, host) : await io.fetched(from.name, host);
    if (layers !== null) {
      files.set(mount, { kind: 'layers', layers, hidden: nothing, path });
    } else if (from.kind === 'context') {
      files.set(mount, await contextFiles(await io.context(from.name), mount, path, top));
    }
  }
  return files;
}

const nothing: readonly RawPath[] = [];

function bindMounts(vertex: RunVertex): BindMount[] {
  return vertex.mounts.filter((mount) => mount.kind === 'bind');
}

/** As they lie where nothing is ignored and nothing written; else as a layer of which some is hidden. */
async function contextFiles(
  context: Context,
  mount: BindMount,
  path: RawPath,
  top: SourceEntry | null,
): Promise<BoundFiles> {
  const hidden = top === null || top.type === 'dir' ? await context.hidden(path) : nothing;
  if (hidden.length === 0 && !mount.writable) return { kind: 'host', root: context.dir, path };
  return { kind: 'layers', layers: [{ kind: 'tree', dir: context.dir, ownerIsRoot: true }], hidden, path };
}

export interface Located {
  /** Without symlinks. */
  readonly path: RawPath;
  /** Null: all of it. */
  readonly top: SourceEntry | null;
}

/** @throws BuildError MOUNT_SOURCE_NOT_FOUND */
export function locate(source: SourceTree, mount: Pick<BindMount, 'source' | 'at'>): Located {
  const wanted = rawPath(mount.source.replace(/^\/+|\/+$/g, ''));
  const path = resolveLinks((at) => source.lookup(at), wanted, true);
  if (path === '') return { path, top: null };
  const top = path === null ? null : source.lookup(path);
  if (path === null || top === null) {
    const hidden = path !== null && source.hides(path);
    throw new BuildError('MOUNT_SOURCE_NOT_FOUND', {
      message: `${source.name} has no ${mount.source}`,
      hint: hidden ? 'an ignore rule excludes it' : 'check source= of this mount',
      at: mount.at,
    });
  }
  if (top.type === 'dir' || top.type === 'file') return { path, top };
  throw new BuildError('MOUNT_SOURCE_INVALID', {
    message: `${displayPath(path)} in ${source.name} is neither a file nor a directory`,
    hint: 'mount the directory that it lies in',
    at: mount.at,
  });
}

interface Tree {
  readonly digest: string;
  files(): Iterable<ListedFile>;
}

/** Digest of all that is to be seen. */
export async function treeDigest(source: SourceTree, located: Located): Promise<string> {
  return (await readTree(source, located)).digest;
}

/** Layers never change: what was said of a part of them holds for every step. */
const known = new WeakMap<SourceTree, Map<RawPath, Promise<Tree>>>();

function readLayers(source: SourceTree, located: Located): Promise<Tree> {
  const trees = known.get(source) ?? new Map<RawPath, Promise<Tree>>();
  known.set(source, trees);
  const tree = trees.get(located.path) ?? readTree(source, located);
  trees.set(located.path, tree);
  return tree;
}

/**
 * One digest over what is to be seen: names, types, modes, owners, contents; never times, nor where it lies. The mode of
 * the root doesn't count: a context's is what git or an archive made of it.
 */
async function readTree(source: SourceTree, { path, top }: Located): Promise<Tree> {
  const below = top === null || top.type === 'dir' ? await source.walk(path) : [];
  const found = top === null ? below : [top, ...below];
  const files = found.filter((entry) => entry.content !== null);
  const digests = await source.digests(files);
  const digestOf = new Map(files.map((file, i) => [file, digests[i]!]));
  const hash = createHash('sha256');
  for (const entry of found) hash.update(`${JSON.stringify(shown(entry, path))} ${digestOf.get(entry) ?? ''}\n`);
  return {
    digest: hash.digest('hex'),
    *files() {
      for (const entry of found) {
        const { type, mode, uid, gid, linkTarget, devMajor, devMinor } = entry;
        const name = entry.path.slice(path.length).replace(/^\//, '') as RawPath;
        const other = linkTarget === '' && devMajor === 0 ? '' : shortHash(`${linkTarget} ${devMajor} ${devMinor}`);
        const digest = digestOf.get(entry) ?? other;
        yield { path: name, type, mode, uid, gid, digest };
      }
    },
  };
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

function shown(entry: SourceEntry, top: RawPath): unknown[] {
  const { path, type, mode, uid, gid, linkTarget, devMajor, devMinor, xattrs } = entry;
  const attributes = xattrs.map(({ name, value }) => [name, value.toString('hex')]).sort();
  return [path.slice(top.length), type, mode, uid, gid, linkTarget, devMajor, devMinor, attributes];
}
