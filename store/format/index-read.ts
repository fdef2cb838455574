// An index as the merged view reads it: without a mount, straight from the image (layout: erofs.ts).
import { readFileSync } from 'node:fs';
import type { RawPath, Xattr } from '#native';
import { StoreError } from '../errors.js';
import { crc32c } from './crc32c.js';
import {
  blockSize,
  chunkIndexSize,
  direntSize,
  layouts,
  magic,
  modeBits,
  nullBlock,
  slotBits,
  superOffset,
  xattrHeaderSize,
  xattrPrefixes,
} from './erofs.js';
import type { LayerSource, NodeFacts, NodeId, NodeKind } from './layer-source.js';
import type { NodeType } from './layer-tree.js';

/** @throws StoreError INDEX_DAMAGED, here or at any later call */
export function readIndexSource(path: string): LayerSource {
  return new IndexSource(path, readFileSync(path));
}

const noXattrs: readonly Xattr[] = [];

const typeOfBits = new Map(Object.entries(modeBits).map(([type, bits]) => [bits as number, type as NodeType]));

class IndexSource implements LayerSource {
  readonly root: NodeId;
  readonly #path: string;
  readonly #image: Buffer;

  constructor(path: string, image: Buffer) {
    this.#path = path;
    this.#image = image;
    if (image.length < superOffset + blockSize || image.length % blockSize !== 0) throw this.#damaged('its size');
    const sb = Buffer.from(image.subarray(superOffset, superOffset + blockSize));
    const checksum = sb.readUInt32LE(4);
    sb.writeUInt32LE(0, 4);
    if (sb.readUInt32LE(0) !== magic || crc32c(sb) !== checksum) throw this.#damaged('its superblock');
    if (sb.readUInt32LE(36) * blockSize !== image.length) throw this.#damaged('its size');
    this.root = sb.readUInt16LE(14);
  }

  child(dir: NodeId, name: string): NodeId | null {
    const data = this.#dirData(dir);
    let low = 0;
    let high = Math.ceil(data.size / blockSize) - 1;
    while (low < high) {
      // The last block whose first name is not beyond `name`.
      const middle = (low + high + 1) >>> 1;
      if (this.#compareName(data, middle, 0, name) > 0) high = middle - 1;
      else low = middle;
    }
    const block = low;
    low = 0;
    high = this.#direntCount(data, block) - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const order = this.#compareName(data, block, middle, name);
      if (order === 0) return this.#u32(data.at + block * blockSize + middle * direntSize);
      if (order > 0) high = middle - 1;
      else low = middle + 1;
    }
    return null;
  }

  children(dir: NodeId): { name: string; id: NodeId }[] {
    const data = this.#dirData(dir);
    const found: { name: string; id: NodeId }[] = [];
    for (let block = 0; block * blockSize < data.size; block++) {
      const count = this.#direntCount(data, block);
      for (let i = 0; i < count; i++) {
        const { start, end } = this.#nameRange(data, block, i);
        const name = this.#image.toString('latin1', start, end);
        if (name === '.' || name === '..') continue;
        found.push({ name, id: this.#u32(data.at + block * blockSize + i * direntSize) });
      }
    }
    return found;
  }

  kind(id: NodeId): NodeKind {
    const at = id << slotBits;
    const type = this.#u16(at + 4) & 0o170000;
    if (type === modeBits.dir) return 'dir';
    return type === modeBits.char && this.#u32(at + 16) === 0 ? 'whiteout' : 'other';
  }

  isOpaque(dir: NodeId): boolean {
    return this.#xattrs(dir).some(({ name, value }) => name === 'user.overlay.opaque' && value[0] === 0x79);
  }

  facts(id: NodeId): NodeFacts {
    const at = id << slotBits;
    const mode = this.#u16(at + 4);
    const isCompact = this.#isCompact(at);
    const type = this.#typeOf(at, mode);
    const size = isCompact ? this.#u32(at + 8) : this.#i64(at + 8);
    const isDevice = type === 'char' || type === 'block';
    const device = isDevice ? this.#u32(at + 16) : 0;
    const chunks = type === 'file' && size > 0 ? this.#chunks(at, size) : null;
    return {
      type,
      mode: mode & 0o7777,
      uid: isCompact ? this.#u16(at + 24) : this.#u32(at + 24),
      gid: isCompact ? this.#u16(at + 26) : this.#u32(at + 28),
      size: type === 'file' ? size : 0,
      mtimeSec: isCompact ? this.#i64(superOffset + 24) : this.#i64(at + 32),
      mtimeNsec: isCompact ? this.#u32(superOffset + 32) : this.#u32(at + 40),
      linkTarget: (type === 'symlink' ? this.#text(id, size) : '') as RawPath,
      devMajor: (device >>> 8) & 0xfff,
      devMinor: (device & 0xff) | ((device >>> 12) & 0xfff00),
      xattrs: this.#imageXattrs(id),
      dataOffset: chunks?.dataOffset ?? 0,
      pieces: chunks?.pieces ?? null,
    };
  }

  #typeOf(at: number, mode: number): NodeType {
    const type = typeOfBits.get(mode & 0o170000);
    if (type === undefined) throw this.#damaged(`the inode at byte ${at}`);
    return type === 'char' && this.#u32(at + 16) === 0 ? 'whiteout' : type;
  }

  #isCompact(at: number): boolean {
    return (this.#u16(at) & 1) === 0;
  }

  /** Where the attributes start and how many bytes they take. */
  #xattrRange(at: number): { start: number; length: number } {
    const count = this.#u16(at + 2);
    return {
      start: at + (this.#isCompact(at) ? 32 : 64),
      length: count === 0 ? 0 : xattrHeaderSize + 4 * (count - 1),
    };
  }

  /** Where the contents of a directory or symlink lie. */
  #contentPlace(at: number): number {
    const { start, length } = this.#xattrRange(at);
    const layout = this.#u16(at) >>> 1;
    return layout === layouts.inline ? start + length : this.#u32(at + 16) * blockSize;
  }

  #dirData(dir: NodeId): { at: number; size: number } {
    const at = dir << slotBits;
    const size = this.#isCompact(at) ? this.#u32(at + 8) : this.#i64(at + 8);
    const place = this.#contentPlace(at);
    if (place + size > this.#image.length) throw this.#damaged(`the directory at byte ${at}`);
    return { at: place, size };
  }

  #direntCount(data: { at: number; size: number }, block: number): number {
    const first = this.#u16(data.at + block * blockSize + 8);
    const limit = Math.min(blockSize, data.size - block * blockSize);
    if (first < direntSize || first > limit || first % direntSize !== 0) {
      throw this.#damaged(`the directory block at byte ${data.at + block * blockSize}`);
    }
    return first / direntSize;
  }

