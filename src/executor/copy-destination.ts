// What a COPY or ADD leaves behind: the files below (read-only) and, on top of them, what the instruction has put so far.
import type { ContentRef, RawPath } from '#native';
import type { DraftEntry, EntryMeta, RootView } from '#store';
import { BuildError, type Span } from '../base/index.js';
import { joinPath, parentPath, resolveLinks } from './copy-links.js';
import type { SourceEntry } from './copy-source.js';
import type { Owner } from './owner.js';

/** The time of what the step itself makes. */
export interface MadeAt {
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
}

/** A file as it will be in the layer. */
export interface Placed extends Omit<EntryMeta, 'path' | 'type'> {
  readonly type: Exclude<EntryMeta['type'], 'hardlink'>;
  readonly content?: ContentRef;
  /** The same for all names of one file; 0: it has only this name. */
  link: number;
  /** What it is a copy of. */
  readonly from: SourceEntry | null;
}

/** What a look-up sees: something placed, or something that was there before. */
export interface Seen {
  readonly type: EntryMeta['type'];
  readonly linkTarget: RawPath;
}

export interface Landing {
  readonly draft: DraftEntry;
  readonly from: SourceEntry | null;
}

export class Destination {
  readonly #below: RootView | null;
  readonly #made: MadeAt;
  readonly #at: Span;
  readonly #placed = new Map<RawPath, Placed>();
  /** Directories of the view that something else replaced, with everything in them. */
  readonly #hidden = new Set<RawPath>();
  /** Placed directories that the view doesn't have: it has nothing in them either. */
  readonly #new = new Set<RawPath>();
  #links = 0;

  /** @param below null: the files land in an empty tree (--link) */
  constructor(below: RootView | null, made: MadeAt, at: Span) {
    this.#below = below;
    this.#made = made;
    this.#at = at;
  }

  /** The entry at a path none of whose directories is a symlink. */
  lookup(path: RawPath): Seen | null {
    return path === '' ? root : (this.#placed.get(path) ?? this.#lookupBelow(path));
  }

  /** The file at `path` as it can be linked to; null if there is none that can. */
  linkable(path: RawPath): Placed | null {
    const placed = this.#placed.get(path);
    if (placed) return placed.type === 'dir' ? null : placed;
    const entry = this.#lookupBelow(path);
    if (!entry || entry.type === 'dir') return null;
    const { path: _path, layer: _layer, inode: _inode, content, ...meta } = entry;
    const copy: Placed = { ...meta, link: 0, from: null, ...(content === null ? {} : { content }) };
    this.put(path, copy); // a link joins files of one layer
    return copy;
  }

  #lookupBelow(path: RawPath): ReturnType<RootView['lookup']> {
    if (this.#below === null || this.#new.has(parentPath(path))) return null;
    if (this.#hidden.size > 0) {
      for (let dir = path; dir !== ''; dir = parentPath(dir)) if (this.#hidden.has(dir)) return null;
    }
    return this.#below.lookup(path, false);
  }

  /** @throws BuildError COPY_LINK_LOOP */
  resolve(path: RawPath): RawPath {
    const resolved = resolveLinks((at) => this.lookup(at), path, true);
    if (resolved !== null) return resolved;
    throw new BuildError('COPY_LINK_LOOP', {
      message: `the symlinks at ${shown(path)} in the image lead in a circle`,
      at: this.#at,
    });
  }

  /**
   * Makes the directory `path` (resolved) and what is missing above it.
   * @throws BuildError COPY_DEST_NOT_DIRECTORY
   */
  makeDirectory(path: RawPath, owner: Owner): void {
    const entry = this.lookup(path);
    if (entry?.type === 'dir') return;
    if (entry !== null) {
      throw new BuildError('COPY_DEST_NOT_DIRECTORY', {
        message: `${shown(path)} is a ${kindOf(entry.type)} in the image, not a directory`,
        hint: 'choose another destination, or remove it in an earlier RUN',
        at: this.#at,
      });
    }
    this.makeDirectory(parentPath(path), owner);
    this.put(path, { ...emptyDirectory, ...owner, ...this.#made });
  }

  /** Puts a file or directory at `path` (resolved); what is there is replaced, but a directory stays with what is in it. */
  put(path: RawPath, file: Placed): void {
    if (file.type === 'dir' && this.#lookupBelow(path) === null) this.#new.add(path);
    this.#placed.set(path, file);
  }

  /** Removes what is at `path` with everything in it, to make place for something else. */
  clear(path: RawPath): void {
    const entry = this.lookup(path);
    if (entry?.type !== 'dir') return;
    if (this.#lookupBelow(path)?.type === 'dir') this.#hidden.add(path);
    for (const below of this.#placed.keys()) if (below.startsWith(`${path}/`)) this.#placed.delete(below);
    this.#placed.delete(path);
  }

  /** A value for `link` that nobody else has. */
  newLink(): number {
    return ++this.#links;
  }

  /**
   * What the layer holds, in byte order of path. Directories above what was placed come along as they are: in a stack
   * of layers, a directory looks as the topmost layer says that has it.
   */
  landings(): Landing[] {
    const all = new Map<RawPath, Placed>(this.#placed);
    for (const path of this.#placed.keys()) {
      for (let dir = parentPath(path); dir !== '' && !all.has(dir); dir = parentPath(dir)) {
        all.set(dir, this.#existing(dir));
      }
      if (this.#hidden.has(path) && this.#placed.get(path)?.type === 'dir') {
        all.set(joinPath(path, '.wh..wh..opq'), opaqueMarker);
      }
    }
    return draftsOf([...all].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #existing(dir: RawPath): Placed {
    const entry = this.#lookupBelow(dir);
    if (entry?.type !== 'dir') throw new Error(`nothing made the directory ${dir}`);
    const { path: _path, layer: _layer, inode: _inode, content: _content, ...meta } = entry;
    return { ...meta, link: 0, from: null };
  }
}

const root: Seen = { type: 'dir', linkTarget: '' as RawPath };

const emptyDirectory = {
  type: 'dir',
  mode: 0o755,
  uid: 0,
  gid: 0,
  size: 0,
  linkTarget: '' as RawPath,
  devMajor: 0,
  devMinor: 0,
  xattrs: [],
  link: 0,
  from: null,
} as const;

/** Says that nothing of the directory below remains. @see OCI image-spec v1.1, layer.md "Opaque Whiteout" */
const opaqueMarker: Placed = { ...emptyDirectory, type: 'file', mode: 0, mtimeSec: 0, mtimeNsec: 0 };

/** Names of one file: the first in byte order has the content, the others are hardlinks to it. */
function draftsOf(sorted: readonly (readonly [RawPath, Placed])[]): Landing[] {
  const first = new Map<number, RawPath>();
  return sorted.map(([path, { link, from, content, ...meta }]) => {
    const target = link === 0 ? undefined : first.get(link);
    if (target !== undefined) {
      return { draft: { ...meta, path, type: 'hardlink', size: 0, linkTarget: target, xattrs: [] }, from: null };
    }
    if (link !== 0) first.set(link, path);
    return { draft: content === undefined ? { ...meta, path } : { ...meta, path, content }, from };
  });
}

/** As people write paths in an image. */
export function shown(path: string): string {
  return `/${Buffer.from(path, 'latin1').toString('utf8')}`;
}

const kinds: Readonly<Record<string, string>> = {
  dir: 'directory',
  char: 'device',
  block: 'device',
  hardlink: 'file',
  fifo: 'named pipe',
};

export function kindOf(type: string): string {
  return kinds[type] ?? type;
}
