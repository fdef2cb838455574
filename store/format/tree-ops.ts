// Entries of a tar → the operations that make its tree: a directory as OverlayFS takes it for a lower layer.
import { basename, dirname } from 'node:path';
import { type ApplyMeta, type ApplyOp, type RawPath, rawPath, type Xattr } from '#native';
import type { TarEntry } from './entry.js';
import { type LayerNode, layerTree } from './layer-tree.js';
import { overlayNotes } from './overlay-notes.js';

/**
 * Parents before children, hardlinks after their first name. The overlay's notes are in its `user.` notation only: a user
 * namespace can't write the other, and only there trees are mounted. The root comes first.
 *
 * @throws StoreError TAR_*: see `layerTree`
 */
export function treeOps(entries: Iterable<TarEntry>, tarPath: string): ApplyOp[] {
  const { root } = layerTree(entries);
  const tar = { root: dirname(tarPath), path: rawPath(basename(tarPath)) };
  const ops: ApplyOp[] = [{ op: 'dir', path: '' as RawPath, meta: metaOf(root) }];
  const firstNames = new Map<LayerNode, RawPath>();
  const dirs: { readonly path: RawPath; readonly node: LayerNode }[] = [{ path: '' as RawPath, node: root }];
  for (const { path: dir, node } of dirs) {
    for (const name of [...node.children!.keys()].sort()) {
      const child = node.children!.get(name)!;
      const path = (dir === '' ? name : `${dir}/${name}`) as RawPath;
      const first = child.nlink > 1 && child.type !== 'dir' ? firstNames.get(child) : undefined;
      if (first !== undefined && child.type !== 'whiteout') {
        ops.push({ op: 'link', path, target: first });
        continue;
      }
      firstNames.set(child, path);
      ops.push(opOf(path, child, tar));
      if (child.type === 'dir') dirs.push({ path, node: child });
    }
  }
  return ops;
}

function opOf(path: RawPath, node: LayerNode, tar: { readonly root: string; readonly path: RawPath }): ApplyOp {
  switch (node.type) {
    case 'whiteout':
      return { op: 'whiteout', path };
    case 'dir':
    case 'fifo':
      return { op: node.type, path, meta: metaOf(node) };
    case 'symlink':
      return { op: 'symlink', path, meta: metaOf(node), target: node.linkTarget };
    case 'char':
    case 'block': {
      const { devMajor: major, devMinor: minor } = node;
      return { op: 'device', path, meta: metaOf(node), block: node.type === 'block', major, minor };
    }
    case 'file': {
      const { size, dataOffset: offset, sparse } = node;
      const content = size === 0 ? { bytes: empty } : { ...tar, offset, ...(sparse && { pieces: sparse.pieces }) };
      return { op: 'file', path, meta: metaOf(node), size, content };
    }
  }
}

const empty = new Uint8Array(0);

function metaOf(node: LayerNode): ApplyMeta {
  const { mode, uid, gid, mtimeSec, mtimeNsec } = node;
  const notes = node.children ? overlayNotes(node) : [];
  const xattrs: readonly Xattr[] =
    notes.length === 0
      ? node.xattrs
      : [...node.xattrs, ...notes.map(({ note, value }) => ({ name: `user.overlay.${note}`, value }))];
  return { mode, uid, gid, mtimeSec, mtimeNsec, xattrs };
}
