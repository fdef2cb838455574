// What a COPY or ADD leaves behind: the files below (read-only) and, on top of them, what the instruction has put so far.
import type { ContentRef, RawPath } from '#native';
import { bareMeta, type DraftEntry, type EntryMeta, type RootView } from '#store';
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
export interface Placed {
  /** Never a hardlink: `link` says which are names of one file. */
  readonly draft: DraftEntry;
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
  /** Directories of the view, and symlinks to some, that something else replaced, with everything in them. */
  readonly #hidden = new Set<RawPath>();
  /** Symlinks of the view in whose place a directory is: what they lead to is not in that. */
  readonly #replaced = new Set<RawPath>();
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
    return path === '' ? root : (this.#placed.get(path)?.draft ?? this.#lookupBelow(path));
  }

  /** The file at `path` as it can be linked to; null if there is none that can. */
  linkable(path: RawPath): Placed | null {
    const placed = this.#placed.get(path);
    if (placed) return placed.draft.type === 'dir' ? null : placed;
    const entry = this.#lookupBelow(path);
    if (!entry || entry.type === 'dir') return null;
    return this.put(draftAt(path, entry.type, entry, entry, entry.mode), 0, null); // a link joins files of one layer
  }

  #lookupBelow(path: RawPath): ReturnType<RootView['lookup']> {
    if (this.#below === null || this.#new.has(parentPath(path))) return null;
    if (this.#hidden.size + this.#replaced.size > 0) {
      for (let dir = path; dir !== ''; dir = parentPath(dir)) {
        if (this.#hidden.has(dir) || this.#replaced.has(dir)) return null;
      }
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
  makeDirectory(path: RawPath, owner: Owner, mode = 0o755): void {
    const entry = this.lookup(path);
    if (entry?.type === 'dir') return;
    if (entry !== null) {
      throw new BuildError('COPY_DEST_NOT_DIRECTORY', {
        message: `${shown(path)} is a ${kindOf(entry.type)} in the image, not a directory`,
        hint: 'choose another destination, or remove it in an earlier RUN',
        at: this.#at,
      });
    }
    this.makeDirectory(parentPath(path), owner, mode);
    this.put({ ...bareMeta, type: 'dir', mode, path, uid: owner.uid, gid: owner.gid, ...this.#made }, 0, null);
  }

  /** Puts a file or directory at a resolved path; what is there is replaced, but a directory stays with what is in it. */
  put(draft: DraftEntry, link: number, from: SourceEntry | null): Placed {
    const { path } = draft;
    const below = this.#lookupBelow(path);
    if (draft.type === 'dir' && below === null) this.#new.add(path);
    if (draft.type === 'dir' && below?.type === 'symlink') this.#replaced.add(path);
    if (draft.type !== 'dir' && below?.type === 'symlink') this.#hidden.add(path); // and all that it leads to
    const placed: Placed = { draft, link, from };
    this.#placed.set(path, placed);
    return placed;
  }

  /** True if the instruction itself put what is at `path`. */
  isPlaced(path: RawPath): boolean {
    return this.#placed.has(path);
  }

  /** Changes something of a directory that is there already. */
  changeDirectory(path: RawPath, change: Partial<Pick<DraftEntry, 'mode' | 'mtimeSec' | 'mtimeNsec'>>): void {
    const placed = this.#placed.get(path);
    const draft = placed?.draft ?? this.#existing(path);
    this.put({ ...draft, ...change }, 0, placed?.from ?? null);
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
    const all = [...this.#placed.values()];
    const above = new Set<RawPath>();
    for (const path of this.#placed.keys()) {
      for (let dir = parentPath(path); dir !== '' && !this.#placed.has(dir) && !above.has(dir); dir = parentPath(dir)) {
        above.add(dir);
        all.push({ draft: this.#existing(dir), link: 0, from: null });
      }
    }
    for (const path of this.#hidden) {
      if (this.#placed.get(path)?.draft.type !== 'dir') continue;
      all.push({ draft: { ...opaqueMarker, path: joinPath(path, '.wh..wh..opq') }, link: 0, from: null });
    }
    return joinNames(all.sort((a, b) => (a.draft.path < b.draft.path ? -1 : 1)));
  }

  #existing(dir: RawPath): DraftEntry {
    const entry = this.#lookupBelow(dir);
    if (entry?.type !== 'dir') throw new Error(`nothing made the directory ${dir}`);
    return draftAt(dir, 'dir', entry, entry, entry.mode);
  }
}

/** Field by field: copying with a rest pattern is several times slower, and there may be many files. */
export function draftAt(
  path: RawPath,
  type: DraftEntry['type'],
  meta: Omit<EntryMeta, 'type'> & { readonly content: ContentRef | null },
  owner: Owner,
  mode: number,
): DraftEntry {
  const draft = {
    path,
    type,
    mode,
    uid: owner.uid,
    gid: owner.gid,
    size: meta.size,
    mtimeSec: meta.mtimeSec,
    mtimeNsec: meta.mtimeNsec,
    linkTarget: meta.linkTarget,
    devMajor: meta.devMajor,
    devMinor: meta.devMinor,
    xattrs: meta.xattrs,
  };
  return meta.content === null ? draft : Object.assign(draft, { content: meta.content });
}

const root: Seen = { type: 'dir', linkTarget: '' as RawPath };

/** Says that nothing of the directory below remains. @see OCI image-spec v1.1, layer.md "Opaque Whiteout" */
const opaqueMarker = { ...bareMeta, type: 'file', mode: 0 } as const;

/** Of the names of one file, the first in byte order has the content; the others become hardlinks to it. */
function joinNames(sorted: Placed[]): Landing[] {
  const first = new Map<number, RawPath>();
  return sorted.map((placed) => {
    const { draft, link } = placed;
    if (link === 0) return placed;
    const target = first.get(link);
    if (target === undefined) {
      first.set(link, draft.path);
      return placed;
    }
    const { content: _content, ...meta } = draft;
    return { draft: { ...meta, type: 'hardlink', size: 0, linkTarget: target, xattrs: [] }, from: null };
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
