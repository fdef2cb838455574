// Digests of files that were read before, so that an unchanged file is never read again: git's index, without git.
//
// The file:  magic (8 bytes) | SHA-256 of all that follows (32) | count u32 | path bytes u32
//            | count × 7 doubles (dev ino size mtimeSec mtimeNsec ctimeSec ctimeNsec) | count × 32 bytes of digest
//            | count × u16 path length | the paths, one after the other
// Little-endian, written to a temporary name and renamed. A file that doesn't verify, for whatever reason, is an empty
// cache. An entry is trusted only if the file's change time lies clearly before the moment it was looked at: a file
// written in the same tick of the clock in which it was read can change again without its times changing ("racily clean").
// Paths are in byte order, as a walk meets them: the next file asked about is mostly the next one here, and an unchanged
// context makes no object for any of its files.
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { FileStat, RawPath } from '#native';

export interface StatCache {
  /** SHA-256 (hex) of the file's content, null unless it is known to be that of this very state of the file. */
  find(file: FileStat): string | null;
  /** `seenMs`: when the file was looked at, which must be before it was read. */
  learn(file: FileStat, digest: string, seenMs: number): void;
  /** Drops entries of files that are gone, when the file is written next. */
  retain(isThere: (path: RawPath) => boolean): void;
  /** Writes the file if something changed. Failing to is no error: it is a cache. */
  save(): void;
}

interface Entry {
  readonly path: RawPath;
  readonly stat: readonly number[];
  readonly digest: string;
}

const magic = Buffer.from('tsbstat2');
const headerBytes = magic.length + 32 + 8;
const fields = 7;
const nothing = new Uint8Array(8);

/** @param path null: nothing is kept beyond this process */
export function openStatCache(path: string | null): StatCache {
  const rows = openRows((path === null ? null : load(path)) ?? nothing);
  const learned = new Map<RawPath, Entry>();
  const filters: ((path: RawPath) => boolean)[] = [];
  const find = (file: FileStat): string | null => {
    const entry = learned.size === 0 ? undefined : learned.get(file.path);
    if (entry) return sameState(entry.stat, 0, file) ? entry.digest : null;
    return rows.find(file);
  };
  return {
    find,
    learn(file, digest, seenMs) {
      if (isRacy(file, seenMs) || find(file) === digest) return;
      learned.set(file.path, { path: file.path, stat: stateOf(file), digest });
    },
    retain: (isThere) => void filters.push(isThere),
    save() {
      if (path === null || learned.size === 0) return;
      const kept = rows.entries().filter((row) => !learned.has(row.path) && filters.every((keeps) => keeps(row.path)));
      store(path, [...kept, ...learned.values()]);
    },
  };
}

function stateOf(file: FileStat): number[] {
  return [file.dev, file.ino, file.size, file.mtimeSec, file.mtimeNsec, file.ctimeSec, file.ctimeNsec];
}

function sameState(stat: ArrayLike<number>, at: number, file: FileStat): boolean {
  return (
    stat[at + 1] === file.ino &&
    stat[at + 6] === file.ctimeNsec &&
    stat[at + 5] === file.ctimeSec &&
    stat[at + 4] === file.mtimeNsec &&
    stat[at + 3] === file.mtimeSec &&
    stat[at + 2] === file.size &&
    stat[at] === file.dev
  );
}

/** File times advance with the kernel's tick (up to 10 ms), and by whole seconds where nanoseconds are all zero. */
function isRacy(file: FileStat, seenMs: number): boolean {
  const changedMs = file.ctimeSec * 1000 + file.ctimeNsec / 1e6;
  return changedMs > seenMs - (file.ctimeNsec === 0 ? 2000 : 20);
}

interface Rows {
  find(file: FileStat): string | null;
  entries(): Entry[];
}

/** The verified body of a cache file, looked up in where it lies. */
function openRows(body: Uint8Array): Rows {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const count = view.getUint32(0, true);
  const digestsAt = 8 + count * fields * 8;
  const lengthsAt = digestsAt + count * 32;
  const stats = new Float64Array(body.buffer.slice(body.byteOffset + 8, body.byteOffset + digestsAt));
  const text = (from: number, to: number | undefined, encoding: 'hex' | 'latin1'): string =>
    Buffer.from(body.buffer, body.byteOffset, body.length).toString(encoding, from, to);
  const hex = text(digestsAt, lengthsAt, 'hex');
  const paths = text(lengthsAt + count * 2, undefined, 'latin1');
  const starts = new Uint32Array(count + 1);
  for (let i = 0; i < count; i++) starts[i + 1] = starts[i]! + view.getUint16(lengthsAt + i * 2, true);

  const pathOf = (row: number): RawPath => paths.slice(starts[row], starts[row + 1]) as RawPath;
  const search = (path: string): number => {
    let low = 0;
    for (let high = count; low < high; ) {
      const middle = (low + high) >>> 1;
      if (pathOf(middle) < path) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const digestOf = (row: number): string => hex.slice(row * 64, row * 64 + 64);
  let next = 0;
  return {
    find(file) {
      // A file in the same state is the same file, so that names need comparing only where the order is left.
      const row = next < count && sameState(stats, next * fields, file) ? next : search(file.path);
      next = row + 1;
      return row < count && sameState(stats, row * fields, file) ? digestOf(row) : null;
    },
    entries: () =>
      Array.from({ length: count }, (_, row) => ({
        path: pathOf(row),
        stat: [...stats.subarray(row * fields, (row + 1) * fields)],
        digest: digestOf(row),
      })),
  };
}

/** What follows the checksum; null where there is no cache, or none that verifies. */
function load(path: string): Uint8Array | null {
  const bytes = readIfThere(path);
  if (bytes === null || bytes.length < headerBytes || !bytes.subarray(0, magic.length).equals(magic)) return null;
  const body = bytes.subarray(magic.length + 32);
  const digest = createHash('sha256').update(body).digest();
  return digest.equals(bytes.subarray(magic.length, magic.length + 32)) ? body : null;
}

function store(path: string, all: readonly Entry[]): void {
  const entries = all.filter((entry) => entry.path.length <= 0xffff).sort((a, b) => (a.path < b.path ? -1 : 1));
  const count = entries.length;
  const paths = Buffer.from(entries.map((entry) => entry.path).join(''), 'latin1');
  const digests = 8 + count * fields * 8;
  const lengths = digests + count * 32;
  const body = Buffer.alloc(lengths + count * 2 + paths.length);
  body.writeUInt32LE(count, 0);
  body.writeUInt32LE(paths.length, 4);
  entries.forEach((entry, i) => {
    entry.stat.forEach((value, f) => {
      body.writeDoubleLE(value, 8 + (i * fields + f) * 8);
    });
    body.write(entry.digest, digests + i * 32, 'hex');
    body.writeUInt16LE(entry.path.length, lengths + i * 2);
  });
  paths.copy(body, lengths + count * 2);
  replaceFile(path, Buffer.concat([magic, createHash('sha256').update(body).digest(), body]));
}

function replaceFile(path: string, bytes: Buffer): void {
  const temp = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(temp, bytes, { mode: 0o600, flag: 'wx' });
    renameSync(temp, path);
  } catch {
    rmSync(temp, { force: true });
  }
}

function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}
