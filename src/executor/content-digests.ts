// Digests of what lies in the tars of layers, so that `COPY --from` of an unchanged stage reads nothing. Layers never
// change, hence neither does what is kept about them: a file for each tar, of records (offset as a double, SHA-256),
// after a magic and a SHA-256 of all records. A file that doesn't verify counts as absent.
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContentRef } from '#native';

export interface ContentDigests {
  /** SHA-256 (hex) of the content, null if nobody has read it. */
  find(content: ContentRef): string | null;
  learn(content: ContentRef, digest: string): void;
  /** Writes what is new. Failing to is no error: it is a cache. */
  save(): void;
}

const magic = Buffer.from('tsbcont1');
const recordBytes = 40;
/** Beyond this the longest unused files go. */
const maxFiles = 256;

/** @param dir null: nothing is kept beyond this process */
export function openContentDigests(dir: string | null): ContentDigests {
  const tars = new Map<string, { digests: Map<number, string>; changed: boolean }>();
  const open = (tar: string) => {
    const known = tars.get(tar);
    if (known) return known;
    const loaded = { digests: dir === null ? new Map() : load(join(dir, fileName(tar))), changed: false };
    tars.set(tar, loaded);
    return loaded;
  };
  return {
    find(content) {
      return 'bytes' in content ? null : (open(`${content.root}/${content.path}`).digests.get(content.offset) ?? null);
    },
    learn(content, digest) {
      if ('bytes' in content) return;
      const tar = open(`${content.root}/${content.path}`);
      if (tar.digests.get(content.offset) === digest) return;
      tar.digests.set(content.offset, digest);
      tar.changed = true;
    },
    save() {
      if (dir === null) return;
      let written = false;
      for (const [tar, known] of tars) {
        if (!known.changed) continue;
        written = replaceFile(dir, fileName(tar), encode(known.digests)) || written;
        known.changed = false;
      }
      if (written) dropOldest(dir);
    },
  };
}

function fileName(tar: string): string {
  return createHash('sha256').update(tar).digest('hex').slice(0, 32);
}

function load(path: string): Map<number, string> {
  const digests = new Map<number, string>();
  const bytes = readIfThere(path);
  const start = magic.length + 32;
  if (bytes === null || bytes.length < start || !bytes.subarray(0, magic.length).equals(magic)) return digests;
  const records = bytes.subarray(start);
  if (!createHash('sha256').update(records).digest().equals(bytes.subarray(magic.length, start))) return digests;
  for (let at = 0; at + recordBytes <= records.length; at += recordBytes) {
    digests.set(records.readDoubleLE(at), records.toString('hex', at + 8, at + recordBytes));
  }
  return digests;
}

function encode(digests: ReadonlyMap<number, string>): Buffer {
  const records = Buffer.alloc(digests.size * recordBytes);
  let at = 0;
  for (const [offset, digest] of digests) {
    records.writeDoubleLE(offset, at);
    records.write(digest, at + 8, 'hex');
    at += recordBytes;
  }
  return Buffer.concat([magic, createHash('sha256').update(records).digest(), records]);
}

function replaceFile(dir: string, name: string, bytes: Buffer): boolean {
  const temp = join(dir, `${name}.${randomBytes(6).toString('hex')}`);
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    writeFileSync(temp, bytes, { mode: 0o600, flag: 'wx' });
    renameSync(temp, join(dir, name));
    return true;
  } catch {
    rmSync(temp, { force: true });
    return false;
  }
}

function dropOldest(dir: string): void {
  const names = readdirSync(dir);
  if (names.length <= maxFiles) return;
  const age = (name: string): number => statSync(join(dir, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const byAge = names.map((name) => ({ name, age: age(name) })).sort((a, b) => a.age - b.age);
  for (const { name } of byAge.slice(0, names.length - maxFiles / 2)) rmSync(join(dir, name), { force: true });
}

function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}
