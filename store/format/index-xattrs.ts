// Extended attributes in the inode: a header of 12 bytes, then entries of name and value, each padded to 4 bytes.
import type { Xattr } from '#native';
import { xattrHeaderSize, xattrPrefixes } from './erofs.js';
import type { LayerNode } from './layer-tree.js';
import { overlayNotes } from './overlay-notes.js';

/** i_xattr_icount has 16 bits and counts in fours. */
const maxBytes = 4 * 0xffff;

/** Bytes that the attributes take, with their header: 0 if there are none, null where the format ends. */
export function measureXattrs(node: LayerNode): number | null {
  const xattrs = xattrsOf(node);
  if (xattrs.length === 0) return 0;
  let size = xattrHeaderSize;
  for (const xattr of xattrs) {
    const { suffix } = splitName(xattr);
    if (suffix.length > 255 || xattr.value.length > 0xffff) return null;
    size += entryBytes(suffix, xattr.value);
  }
  return size > maxBytes ? null : size;
}

/** Returns their length. The image is all zeros where they come. */
export function writeXattrs(image: Buffer, start: number, node: LayerNode): number {
  let at = start + xattrHeaderSize;
  for (const xattr of xattrsOf(node)) {
    const { suffix, prefixNumber } = splitName(xattr);
    image[at] = suffix.length;
    image[at + 1] = prefixNumber;
    image.writeUInt16LE(xattr.value.length, at + 2);
    image.write(suffix, at + 4, 'latin1');
    xattr.value.copy(image, at + 4 + suffix.length);
    at += entryBytes(suffix, xattr.value);
  }
  return at - start;
}

function xattrsOf(node: LayerNode): readonly Xattr[] {
  const notes = node.children ? notesOf(node) : [];
  return notes.length === 0 ? node.xattrs : [...node.xattrs, ...notes];
}

/** In both notations: the same index serves mounts of root and of a user namespace. */
function notesOf(node: LayerNode): Xattr[] {
  return overlayNotes(node).flatMap(({ note, value }) => [
    { name: `trusted.overlay.${note}`, value },
    { name: `user.overlay.${note}`, value },
  ]);
}

function splitName({ name }: Xattr): { suffix: string; prefixNumber: number } {
  const prefix = xattrPrefixes.find(([text]) => name.startsWith(text));
  if (!prefix) throw new Error(`no index for the attribute ${name}`); // the tree holds user. and security. ones only
  return { suffix: name.slice(prefix[0].length), prefixNumber: prefix[1] };
}

function entryBytes(suffix: string, value: Buffer): number {
  return Math.ceil((4 + suffix.length + value.length) / 4) * 4;
}
