// Entries of a tar, in its order → the file tree they mean. All forms of a layer are made from this one reading of it.
//
// The last entry of a name wins; two directories merge. Nothing is ever written through a symlink: an entry below a
// name that is no directory turns that name into one, as if it had been replaced. Whiteouts hide names of lower layers
// only, wherever in the tar they come.
import type { RawPath, Xattr } from '#native';
import { StoreError } from '../errors.js';
import type { EntryType, TarEntry } from './entry.js';
import { paddedSize } from './tar-block.js';
import { quote } from './tar-path.js';
import { imageXattrs, nameKind, whiteoutPrefix } from './whiteout.js';

export type NodeType = Exclude<EntryType, 'hardlink'> | 'whiteout';

/** An inode of the layer; several names may lead to one that is no directory. */
export interface LayerNode {
  readonly type: NodeType;
  mode: number;
  uid: number;
  gid: number;
  mtimeSec: number;
  mtimeNsec: number;
  /** Without those that belong to a machine, not to an image. */
  xattrs: readonly Xattr[];
  readonly size: number;
  readonly linkTarget: RawPath;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly dataOffset: number;
  readonly sparse: TarEntry['sparse'];
  /** Null for everything but directories. */
  readonly children: Map<string, LayerNode> | null;
  /** A directory that hides what lower layers have in it. */
  opaque: boolean;
  /** Names of a file; 2 and the subdirectories of a directory. */
  nlink: number;
}

export interface LayerTree {
  readonly root: LayerNode;
  /** Where in the tar the last content ends, with its padding. */
  readonly contentEnd: number;
}

/** @throws StoreError TAR_HARDLINK_TARGET, TAR_WHITEOUT_INVALID, TAR_WHITEOUT_DEVICE */
export function layerTree(entries: Iterable<TarEntry>): LayerTree {
  const builder = new TreeBuilder();
  for (const entry of entries) builder.add(entry);
  return builder.finish();
}

/** A hardlink whose target has not come yet. */
interface PendingLink {
  readonly node: LayerNode;
  readonly parent: LayerNode;
  readonly name: string;
  readonly target: RawPath;
  resolving: boolean;
}

/** Makes the tree entry by entry. */
export class TreeBuilder {
  readonly #root = directory();
  readonly #whiteouts: { readonly parent: LayerNode; readonly name: string }[] = [];
  readonly #pendingLinks = new Map<LayerNode, PendingLink>();
  /** The directory of the entry before: most entries lie in the same one. */
  #lastPath = '';
  #lastDir: LayerNode = this.#root;
  #contentEnd = 0;

  add(entry: TarEntry): void {
    const { path } = entry;
    this.#contentEnd = entry.dataOffset + paddedSize(storedSize(entry)); // contents lie in the order of entries
    if (path === '') {
      setMeta(this.#root, entry);
      return;
    }
    const slash = path.lastIndexOf('/');
    const parentPath = slash === -1 ? '' : path.slice(0, slash);
    const name = path.slice(slash + 1);
    if (path.includes(whiteoutPrefix) && this.#addMarker(path, parentPath, name)) return;
    const parent = this.#directoryAt(parentPath);
    if (entry.type === 'hardlink') {
      this.#addLink(parent, name, entry);
    } else if (entry.type === 'dir') {
      setMeta(childDirectory(parent, name), entry);
    } else {
      if (entry.type === 'char' && entry.devMajor === 0 && entry.devMinor === 0) throw whiteoutDevice(path);
      this.#put(parent, name, nodeOf(entry.type, entry));
    }
  }

  finish(): LayerTree {
    for (const link of this.#pendingLinks.values()) this.#resolve(link);
    const whiteout = whiteoutNode();
    for (const { parent, name } of this.#whiteouts) {
      const added = parent.children!.get(name);
      if (added === undefined) parent.children!.set(name, whiteout);
      else if (added.type === 'dir') added.opaque = true; // the lower one is gone, this one is new
    }
    countLinks(this.#root);
    return { root: this.#root, contentEnd: this.#contentEnd };
  }

  /** True if the entry is a marker (or nothing at all), false if it is a file. */
  #addMarker(path: RawPath, parentPath: string, name: string): boolean {
    for (const part of parentPath.split('/')) {
      const kind = nameKind(part);
      if (kind === 'ignored') return true;
      if (kind !== 'plain') throw whiteoutInvalid(path);
    }
    const kind = nameKind(name);
    if (kind === 'plain') return false;
    if (kind === 'invalid') throw whiteoutInvalid(path);
    if (kind === 'opaque') this.#directoryAt(parentPath).opaque = true;
    if (kind === 'whiteout') {
      this.#whiteouts.push({ parent: this.#directoryAt(parentPath), name: name.slice(whiteoutPrefix.length) });
    }
    return true;
  }

  #addLink(parent: LayerNode, name: string, { path, linkTarget }: TarEntry): void {
    const target = this.#find(linkTarget);
    if (target?.type === 'dir') throw hardlinkTarget(path, linkTarget, 'is a directory');
    if (target !== undefined && !this.#pendingLinks.has(target)) {
      this.#put(parent, name, target);
      return;
    }
    const node = nodeOf('file', undefined);
    this.#pendingLinks.set(node, { node, parent, name, target: linkTarget, resolving: false });
    this.#put(parent, name, node);
  }

  /** Follows links to links; each is visited once, whatever order they came in. */
  #resolve(first: PendingLink): void {
    const chain: PendingLink[] = [];
    let target: LayerNode | undefined = first.node;
    for (let link: PendingLink | undefined = first; link; link = this.#pendingLinks.get(target)) {
      if (link.parent.children!.get(link.name) !== link.node) break; // replaced, or done with an earlier chain
      if (link.resolving) throw hardlinkTarget(link.name as RawPath, link.target, 'leads back to itself');
      link.resolving = true;
      chain.push(link);
      target = this.#find(link.target);
      if (!target) throw hardlinkTarget(link.name as RawPath, link.target, 'is not in the layer');
      if (target.type === 'dir') throw hardlinkTarget(link.name as RawPath, link.target, 'is a directory');
    }
    for (const { parent, name } of chain) parent.children!.set(name, target!);
  }

  #put(parent: LayerNode, name: string, node: LayerNode): void {
    const existing = parent.children!.get(name);
    if (existing?.type === 'dir') this.#forgetLastDir(); // it may be the one that goes, or lie below it
    parent.children!.set(name, node);
  }

  #forgetLastDir(): void {
    this.#lastPath = '';
    this.#lastDir = this.#root;
  }