  #nameRange(data: { at: number; size: number }, block: number, index: number): { start: number; end: number } {
    const at = data.at + block * blockSize;
    const limit = Math.min(blockSize, data.size - block * blockSize);
    const isLast = (index + 1) * direntSize === this.#u16(at + 8);
    const start = this.#u16(at + index * direntSize + 8);
    let end = isLast ? limit : this.#u16(at + (index + 1) * direntSize + 8);
    if (start > end || end > limit) throw this.#damaged(`the directory block at byte ${at}`);
    if (isLast) while (end > start && this.#image[at + end - 1] === 0) end--; // padding of a block that is not the last
    return { start: at + start, end: at + end };
  }

  /** As strcmp(entry's name, name), by bytes. */
  #compareName(data: { at: number; size: number }, block: number, index: number, name: string): number {
    const { start, end } = this.#nameRange(data, block, index);
    const length = Math.min(end - start, name.length);
    for (let i = 0; i < length; i++) {
      const difference = this.#image[start + i]! - name.charCodeAt(i);
      if (difference !== 0) return difference;
    }
    return end - start - name.length;
  }

  #text(id: NodeId, size: number): string {
    const start = this.#contentPlace(id << slotBits);
    if (start + size > this.#image.length) throw this.#damaged(`the symlink at byte ${id << slotBits}`);
    return this.#image.toString('latin1', start, start + size);
  }

  #chunks(at: number, size: number): { dataOffset: number; pieces: [number, number][] | null } {
    const { start, length } = this.#xattrRange(at);
    const chunkBytes = blockSize * 2 ** (this.#u16(at + 16) & 0x1f);
    const first = Math.ceil((start + length) / chunkIndexSize) * chunkIndexSize;
    const pieces: [number, number][] = [];
    let dataOffset = 0;
    let next = 0;
    for (let i = 0; i * chunkBytes < size; i++) {
      const block = this.#u32(first + i * chunkIndexSize + 4);
      if (block === nullBlock) continue;
      if (pieces.length === 0) dataOffset = next = block * blockSize;
      if (block * blockSize !== next) throw this.#damaged(`the chunks of the file at byte ${at}`);
      const offset = i * chunkBytes;
      const bytes = Math.min(chunkBytes, size - offset);
      const last = pieces.at(-1);
      if (last && last[0] + last[1] === offset) last[1] += bytes;
      else pieces.push([offset, bytes]);
      next += bytes;
    }
    const isDense = pieces.length === 1 && pieces[0]![0] === 0 && pieces[0]![1] === size;
    return { dataOffset, pieces: isDense ? null : pieces };
  }

  #xattrs(id: NodeId): readonly Xattr[] {
    const { start, length } = this.#xattrRange(id << slotBits);
    if (length === 0) return noXattrs;
    if (start + length > this.#image.length) throw this.#damaged(`the attributes at byte ${start}`);
    const xattrs: Xattr[] = [];
    for (let at = start + xattrHeaderSize; at < start + length; ) {
      const nameEnd = at + 4 + this.#image[at]!;
      const valueEnd = nameEnd + this.#u16(at + 2);
      const prefix = xattrPrefixes.find(([, number]) => number === this.#image[at + 1]);
      if (!prefix || valueEnd > start + length) throw this.#damaged(`the attributes at byte ${start}`);
      const name = prefix[0] + this.#image.toString('latin1', at + 4, nameEnd);
      xattrs.push({ name, value: Buffer.from(this.#image.subarray(nameEnd, valueEnd)) });
      at = Math.ceil(valueEnd / 4) * 4;
    }
    return xattrs;
  }

  #imageXattrs(id: NodeId): readonly Xattr[] {
    const xattrs = this.#xattrs(id);
    return xattrs.length === 0 ? xattrs : xattrs.filter(({ name }) => !isOverlayNote(name));
  }

  #u16(at: number): number {
    if (at + 2 > this.#image.length) throw this.#damaged('its length');
    return this.#image[at]! | (this.#image[at + 1]! << 8);
  }

  #u32(at: number): number {
    return this.#u16(at) + this.#u16(at + 2) * 0x10000;
  }

  #i64(at: number): number {
    const high = this.#u32(at + 4);
    return this.#u32(at) + (high | 0) * 2 ** 32;
  }

  #damaged(what: string): StoreError {
    return new StoreError('INDEX_DAMAGED', {
      message: `the layer index ${this.#path} is damaged: ${what} is wrong`,
      hint: 'remove the file: it is made again from the layer',
    });
  }
}

function isOverlayNote(name: string): boolean {
  return name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.');
}
