// Digests of files that were read before, so that an unchanged file is never read again: git's index, without git.
//
// The file:  magic (8 bytes) | SHA-256 of all that follows (32) | count u32 | path bytes u32
//            | count × 7 doubles (dev ino size mtimeSec mtimeNsec ctimeSec ctimeNsec) | count × 32 bytes of digest
//            | count × u16 path length | the paths, one after the other
// Little-endian, written to a temporary name and renamed. A file that doesn't verify, for whatever reason, is an empty
// cache. An entry is trusted only if the file's change time lies clearly before the moment it was looked at: a file
// written in the same tick of the clock in which it was read can change again without its times changing ("racily clean").
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { FileStat, RawPath } from '#native';

export interface StatCache {
  /** SHA-256 (hex) of the file's content, null unless it is known to be that of this very state of the file. */
  find(file: FileStat): string | null;
  /** `seenMs`: when the file was looked at, which must be before it was read. */
  learn(file: FileStat, digest: string, seenMs: number): void;
  /** Drops entries of files that are gone. */
  retain(isThere: (path: RawPath) => boolean): void;
  /** Writes the file if something changed. Failing to is no error: it is a cache. */
  save(): void;
}

interface Entry {
  readonly stat: readonly number[];
  readonly digest: string;
}

const magic = Buffer.from('tsbstat1');
const headerBytes = magic.length + 32 + 8;
const fields = 7;

/** @param path null: nothing is kept beyond this process */
export function openStatCache(path: string | null): StatCache {
  const entries = path === null ? new Map<RawPath, Entry>() : load(path);
  let changed = false;
  return {
    find(file) {
      const entry = entries.get(file.path);
      return entry && sameState(entry.stat, file) ? entry.digest : null;
    },
    learn(file, digest, seenMs) {
      if (isRacy(file, seenMs)) return;
      const known = entries.get(file.path);
      if (known?.digest === digest && sameState(known.stat, file)) return;
      entries.set(file.path, { stat: stateOf(file), digest });
      changed = true;
    },
    retain(isThere) {
      for (const known of entries.keys()) {
        if (!isThere(known) && entries.delete(known)) changed = true;
      }
    },
    save() {
      if (path === null || !changed) return;
      store(path, entries);
      changed = false;
    },
  };
}

function stateOf(file: FileStat): number[] {
  return [file.dev, file.ino, file.size, file.mtimeSec, file.mtimeNsec, file.ctimeSec, file.ctimeNsec];
}

function sameState(stat: readonly number[], file: FileStat): boolean {
  return (
    stat[1] === file.ino &&
    stat[6] === file.ctimeNsec &&
    stat[5] === file.ctimeSec &&
    stat[4] === file.mtimeNsec &&
    stat[3] === file.mtimeSec &&
    stat[2] === file.size &&
    stat[0] === file.dev
  );
}

/** File times advance with the kernel's tick (up to 10 ms), and by whole seconds where nanoseconds are all zero. */
function isRacy(file: FileStat, seenMs: number): boolean {
  const changedMs = file.ctimeSec * 1000 + file.ctimeNsec / 1e6;
  return changedMs > seenMs - (file.ctimeNsec === 0 ? 2000 : 20);
}

function load(path: string): Map<RawPath, Entry> {
  const entries = new Map<RawPath, Entry>();
  const bytes = readIfThere(path);
  if (bytes === null || bytes.length < headerBytes || !bytes.subarray(0, magic.length).equals(magic)) return entries;
  const body = bytes.subarray(magic.length + 32);
  if (
    !createHash('sha256')
      .update(body)
      .digest()
      .equals(bytes.subarray(magic.length, magic.length + 32))
  ) {
    return entries;
  }
  const count = body.readUInt32LE(0);
  const digests = 8 + count * fields * 8;
  const lengths = digests + count * 32;
  const paths = body.subarray(lengths + count * 2).toString('latin1');
  const hex = body.subarray(digests, lengths).toString('hex');
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  for (let i = 0, at = 0; i < count; i++) {
    const end = at + view.getUint16(lengths + i * 2, true);
    const stat = new Array<number>(fields);
    for (let f = 0; f < fields; f++) stat[f] = view.getFloat64(8 + (i * fields + f) * 8, true);
    entries.set(paths.slice(at, end) as RawPath, { stat, digest: hex.slice(i * 64, i * 64 + 64) });
    at = end;
  }
  return entries;
}

function store(path: string, all: ReadonlyMap<RawPath, Entry>): void {
  const entries = [...all].filter(([name]) => name.length <= 0xffff);
  const count = entries.length;
  const paths = Buffer.from(entries.map(([name]) => name).join(''), 'latin1');
  const digests = 8 + count * fields * 8;
  const lengths = digests + count * 32;
  const body = Buffer.alloc(lengths + count * 2 + paths.length);
  body.writeUInt32LE(count, 0);
  body.writeUInt32LE(paths.length, 4);
  entries.forEach(([name, entry], i) => {
    entry.stat.forEach((value, f) => {
      body.writeDoubleLE(value, 8 + (i * fields + f) * 8);
    });
    body.write(entry.digest, digests + i * 32, 'hex');
    body.writeUInt16LE(name.length, lengths + i * 2);
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
