// Extended attributes in the inode: a header of 12 bytes, then entries of name and value, each padded to 4 bytes.
import type { Xattr } from '#native';
import { xattrHeaderSize, xattrPrefixes } from './erofs.js';
import type { LayerNode } from './layer-tree.js';
import { overlayNotes } from './overlay-notes.js';

/** i_xattr_icount has 16 bits and counts in fours. */
const maxBytes = 4 * 0xffff;

/** Null if there are none; 'too-large' where the format ends. */
export function encodeXattrs(node: LayerNode): Buffer | null | 'too-large' {
  const notes = node.children ? notesOf(node) : [];
  if (node.xattrs.length === 0 && notes.length === 0) return null;
  const xattrs = [...node.xattrs, ...notes];
  const pieces: Buffer[] = [Buffer.alloc(xattrHeaderSize)];
  let size = xattrHeaderSize;
  for (const xattr of xattrs) {
    const entry = encodeEntry(xattr);
    if (!entry) return 'too-large';
    pieces.push(entry);
    size += entry.length;
  }
  return size > maxBytes ? 'too-large' : Buffer.concat(pieces, size);
}

/** In both notations: the same index serves mounts of root and of a user namespace. */
function notesOf(node: LayerNode): Xattr[] {
  return overlayNotes(node).flatMap(({ note, value }) => [
    { name: `trusted.overlay.${note}`, value },
    { name: `user.overlay.${note}`, value },
  ]);
}

function encodeEntry({ name, value }: Xattr): Buffer | null {
  const prefix = xattrPrefixes.find(([text]) => name.startsWith(text));
  if (!prefix) throw new Error(`no index for the attribute ${name}`); // the tree holds user. and security. ones only
  const [text, number] = prefix;
  const length = name.length - text.length;
  if (length > 255 || value.length > 0xffff) return null;
  const entry = Buffer.alloc(Math.ceil((4 + length + value.length) / 4) * 4);
  entry[0] = length;
  entry[1] = number;
  entry.writeUInt16LE(value.length, 2);
  entry.write(name.slice(text.length), 4, 'latin1');
  value.copy(entry, 4 + length);
  return entry;
}
