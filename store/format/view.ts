// The merged, read-only view of a stack of layers: what an overlay of them would show, without mounting anything.
//
// A directory of the view is made of the layers' directories of that path, topmost first, down to the first that is
// opaque, or that lies above something else (a whiteout, another kind of file). The topmost gives its mode and owner.
import { closeSync, openSync, readSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { type ContentRef, type RawPath, rawPath } from '#native';
import { readingLayer } from '../damage.js';
import { StoreError } from '../errors.js';
import type { Layer, RootView, ViewEntry } from '../types.js';
import { readIndexSource } from './index-read.js';
import type { LayerSource, NodeFacts, NodeId } from './layer-source.js';
import { quote } from './tar-path.js';
import { readTreeSource } from './tree-source.js';

/**
 * The files of `layers`, base first. Layers are read when a path first leads to them; their files must stay in place
 * until `close`.
 *
 * @param sources what other views have read of the same layers
 */
export function openView(layers: readonly Layer[], sources: LayerSources = openLayerSources()): RootView {
  return new View(layers, sources);
}

/** What views share that have layers in common, as the stacks of a build's steps do. */
export interface LayerSources {
  read(layer: Layer): LayerSource;
}

export function openLayerSources(): LayerSources {
  const known = new Map<string, LayerSource>();
  return {
    read(layer) {
      const source = known.get(layer.tarPath) ?? readLayerSource(layer);
      known.set(layer.tarPath, source);
      return source;
    },
  };
}

/**
 * The layers that a mount of `layers` must have: those below one whose root is opaque are hidden whole, and OverlayFS itself
 * looks for such marks in every directory but the root.
 */
export function visibleLayers(layers: readonly Layer[]): readonly Layer[] {
  for (let i = layers.length - 1; i > 0; i--) {
    const source = readLayerSource(layers[i]!);
    if (source.isOpaque(source.root)) return layers.slice(i);
  }
  return layers;
}

/** A layer by itself, from its index or, where it has none, its tar. */
export function readLayerSource({ diffId, indexPath, tarPath }: Layer): LayerSource {
  return readingLayer(diffId, () => (indexPath === null ? readTreeSource(tarPath) : readIndexSource(indexPath)));
}

/** As Linux: more symlinks than this in one path are taken for a loop. */
const maxSymlinks = 40;

interface Place {
  readonly layer: number;
  readonly id: NodeId;
}

interface Directory {
  /** Topmost first; never empty. */
  readonly places: readonly Place[];
  readonly subdirectories: Map<string, Directory>;
}

/** A name found in a directory: a directory, or one inode. */
type Found = { readonly dir: Directory; readonly place: Place } | { readonly dir: null; readonly place: Place };

interface Walk {
  /** What was resolved, then what could not be. */
  readonly path: RawPath;
  /** Null where `path` does not exist. */
  readonly found: Found | null;
}

class View implements RootView {
  readonly #layers: readonly Layer[];
  readonly #shared: LayerSources;
  readonly #sources: (LayerSource | undefined)[] = [];
  readonly #tars = new Map<number, number>();
  #root: Directory | undefined;

  constructor(layers: readonly Layer[], shared: LayerSources) {
    this.#layers = layers;
    this.#shared = shared;
  }

  lookup(path: RawPath, follow: boolean): ViewEntry | null {
    const walk = this.#walk(path, follow);
    return walk?.found ? this.#entry(walk.path, walk.found.place) : null;
  }

  resolve(path: RawPath): RawPath {
    const walk = this.#walk(path, true);
    if (walk) return walk.path;
    throw new StoreError('VIEW_SYMLINK_LOOP', {
      message: `${quote(`/${path}`)} leads through more than ${maxSymlinks} symlinks`,
      hint: 'the symlinks in the image form a loop; remove one of them',
    });
  }

  list(dir: RawPath): ViewEntry[] {
    const walk = this.#walk(dir, true);
    if (!walk?.found?.dir) return [];
    const prefix = walk.path === '' ? '' : `${walk.path}/`;
    return this.#children(walk.found.dir).map(([name, place]) => this.#entry((prefix + name) as RawPath, place));
  }

  read(entry: ViewEntry, maxBytes = Number.POSITIVE_INFINITY): Buffer {
    const { content, size, layer } = entry;
    const bytes = Buffer.alloc(Math.min(size, maxBytes));
    if (content === null) return bytes;
    if ('bytes' in content) return Buffer.from(content.bytes.subarray(0, bytes.length));
    const fd = this.#tar(layer);
    const { diffId, tarPath } = this.#layers[layer]!;
    let source = content.offset;
    for (const [offset, length] of content.pieces ?? [[0, size]]) {
      if (offset >= bytes.length) break;
      const end = Math.min(offset + length, bytes.length);
      for (let at = offset; at < end; ) {
        const place = source + at - offset;
        const count = readingLayer(diffId, () => readSync(fd, bytes, at, end - at, place));
        if (count === 0) throw tarTooShort(entry, tarPath);
        at += count;
      }
      source += length;
    }
    return bytes;
  }

  close(): void {
    for (const fd of this.#tars.values()) closeSync(fd);
    this.#tars.clear();
    this.#sources.length = 0;
    this.#root = undefined;
  }

  /** Null for a symlink loop. */
  #walk(path: RawPath, follow: boolean): Walk | null {
    const root = this.#rootDirectory();
    if (!root) return { path: plainPath(path.split('/')), found: null };
    const rest = path.split('/').reverse();
    const names: string[] = [];
    const dirs: Directory[] = [root];
    let symlinks = 0;
    for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (names.pop() !== undefined) dirs.pop(); // above the root is the root
        continue;
      }
      const found = this.#child(dirs.at(-1)!, name);
      if (found?.dir) {
        names.push(name);
        dirs.push(found.dir);
        continue;
      }
      const isLast = !rest.some((part) => part !== '' && part !== '.');
      const target = found && (!isLast || follow) ? this.#symlinkTarget(found.place) : null;
      if (target !== null) {
        if (++symlinks > maxSymlinks) return null;
        if (target.startsWith('/')) {
          names.length = 0;
          dirs.length = 1;
        }
        rest.push(...target.split('/').reverse());
        continue;
      }
      const isHere = found !== null && isLast;
      return { path: plainPath([...names, name, ...rest.reverse()]), found: isHere ? found : null };
    }
    const dir = dirs.at(-1)!;
    return { path: names.join('/') as RawPath, found: { dir, place: dir.places[0]! } };
  }

  #symlinkTarget({ layer, id }: Place): string | null {
    const facts = this.#source(layer).facts(id);
    return facts.type === 'symlink' ? facts.linkTarget : null;
  }

  #rootDirectory(): Directory | null {
    if (this.#root) return this.#root;
    if (this.#layers.length === 0) return null;
    const places: Place[] = [];
    for (let layer = this.#layers.length - 1; layer >= 0; layer--) {
      const source = this.#source(layer);
      places.push({ layer, id: source.root });
      if (source.isOpaque(source.root)) break;
    }
    this.#root = { places, subdirectories: new Map() };
    return this.#root;
  }

  #child(dir: Directory, name: string): Found | null {
    const known = dir.subdirectories.get(name);
    if (known) return { dir: known, place: known.places[0]! };
    const places: Place[] = [];
    for (const { layer, id } of dir.places) {
      const source = this.#source(layer);
      const child = source.child(id, name);
      if (child === null) continue;
      const kind = source.kind(child);
      if (kind === 'other' && places.length === 0) return { dir: null, place: { layer, id: child } };
      if (kind !== 'dir') break;
      places.push({ layer, id: child });
      if (source.isOpaque(child)) break;
    }
    if (places.length === 0) return null;
    const found: Directory = { places, subdirectories: new Map() };
    dir.subdirectories.set(name, found);
    return { dir: found, place: places[0]! };
  }

  /** Names and what they lead to, in byte order. */
  #children({ places }: Directory): (readonly [string, Place])[] {
    const top = new Map<string, Place | null>();
    for (const { layer, id } of places) {
      const source = this.#source(layer);
      for (const child of source.children(id)) {
        if (top.has(child.name)) continue;
        top.set(child.name, source.kind(child.id) === 'whiteout' ? null : { layer, id: child.id });
      }
    }
    const shown = [...top].filter((pair): pair is [string, Place] => pair[1] !== null);
    return places.length === 1 ? shown : shown.sort(([a], [b]) => (a < b ? -1 : 1)); // each source is in order
  }

  #entry(path: RawPath, { layer, id }: Place): ViewEntry {
    const facts = this.#source(layer).facts(id);
    return {
      path,
      type: facts.type as ViewEntry['type'], // a whiteout is never found
      mode: facts.mode,
      uid: facts.uid,
      gid: facts.gid,
      size: facts.size,
      mtimeSec: facts.mtimeSec,
      mtimeNsec: facts.mtimeNsec,
      linkTarget: facts.linkTarget,
      devMajor: facts.devMajor,
      devMinor: facts.devMinor,
      xattrs: facts.xattrs,
      content: facts.size > 0 ? this.#content(layer, facts) : null,
      layer,
      inode: id,
    };
  }

  #content(layer: number, { dataOffset, pieces }: NodeFacts): ContentRef {
    const { tarPath } = this.#layers[layer]!;
    const ref = { root: dirname(tarPath), path: rawPath(basename(tarPath)), offset: dataOffset };
    return pieces ? { ...ref, pieces } : ref;
  }

  #source(layer: number): LayerSource {
    let source = this.#sources[layer];
    if (!source) {
      source = this.#shared.read(this.#layers[layer]!);
      this.#sources[layer] = source;
    }
    return source;
  }

  #tar(layer: number): number {
    let fd = this.#tars.get(layer);
    if (fd === undefined) {
      fd = openSync(this.#layers[layer]!.tarPath, 'r');
      this.#tars.set(layer, fd);
    }
    return fd;
  }
}

/** The path as it stands, '.' and '..' resolved by their text. */
function plainPath(parts: readonly string[]): RawPath {
  const kept: string[] = [];
  for (const part of parts) {
    if (part === '..') kept.pop();
    else if (part !== '' && part !== '.') kept.push(part);
  }
  return kept.join('/') as RawPath;
}

function tarTooShort(entry: ViewEntry, tarPath: string): StoreError {
  return new StoreError('LAYER_DAMAGED', {
    message: `${tarPath} ends before the content of ${quote(entry.path)}`,
    hint: 'the layer is damaged; pull or build the image again',
  });
}
