// Entries of a tar → the EROFS image that lets the kernel mount the tar where it lies (layout: erofs.ts).
//
// Two passes: `place` gives every inode its place, so that all numbers are known; `write` fills one buffer.
import { createHash } from 'node:crypto';
import { crc32c } from './crc32c.js';
import type { TarEntry } from './entry.js';
import {
  blockSize,
  chunkIndexes,
  chunkIndexSize,
  compatFeatures,
  deviceSlotOffset,
  incompatFeatures,
  inodesOffset,
  layouts,
  magic,
  modeBits,
  nullBlock,
  slotBits,
  superOffset,
  xattrHeaderSize,
} from './erofs.js';
import { type ChunkPlan, maxSparseChunks, planChunks, writeChunks } from './index-chunks.js';
import { directoryBytes, sortedNames, writeDirectory } from './index-directory.js';
import { measureXattrs, writeXattrs } from './index-xattrs.js';
import { type LayerNode, type LayerTree, layerTree } from './layer-tree.js';

/**
 * The index of a tar with these entries: the same bytes for the same entries and size.
 *
 * @param tarSize bytes of the tar; up to its last content if left out
 * @returns null where EROFS can't say it: sparse members that don't lie at block boundaries or have very many pieces,
 *   attributes beyond 64 KiB, tars beyond 2 TiB or that lack the padding of their last content (the kernel reads whole blocks)
 * @throws StoreError TAR_*: see `layerTree`
 */
export function encodeIndex(entries: Iterable<TarEntry>, tarSize?: number): Buffer | null {
  return encodeTree(layerTree(entries), tarSize);
}

/** The same of the tree that the entries make. */
export function encodeTree({ root, contentEnd }: LayerTree, tarSize?: number): Buffer | null {
  const size = tarSize ?? contentEnd;
  if (size > nullBlock * blockSize || size < contentEnd) return null;
  const plan = place(root);
  return plan === null ? null : write(plan, size);
}

interface Inode {
  readonly node: LayerNode;
  readonly parent: LayerNode;
  readonly compact: boolean;
  /** With their header; 0 if there are none. */
  readonly xattrBytes: number;
  /** Place in the image. */
  readonly at: number;
  readonly layout: number;
  /** Of directories, with '.' and '..'. */
  readonly names: readonly string[] | null;
  readonly size: number;
  readonly chunks: ChunkPlan | null;
  /** First block of contents that don't lie in the inode, from the start of the data blocks. */
  readonly dataBlock: number;
}

interface Plan {
  readonly rootAt: number;
  readonly inodes: ReadonlyMap<LayerNode, Inode>;
  readonly time: Time;
  readonly inodesEnd: number;
  readonly dataBlocks: number;
}

interface Time {
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
}

function place(root: LayerNode): Plan | null {
  const time = commonTime(root);
  const inodes = new Map<LayerNode, Inode>();
  let end = inodesOffset;
  let dataBlocks = 0;
  let sparseChunks = 0;

  const add = (node: LayerNode, parent: LayerNode): boolean => {
    const xattrBytes = measureXattrs(node);
    if (xattrBytes === null) return false;
    const names = node.children && sortedNames(node.children.keys());
    const size = names ? directoryBytes(names) : node.type === 'symlink' ? node.linkTarget.length : node.size;
    const chunks = node.type === 'file' && size > 0 ? planChunks(node) : null;
    if (node.type === 'file' && size > 0 && chunks === null) return false;
    if (chunks && node.sparse) sparseChunks += chunks.count;
    const compact = isCompact(node, size, time);
    const header = (compact ? 32 : 64) + xattrBytes;
    let at = alignUp(end, 1 << slotBits);
    let layout: number = layouts.plain;
    const dataBlock = dataBlocks;
    if (chunks) {
      layout = layouts.chunks;
      end = alignUp(at + header, chunkIndexSize) + chunks.count * chunkIndexSize;
    } else if (size > 0 && node.type !== 'file') {
      // Contents in the inode must not cross a block; where they would, the inode moves on.
      const inline = inlinePlace(at, header, size);
      if (inline === null) {
        end = at + header;
        dataBlocks += Math.ceil(size / blockSize);
      } else {
        layout = layouts.inline;
        at = inline;
        end = at + header + size;
      }
    } else {
      end = at + header;
    }
    inodes.set(node, { node, parent, compact, xattrBytes, at, layout, names, size, chunks, dataBlock });
    return true;
  };

  // Breadth first: the inodes of one directory lie together, as `ls -l` and `find` read them.
  if (!add(root, root)) return null;
  const dirs = [root];
  for (const dir of dirs) {
    for (const name of inodes.get(dir)!.names!) {
      const child = dir.children!.get(name);
      if (child === undefined || inodes.has(child)) continue; // '.' and '..', or a further name of a file
      if (!add(child, dir)) return null;
      if (child.children) dirs.push(child);
    }
  }
  if (sparseChunks > maxSparseChunks) return null;
  return { rootAt: inodes.get(root)!.at, inodes, time, inodesEnd: alignUp(end, blockSize), dataBlocks };
}

/** Compact inodes have one time for all of them: that of most files, by majority vote. */
function commonTime(root: LayerNode): Time {
  let time: Time = root;
  let votes = 0;
  const dirs = [root];
  for (let dir = dirs.pop(); dir; dir = dirs.pop()) {
    for (const child of dir.children!.values()) {
      if (votes === 0) time = child;
      votes += isSameTime(child, time) ? 1 : -1;
      if (child.children) dirs.push(child);
    }
  }
  return time;
}

function isSameTime(a: Time, b: Time): boolean {
  return a.mtimeSec === b.mtimeSec && a.mtimeNsec === b.mtimeNsec;
}

