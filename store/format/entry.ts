// One layer entry, the common language of the tar codec, the index writer, the tree form and the merged view.
import type { ContentRef, RawPath, Xattr } from '#native';

export type EntryType = 'file' | 'hardlink' | 'symlink' | 'dir' | 'char' | 'block' | 'fifo';

/** What a tar header says about one member; paths are cleaned ('./usr/bin/' is 'usr/bin'). */
export interface EntryMeta {
  readonly path: RawPath;
  readonly type: EntryType;
  /** 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content; 0 for everything but files. */
  readonly size: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  /** Target as stored: a symlink's text, or the cleaned path of a hardlink's first name; '' otherwise. */
  readonly linkTarget: RawPath;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly xattrs: readonly Xattr[];
}

/** Of a member that says nothing of its own: root's, empty, from 1970. */
export const bareMeta: Omit<EntryMeta, 'path' | 'type' | 'mode'> = {
  uid: 0,
  gid: 0,
  size: 0,
  mtimeSec: 0,
  mtimeNsec: 0,
  linkTarget: '' as RawPath,
  devMajor: 0,
  devMinor: 0,
  xattrs: [],
};

/** A member of a tar that exists: its content lies at `dataOffset` (a multiple of 512). */
export interface TarEntry extends EntryMeta {
  readonly dataOffset: number;
  /** Set for GNU and PAX sparse members: real size and [offset, length] pieces; their data can't be mapped in place. */
  readonly sparse?: { readonly realSize: number; readonly pieces: readonly (readonly [number, number])[] };
}

/** A member of a tar still to be written; `content` is required for files of size > 0. */
export interface DraftEntry extends EntryMeta {
  readonly content?: ContentRef;
}
