// A downloaded file as a tree that holds nothing else.
import { openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { rawPath } from '#native';
import { bareMeta } from '#store';
import type { SourceEntry, SourceTree } from './copy-source.js';

export interface DownloadedFile {
  /** What it is called in the tree. */
  readonly name: string;
  readonly path: string;
  readonly size: number;
  /** Hex. */
  readonly sha256: string;
  readonly mtimeSec: number;
}

/** @param name as messages call it */
export function downloadSource(file: DownloadedFile, name: string): SourceTree {
  const path = rawPath(file.name);
  const tree: SourceTree = {
    name,
    keepsOwners: false,
    timesCount: false,
    lookup: (wanted) => (wanted === path ? entry : null),
    names: (dir) => (dir === '' ? [path] : []),
    walk: async (dir) => (dir === '' ? [entry] : []),
    hides: () => false,
    knownDigest: () => file.sha256,
    digests: async (entries) => entries.map(() => file.sha256),
    record: () => {},
    open: () => openSync(file.path, 'r'),
  };
  const entry: SourceEntry = {
    ...bareMeta,
    path,
    type: 'file',
    mode: 0o600,
    size: file.size,
    mtimeSec: file.mtimeSec,
    content: file.size > 0 ? { root: dirname(file.path), path: rawPath(basename(file.path)), offset: 0 } : null,
    inode: null,
    tree,
    stat: null,
  };
  return tree;
}
