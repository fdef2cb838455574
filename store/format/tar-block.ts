// The 512-byte header block: field positions, its numbers and its checksum (POSIX.1-2017 pax, "ustar Interchange Format";
// GNU tar manual, "Basic Tar Format").

export const blockSize = 512;

/** [start, end) of each field. */
export const fields = {
  name: [0, 100],
  mode: [100, 108],
  uid: [108, 116],
  gid: [116, 124],
  size: [124, 136],
  mtime: [136, 148],
  checksum: [148, 156],
  typeflag: [156, 157],
  linkName: [157, 257],
  magic: [257, 265],
  devMajor: [329, 337],
  devMinor: [337, 345],
  prefix: [345, 500],
} as const;

/** Bytes that content of `size` bytes takes in a tar. */
export function paddedSize(size: number): number {
  return Math.ceil(size / blockSize) * blockSize;
}

/** Sum of the block's bytes, the checksum field counted as spaces. `at` must be a multiple of 4 in the underlying memory. */
export function checksumOf(words: Uint32Array, at: number): number {
  const first = at >>> 2;
  let pairs = 0; // two 16-bit sums: 256 additions of at most 255 fit each
  for (let i = first; i < first + 128; i++) {
    const word = words[i]!;
    pairs = (pairs + (word & 0x00ff00ff) + ((word >>> 8) & 0x00ff00ff)) | 0;
  }
  const sum = (pairs & 0xffff) + (pairs >>> 16);
  // The checksum field is words 37 and 38.
  return sum - byteSum(words[first + 37]!) - byteSum(words[first + 38]!) + 8 * 0x20;
}

function byteSum(word: number): number {
  return (word & 0xff) + ((word >>> 8) & 0xff) + ((word >>> 16) & 0xff) + (word >>> 24);
}

/** The same with bytes as signed numbers: historic tars of some systems. */
export function signedChecksumOf(block: Buffer, at: number): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < blockSize; i++) if (i < 148 || i >= 156) sum += block.readInt8(at + i);
  return sum;
}

/** A number field: octal digits, or base-256 with the high bit set; NaN if it is neither, or too large to be exact. */
export function readNumber(block: Buffer, start: number, end: number): number {
  const first = block[start]!;
  if (first & 0x80) return readBase256(block, start, end);
  let i = start;
  let stop = end;
  while (i < stop && (block[i] === 0x20 || block[i] === 0)) i++;
  while (stop > i && (block[stop - 1] === 0x20 || block[stop - 1] === 0)) stop--;
  let value = 0;
  for (; i < stop; i++) {
    const byte = block[i]!;
    if (byte === 0) break; // writers that reuse a buffer leave old digits behind the terminator
    const digit = byte - 0x30;
    if (digit < 0 || digit > 7) return Number.NaN;
    value = value * 8 + digit;
  }
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

/** Two's complement, big-endian; the top bit of the first byte is only the mark, the next one is the sign. */
function readBase256(block: Buffer, start: number, end: number): number {
  const negative = (block[start]! & 0x40) !== 0;
  let value = negative ? (block[start]! & 0x7f) - 0x80 : block[start]! & 0x7f;
  for (let i = start + 1; i < end; i++) {
    value = value * 256 + block[i]!;
    if (!Number.isSafeInteger(value)) return Number.NaN;
  }
  return value;
}

/** Text up to the first NUL, one character a byte. */
export function readText(block: Buffer, start: number, end: number): string {
  let stop = start;
  while (stop < end && block[stop] !== 0) stop++;
  return block.toString('latin1', start, stop);
}
