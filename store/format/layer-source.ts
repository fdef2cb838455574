// What the merged view needs from one layer, whether it comes from an index or from the tar's own headers.
import type { RawPath, Xattr } from '#native';
import type { NodeType } from './layer-tree.js';

/** Names an inode within its layer. */
export type NodeId = number;

export type NodeKind = 'dir' | 'whiteout' | 'other';

export interface NodeFacts {
  readonly type: NodeType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly linkTarget: RawPath;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly xattrs: readonly Xattr[];
  /** Where in the tar the content starts. */
  readonly dataOffset: number;
  /** Set for sparse files: [offset, length] of what is stored, one after the other from `dataOffset` on. */
  readonly pieces: readonly (readonly [number, number])[] | null;
}

export interface LayerSource {
  readonly root: NodeId;
  child(dir: NodeId, name: string): NodeId | null;
  /** In byte order. */
  children(dir: NodeId): { readonly name: string; readonly id: NodeId }[];
  kind(id: NodeId): NodeKind;
  isOpaque(dir: NodeId): boolean;
  facts(id: NodeId): NodeFacts;
}
