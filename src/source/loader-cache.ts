// /etc/ld.so.cache: which libraries ldconfig knows. Format: glibc, sysdeps/generic/dl-cache.h.
//
//   [old cache, magic "ld.so-1.7.0"]  possibly before the new one, which then begins at the next multiple of 8 bytes
//   "glibc-ld.so.cache1.1"  u32 entries, u32 string bytes, u8 flags, 3 bytes, u32 extensions, 12 bytes
//   entries of 24 bytes:    i32 flags, u32 name, u32 path (offsets from the magic), u32 osversion, u64 hwcap
import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';

/** Paths by soname, in the loader's order. Builds for particular processors (hwcap) are left out: an image moves. */
export function readLoaderCache(path = '/etc/ld.so.cache'): ReadonlyMap<string, readonly string[]> {
  let file: Buffer;
  try {
    file = readFileSync(path);
  } catch {
    return new Map(); // musl has none
  }
  return parseLoaderCache(file);
}

export function parseLoaderCache(file: Buffer): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  const start = file.indexOf(magic);
  if (start < 0 || file.length < start + headerSize) return found;
  const little = endianness() === 'LE';
  const u32 = (at: number): number => (little ? file.readUInt32LE(at) : file.readUInt32BE(at));
  const text = (at: number): string =>
    file.toString('latin1', start + at, Math.max(start + at, file.indexOf(0, start + at)));
  const count = u32(start + magic.length);
  for (let i = 0; i < count; i++) {
    const at = start + headerSize + i * entrySize;
    if (at + entrySize > file.length) break;
    if (u32(at + 16) !== 0 || u32(at + 20) !== 0) continue;
    const [name, path] = [text(u32(at + 4)), text(u32(at + 8))];
    const known = found.get(name);
    if (known) known.push(path);
    else found.set(name, [path]);
  }
  return found;
}

const magic = 'glibc-ld.so.cache1.1';
const headerSize = 48;
const entrySize = 24;