  /** The directory at `path`, made where there is none. */
  #directoryAt(path: string): LayerNode {
    if (path === this.#lastPath) return this.#lastDir;
    let dir = this.#root;
    for (const part of path === '' ? [] : path.split('/')) dir = childDirectory(dir, part);
    this.#lastPath = path;
    this.#lastDir = dir;
    return dir;
  }

  #find(path: RawPath): LayerNode | undefined {
    let node: LayerNode | undefined = this.#root;
    if (path === '') return node;
    for (const part of path.split('/')) node = node?.children?.get(part);
    return node;
  }
}

function storedSize({ size, sparse }: TarEntry): number {
  return sparse ? sparse.pieces.reduce((sum, [, length]) => sum + length, 0) : size;
}

/** The directory `name` in `parent`, made where there is none. In place of another file it has nothing to merge with below. */
function childDirectory(parent: LayerNode, name: string): LayerNode {
  const existing = parent.children!.get(name);
  if (existing?.type === 'dir') return existing;
  const made = directory();
  made.opaque = existing !== undefined;
  parent.children!.set(name, made);
  return made;
}

/** A directory that no entry describes has these, as `mkdir -p` of the other engines gives them. */
function directory(): LayerNode {
  return { ...nodeOf('dir', undefined), mode: 0o755, children: new Map() };
}

function whiteoutNode(): LayerNode {
  return nodeOf('whiteout', undefined);
}

/** Linux has no other, whatever a tar says. */
const symlinkMode = 0o777;

function nodeOf(type: NodeType, entry: TarEntry | undefined): LayerNode {
  return {
    type,
    mode: type === 'symlink' ? symlinkMode : (entry?.mode ?? 0),
    uid: entry?.uid ?? 0,
    gid: entry?.gid ?? 0,
    mtimeSec: entry?.mtimeSec ?? 0,
    mtimeNsec: entry?.mtimeNsec ?? 0,
    xattrs: entry ? imageXattrs(entry.xattrs) : [],
    size: entry?.size ?? 0,
    linkTarget: entry?.linkTarget ?? ('' as RawPath),
    devMajor: entry?.devMajor ?? 0,
    devMinor: entry?.devMinor ?? 0,
    dataOffset: entry?.dataOffset ?? 0,
    sparse: entry?.sparse,
    children: null,
    opaque: false,
    nlink: 0,
  };
}

function setMeta(node: LayerNode, entry: TarEntry): void {
  node.mode = entry.mode;
  node.uid = entry.uid;
  node.gid = entry.gid;
  node.mtimeSec = entry.mtimeSec;
  node.mtimeNsec = entry.mtimeNsec;
  node.xattrs = imageXattrs(entry.xattrs);
}

function countLinks(root: LayerNode): void {
  const dirs = [root];
  for (let dir = dirs.pop(); dir; dir = dirs.pop()) {
    dir.nlink = 2;
    for (const child of dir.children!.values()) {
      if (child.type === 'dir') {
        dir.nlink++;
        dirs.push(child);
      } else {
        child.nlink++;
      }
    }
  }
}

function hardlinkTarget(path: RawPath, target: RawPath, why: string): StoreError {
  return new StoreError('TAR_HARDLINK_TARGET', {
    message: `the layer has ${quote(path)} as a hardlink to ${quote(target)}, which ${why}`,
    hint: 'a hardlink in a layer needs its file in the same layer; make the layer again with the file included',
  });
}

function whiteoutInvalid(path: RawPath): StoreError {
  return new StoreError('TAR_WHITEOUT_INVALID', {
    message: `the layer has ${quote(path)}, which is no proper whiteout`,
    hint: `names that start with ${whiteoutPrefix} stand for deleted files only (OCI image-spec, layer.md)`,
  });
}

function whiteoutDevice(path: RawPath): StoreError {
  return new StoreError('TAR_WHITEOUT_DEVICE', {
    message: `the layer has ${quote(path)} as the character device 0:0, which would delete files when it is mounted`,
    hint: `deleted files are said by ${whiteoutPrefix} names in a layer; whoever made it should be asked why`,
  });
}
