// walk: requests and replies, in the format of native/batch/walk.c.
import { openReply, RequestWriter } from './packed.js';
import type { RawPath } from './raw-path.js';
import type { FileStat, FileType, WalkOptions, Xattr } from './types.js';

const RECORD_HEAD = 88;
const NO_XATTRS: readonly Xattr[] = Object.freeze([]);
/** By the type nibble of st_mode. */
const TYPES: readonly (FileType | undefined)[] = [
  undefined,
  'fifo',
  'char',
  undefined,
  'dir',
  undefined,
  'block',
  undefined,
  'file',
  undefined,
  'symlink',
  undefined,
  'socket',
];

export function encodeWalk(dir: string, options: WalkOptions): Buffer {
  const out = new RequestWriter(options.xattrs ? 1 : 0);
  out.string(dir);
  out.rawString(options.called ?? '');
  return out.finish();
}

/** @param dir the walked directory, for messages. @throws SystemError WALK_FAILED, FILE_CHANGED */
export function decodeWalk(reply: Buffer, dir?: string): FileStat[] {
  const bytes = openReply(reply, dir);
  // Every record is a multiple of 8 bytes, so that these two see all of its numbers.
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  const numbers = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length >> 3);
  const stats = new Array<FileStat>(words[0]!);
  let at = 8;
  for (let i = 0; i < stats.length; i++) {
    const word = at >> 2;
    const number = (at + 48) >> 3;
    const mode = words[word + 3]!;
    const pathEnd = at + RECORD_HEAD + words[word]!;
    const linkEnd = pathEnd + words[word + 1]!;
    const xattrs = words[word + 2]!;
    stats[i] = {
      path: bytes.toString('latin1', at + RECORD_HEAD, pathEnd) as RawPath,
      type: TYPES[mode >> 12]!,
      mode: mode & 0o7777,
      uid: words[word + 4]!,
      gid: words[word + 5]!,
      size: small(numbers[number]!),
      mtimeSec: small(numbers[number + 1]!),
      mtimeNsec: words[word + 9]!,
      ctimeSec: small(numbers[number + 2]!),
      ctimeNsec: words[word + 10]!,
      dev: small(numbers[number + 3]!),
      ino: small(numbers[number + 4]!),
      nlink: words[word + 6]!,
      rdevMajor: words[word + 7]!,
      rdevMinor: words[word + 8]!,
      linkTarget: (linkEnd > pathEnd ? bytes.toString('latin1', pathEnd, linkEnd) : '') as RawPath,
      xattrs: xattrs === 0 ? NO_XATTRS : decodeXattrs(bytes, linkEnd, xattrs),
    };
    at += words[word + 11]!;
  }
  return stats;
}

/** The same number, without a box of its own where it fits an integer: there are five of them for each file. */
function small(number: number): number {
  const integer = number | 0;
  return integer === number ? integer : number;
}

/** In byte order of their names: the kernel lists them as the filesystem happens to hold them. */
function decodeXattrs(bytes: Buffer, start: number, count: number): Xattr[] {
  const xattrs: Xattr[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    const valueStart = at + 8 + bytes.readUInt32LE(at);
    const valueEnd = valueStart + bytes.readUInt32LE(at + 4);
    // A copy: a view would keep the whole reply in memory as long as the attribute.
    const value = Buffer.from(bytes.subarray(valueStart, valueEnd));
    xattrs.push({ name: bytes.toString('latin1', at + 8, valueStart), value });
    at = valueEnd;
  }
  return xattrs.sort((a, b) => (a.name < b.name ? -1 : 1));
}
