// What a step left in its OverlayFS upperdir → the entries of its layer.
import type { ContentRef, FileStat, RawPath, Xattr } from '#native';
import { StoreError } from '../errors.js';
import { bareMeta, type DraftEntry } from './entry.js';
import { quote } from './tar-path.js';
import { imageXattrs, isReservedName, opaqueMarker, whiteoutPrefix } from './whiteout.js';

/**
 * The changes in the upperdir at `root`, in byte order of path; [] when the step wrote nothing.
 *
 * Kernel whiteouts (char 0:0) become '.wh.' files, opaque directories get the opaque marker, sockets are left out (they
 * are of no use without their process), names of one inode become hardlinks of the first. Directories that were only
 * copied up because something below them changed are kept, as all engines do. The root itself is an entry only if its
 * mode or owner is not the plain 0755 0:0 that layers without such an entry have.
 *
 * @throws StoreError LAYER_NAME_RESERVED, LAYER_OVERLAY_FEATURE
 */
export function overlayToDrafts(stats: readonly FileStat[], root: string): DraftEntry[] {
  const drafts: DraftEntry[] = [];
  const firstNames = new Map<string, RawPath>();
  for (const stat of inOrder(stats)) {
    if (stat.path === '') {
      if (isPlainRoot(stat)) continue;
    } else if (isReservedName(stat.path)) {
      throw reservedName(stat.path);
    }
    if (stat.type === 'socket') continue;
    if (stat.type === 'char' && stat.rdevMajor === 0 && stat.rdevMinor === 0) {
      drafts.push(markerDraft(whiteoutPath(stat.path)));
      continue;
    }
    if (stat.type !== 'dir' && stat.nlink > 1) {
      const inode = `${stat.dev}:${stat.ino}`;
      const first = firstNames.get(inode);
      if (first !== undefined) {
        drafts.push({ ...draftOf(stat, 'hardlink', [], root), linkTarget: first });
        continue;
      }
      firstNames.set(inode, stat.path);
    }
    drafts.push(draftOf(stat, stat.type, stepXattrs(stat), root));
    if (stat.type === 'dir' && isOpaque(stat)) {
      drafts.push(markerDraft((stat.path === '' ? opaqueMarker : `${stat.path}/${opaqueMarker}`) as RawPath));
    }
  }
  return inOrder(drafts) as DraftEntry[]; // '.wh.x' sorts elsewhere than the x it stands for
}

function inOrder<T extends { readonly path: RawPath }>(items: readonly T[]): readonly T[] {
  for (let i = 1; i < items.length; i++) {
    if (items[i - 1]!.path > items[i]!.path) return [...items].sort((a, b) => (a.path < b.path ? -1 : 1));
  }
  return items;
}

function isPlainRoot({ mode, uid, gid }: FileStat): boolean {
  return mode === 0o755 && uid === 0 && gid === 0;
}

function whiteoutPath(path: RawPath): RawPath {
  const name = path.lastIndexOf('/') + 1;
  return (path.slice(0, name) + whiteoutPrefix + path.slice(name)) as RawPath;
}

/** Whiteouts and opaque markers carry nothing of their own, so that they are the same in every build. */
function markerDraft(path: RawPath): DraftEntry {
  return { ...bareMeta, path, type: 'file', mode: 0 };
}

function draftOf(stat: FileStat, type: DraftEntry['type'], xattrs: readonly Xattr[], root: string): DraftEntry {
  const { path, size } = stat;
  const isDevice = type === 'char' || type === 'block';
  const draft: Omit<DraftEntry, 'content'> & { content?: ContentRef } = {
    path,
    type,
    mode: stat.mode,
    uid: stat.uid,
    gid: stat.gid,
    size: type === 'file' ? size : 0,
    mtimeSec: stat.mtimeSec,
    mtimeNsec: stat.mtimeNsec,
    linkTarget: type === 'symlink' ? stat.linkTarget : ('' as RawPath),
    devMajor: isDevice ? stat.rdevMajor : 0,
    devMinor: isDevice ? stat.rdevMinor : 0,
    xattrs,
  };
  if (draft.size > 0) draft.content = { root, path, offset: 0 };
  return draft;
}

/** In a user namespace the overlay keeps its notes in `user.`, else in `trusted.`. */
const overlayNames = ['trusted.overlay.', 'user.overlay.'] as const;

function isOpaque({ xattrs }: FileStat): boolean {
  return xattrs.some(({ name, value }) => overlayNames.some((p) => name === `${p}opaque`) && value[0] === 0x79);
}

function stepXattrs({ xattrs, path }: FileStat): readonly Xattr[] {
  if (xattrs.length === 0) return xattrs;
  for (const { name } of xattrs) {
    if (overlayNames.some((p) => name === `${p}redirect` || name === `${p}metacopy`)) throw overlayFeature(path, name);
  }
  return imageXattrs(xattrs).map((xattr) => (xattr.name === 'security.capability' ? plainCapability(xattr) : xattr));
}

/**
 * File capabilities set inside a user namespace name its root's id on the host (revision 3, linux/capability.h). In the
 * image they belong to whoever is root in it, which revision 2 says.
 */
function plainCapability({ name, value }: Xattr): Xattr {
  const isRevision3 = value.length === 24 && value[3] === 0x03;
  if (!isRevision3) return { name, value };
  const plain = Buffer.from(value.subarray(0, 20));
  plain[3] = 0x02;
  return { name, value: plain };
}

function reservedName(path: RawPath): StoreError {
  return new StoreError('LAYER_NAME_RESERVED', {
    message: `the step made ${quote(path)}, but names that start with ${whiteoutPrefix} mean deleted files in a layer`,
    hint: 'remove or rename the file in the step that makes it',
  });
}

function overlayFeature(path: RawPath, name: string): StoreError {
  return new StoreError('LAYER_OVERLAY_FEATURE', {
    message: `the overlay recorded ${quote(path)} as a change of a lower file (${name}), which no layer can say`,
    hint: 'the kernel turned redirect_dir or metacopy on; tsbuild mounts with both off',
  });
}