function isCompact(node: LayerNode, size: number, time: Time): boolean {
  const { uid, gid, nlink } = node;
  return uid <= 0xffff && gid <= 0xffff && nlink <= 0xffff && size <= 0xffffffff && isSameTime(node, time);
}

function inlinePlace(at: number, header: number, size: number): number | null {
  const start = (at + header) % blockSize;
  if (start + size <= blockSize) return at;
  const moved = at + alignUp(blockSize - start, 1 << slotBits); // into the next block, as early as slots allow
  return ((moved + header) % blockSize) + size <= blockSize ? moved : null;
}

function write({ rootAt, inodes, time, inodesEnd, dataBlocks }: Plan, tarSize: number): Buffer {
  const firstDataBlock = inodesEnd / blockSize;
  const image = Buffer.alloc(inodesEnd + dataBlocks * blockSize);
  let number = 0;
  for (const inode of inodes.values()) {
    const content = writeInode(image, inode, ++number, firstDataBlock);
    if (inode.names) {
      const { node, parent, names } = inode;
      const childOf = (name: string): LayerNode =>
        name === '.' ? node : name === '..' ? parent : node.children!.get(name)!;
      const nidOf = (child: LayerNode): number => inodes.get(child)!.at >>> slotBits;
      writeDirectory(image, content, names, childOf, nidOf);
    } else if (inode.node.type === 'symlink') {
      image.write(inode.node.linkTarget, content, 'latin1');
    }
  }
  writeSuperblock(image, rootAt, inodes.size, time, tarSize);
  return image;
}

/** Returns where the contents belong (of directories and symlinks). */
function writeInode(image: Buffer, inode: Inode, number: number, firstDataBlock: number): number {
  const { node, compact, xattrBytes, at, layout, size, chunks } = inode;
  const dataBlock = firstDataBlock + inode.dataBlock;
  image.writeUInt16LE((layout << 1) | (compact ? 0 : 1), at);
  image.writeUInt16LE(xattrBytes > 0 ? 1 + (xattrBytes - xattrHeaderSize) / 4 : 0, at + 2);
  image.writeUInt16LE(typeBits(node) | node.mode, at + 4);
  const union = chunks
    ? chunkIndexes | chunks.bits
    : isDevice(node)
      ? deviceNumber(node)
      : contentBlock(inode, dataBlock);
  image.writeUInt32LE(union, at + 16);
  image.writeUInt32LE(number, at + 20);
  if (compact) {
    image.writeUInt16LE(node.nlink, at + 6);
    image.writeUInt32LE(size, at + 8);
    image.writeUInt16LE(node.uid, at + 24);
    image.writeUInt16LE(node.gid, at + 26);
  } else {
    writeInt64(image, size, at + 8);
    image.writeUInt32LE(node.uid, at + 24);
    image.writeUInt32LE(node.gid, at + 28);
    writeInt64(image, node.mtimeSec, at + 32);
    image.writeUInt32LE(node.mtimeNsec, at + 40);
    image.writeUInt32LE(node.nlink, at + 44);
  }
  let end = at + (compact ? 32 : 64);
  if (xattrBytes > 0) end += writeXattrs(image, end, node);
  if (chunks) writeChunks(image, alignUp(end, chunkIndexSize), node, chunks);
  return layout === layouts.inline ? end : dataBlock * blockSize;
}

function typeBits(node: LayerNode): number {
  return node.type === 'whiteout' ? modeBits.char : modeBits[node.type];
}

function isDevice({ type }: LayerNode): boolean {
  return type === 'char' || type === 'block'; // whiteouts are device 0:0
}

/** As the kernel's new_encode_dev: 12 bits of major, 20 of minor, in the order of history. */
function deviceNumber({ devMajor, devMinor }: LayerNode): number {
  return ((devMinor & 0xff) | (devMajor << 8) | ((devMinor & ~0xff) << 12)) >>> 0;
}

function contentBlock({ layout, size, node }: Inode, dataBlock: number): number {
  return layout === layouts.plain && size > 0 && node.type !== 'file' ? dataBlock : 0;
}

function writeSuperblock(image: Buffer, rootAt: number, inodeCount: number, time: Time, tarSize: number): void {
  const sb = image.subarray(superOffset, superOffset + blockSize);
  sb.writeUInt32LE(magic, 0);
  sb.writeUInt32LE(compatFeatures, 8);
  sb[12] = Math.log2(blockSize);
  sb.writeUInt16LE(rootAt >>> slotBits, 14);
  writeInt64(sb, inodeCount, 16);
  writeInt64(sb, time.mtimeSec, 24);
  sb.writeUInt32LE(time.mtimeNsec, 32);
  sb.writeUInt32LE(image.length / blockSize, 36);
  // meta_blkaddr and xattr_blkaddr are 0: inode numbers count from the image's start, and no attributes are shared.
  sb.writeUInt32LE(incompatFeatures, 80);
  sb.writeUInt16LE(1, 86); // external devices
  sb.writeUInt16LE(deviceSlotOffset / 128, 88);
  image.writeUInt32LE(Math.ceil(tarSize / blockSize), deviceSlotOffset + 64);
  // Overlays tell file systems apart by this; made of the content, so that the image stays a function of the tar.
  const uuid = createHash('sha256').update(image).digest();
  uuid.copy(sb, 48, 0, 16);
  sb[48 + 6] = (sb[48 + 6]! & 0x0f) | 0x80;
  sb[48 + 8] = (sb[48 + 8]! & 0x3f) | 0x80;
  sb.writeUInt32LE(crc32c(sb), 4);
}

function writeInt64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32LE(value >>> 0, at); // ToUint32 wraps negative numbers as two's complement does
  buffer.writeInt32LE(Math.floor(value / 2 ** 32) | 0, at + 4);
}

function alignUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
