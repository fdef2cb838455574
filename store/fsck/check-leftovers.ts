// What processes that are gone left behind, and what is no part of a store.
import { lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode } from '../content/faults.js';
import { leaseAlive, sweepLeases } from '../content/lease.js';
import * as paths from '../content/paths.js';
import { emptyTrash } from '../content/trash.js';
import type { Checking } from './checking.js';
import { type Problem, repaired } from './finding.js';

const known = new Set([
  'format.json',
  'lock',
  'meta.db',
  'meta.db-wal',
  'meta.db-shm',
  'layers',
  'trees',
  'blobs',
  'tags',
  'tmp',
  'trash',
  'flush',
  'cache',
  'reserve',
  'quarantine',
  'uploads',
]);
const hexName = /^[0-9a-f]{64}$/;

export async function checkLeftovers(check: Checking): Promise<void> {
  await checkLeases(check);
  checkTrash(check);
  checkFlushLists(check);
  checkStrays(check);
}

/** A lease is alive while its file is locked; its rows mean nothing otherwise. */
async function checkLeases(check: Checking): Promise<void> {
  const { dir, database } = check.store;
  const names = new Set(namesIn(paths.tmpDir(dir)).map((name) => name.replace(/\.lock$/, '')));
  for (const { id } of database.leases.all()) names.add(id);
  for (const name of names) {
    if (await leaseAlive(dir, name)) continue;
    const row = database.leases.all().find(({ id }) => id === name);
    const hasFiles = [paths.leaseDir(dir, name), paths.leaseLock(dir, name)].some(isThere);
    // Born and released between two looks.
    if (row === undefined && !hasFiles) continue;
    check.add({
      severity: 'leftover',
      code: 'UNFINISHED',
      kind: 'lease',
      object: name,
      path: `tmp/${name}`,
      message:
        row === undefined ? 'of a process that is gone' : `of process ${row.pid} (${row.purpose}), which is gone`,
      neededBy: [],
      remedy: 'the next command removes its files, the next gc its row',
      repair: async () => {
        if (await leaseAlive(dir, name)) return repaired('in use again');
        await sweepLeases(dir);
        database.transaction(() => database.leases.delete(name));
        return repaired('removed');
      },
    });
  }
}

function checkTrash(check: Checking): void {
  const { dir } = check.store;
  const oldest = Date.now() - 60_000;
  const names = namesIn(paths.trashDir(dir)).filter((name) => {
    const stat = lstatSync(join(paths.trashDir(dir), name), { throwIfNoEntry: false });
    return stat !== undefined && stat.ctimeMs < oldest;
  });
  if (names.length === 0) return;
  check.add({
    severity: 'leftover',
    code: 'UNFINISHED',
    kind: 'trash',
    object: names.length === 1 ? names[0]! : `${names.length} entries`,
    path: 'trash',
    message: 'thrown away, and not removed yet',
    neededBy: [],
    remedy: 'the next command removes it',
    repair: async () => {
      await emptyTrash(dir, (await check.host()) ?? undefined);
      return repaired('being removed');
    },
  });
}

/** A list that can't be read says nothing: what it named is verified after a reboot. */
function checkFlushLists(check: Checking): void {
  const { dir } = check.store;
  for (const name of namesIn(paths.flushDir(dir))) {
    const path = join(paths.flushDir(dir), name);
    if (isJson(path)) continue;
    if (!isThere(path)) continue;
    check.add({
      severity: 'leftover',
      code: 'DAMAGED',
      kind: 'flush list',
      object: name,
      path: `flush/${name}`,
      message: 'it can not be read',
      neededBy: [],
      remedy: "'tsbuild fsck --repair' removes it: what it named is verified after a reboot",
      repair: () => {
        rmSync(path, { force: true });
        return repaired('removed');
      },
    });
  }
}

/** Nothing of ours: it is told of and left alone. */
function checkStrays(check: Checking): void {
  const { dir } = check.store;
  const { names } = check.snapshot;
  const strays = [
    ...namesIn(dir).filter((name) => !known.has(name) && !name.startsWith('meta.db.')),
    ...names.layers.filter((name) => !hexName.test(name)).map((name) => `layers/sha256/${name}`),
    ...names.blobs.filter((name) => !hexName.test(name)).map((name) => `blobs/sha256/${name}`),
    ...names.trees.filter((name) => !hexName.test(name)).map((name) => `trees/${name}`),
  ];
  for (const path of strays) {
    const stray: Problem = {
      severity: 'leftover',
      code: 'STRAY',
      kind: 'file',
      object: path,
      path,
      message: 'no part of a store',
      neededBy: [],
      remedy: 'look what it is, and move it away',
    };
    check.add(stray);
  }
}

function isJson(path: string): boolean {
  try {
    JSON.parse(readFileSync(path, 'utf8'));
    return true;
  } catch {
    return false;
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir).sort();
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []; // told by the check of directories
    throw error;
  }
}
