// Layers: their tar against its digest, their index against one made from the tar, the small files beside them.
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { hasCode } from '../content/faults.js';
import { indexOf, renewIndex, writeRecord } from '../content/layer.js';
import * as paths from '../content/paths.js';
import type { LayerRow } from '../content/schema.js';
import { type DiffId, parseDiffId } from '../words.js';
import type { Checking } from './checking.js';
import { type Problem, repaired } from './finding.js';
import { restoreLayer } from './restore.js';

const hexName = /^[0-9a-f]{64}$/;

export function checkLayers(check: Checking): void {
  const { snapshot, store } = check;
  const present = new Set<DiffId>();
  for (const name of snapshot.names.layers) {
    if (!hexName.test(name)) continue; // told as a stray
    const diffId = parseDiffId(`sha256:${name}`);
    present.add(diffId);
    const row = snapshot.layers.get(diffId);
    if (row === undefined) checkOrphan(check, diffId);
    else checkLayer(check, row);
  }
  for (const diffId of snapshot.layers.keys()) {
    if (!present.has(diffId) && store.database.layer(diffId) !== null) addLost(check, diffId);
  }
}

function checkLayer(check: Checking, row: LayerRow): void {
  const tar = paths.tarPath(check.store.dir, row.diffId);
  const size = sizeOf(tar);
  if (size === null) addLost(check, row.diffId);
  else if (size !== row.size) addDamagedTar(check, row, `its tar has ${size} bytes instead of ${row.size}`);
  else if (!check.readsData(row.diffId)) checkBeside(check, row);
  else {
    check.reads.push({
      path: tar,
      done: (digest, trouble) => {
        if (trouble !== null) addDamagedTar(check, row, trouble, 'UNREADABLE');
        else if (digest === 'gone') checkGone(check, row.diffId);
        else if (`sha256:${digest}` !== row.diffId) addDamagedTar(check, row, `its tar hashes to sha256:${digest}`);
        else checkBeside(check, row);
      },
    });
  }
}

/** What lies beside a tar that is as it should be. Of a layer that is collected meanwhile nothing is told. */
function checkBeside(check: Checking, row: LayerRow): void {
  const problems: Problem[] = [];
  const isGone = (): boolean => sizeOf(paths.tarPath(check.store.dir, row.diffId)) === null;
  try {
    checkDerived({ ...check, add: (problem) => void problems.push(problem) }, row);
  } catch (error) {
    if (!hasCode(error, 'ENOENT') || !isGone()) throw error;
  }
  if (isGone()) checkGone(check, row.diffId);
  else problems.forEach(check.add);
}

function checkDerived(check: Checking, row: LayerRow): void {
  const trouble = quickIndexTrouble(check.store.dir, row);
  if (trouble !== null) addDamagedIndex(check, row, trouble);
  else if (check.readsData(row.diffId)) compareIndex(check, row);
  checkRecords(check, row);
}

/** Collected since the snapshot was taken, as a rule. */
function checkGone(check: Checking, diffId: DiffId): void {
  if (check.store.database.layer(diffId) !== null) addLost(check, diffId);
}

function addDamagedTar(check: Checking, row: LayerRow, message: string, code: Problem['code'] = 'DAMAGED'): void {
  add(check, row.diffId, {
    severity: 'problem',
    code,
    path: 'tar',
    message,
    remedy: 'fetched again where a registry has it, else quarantined: pull or build its images again',
    repair: (tools) => restoreLayer(check, tools, row.diffId, message),
  });
}

function addLost(check: Checking, diffId: DiffId): void {
  const isNeeded = check.snapshot.neededBy(diffId).length > 0;
  add(check, diffId, {
    // Unneeded, it is what a killed collection leaves.
    severity: isNeeded ? 'problem' : 'leftover',
    code: 'MISSING',
    path: 'tar',
    message: 'its tar is missing',
    remedy: isNeeded ? 'fetched again where a registry has it: else pull or build its images again' : 'forgotten',
    repair: (tools) => restoreLayer(check, tools, diffId, 'its tar is missing'),
  });
}

/** As after a kill between rename and row, or beside a database of an earlier day. */
function checkOrphan(check: Checking, diffId: DiffId): void {
  add(check, diffId, {
    severity: 'leftover',
    code: 'ORPHANED',
    path: '',
    message: 'a layer that the database does not know',
    remedy: "'tsbuild fsck --repair' makes it known if it is whole; 'tsbuild gc' removes it",
    repair: (tools) => restoreLayer(check, tools, diffId, 'the database did not know it, and it is not whole'),
  });
}

function quickIndexTrouble(dir: string, row: LayerRow): string | null {
  const size = sizeOf(paths.indexPath(dir, row.diffId));
  if (size === row.indexSize) return null;
  if (size === null) return null; // dropped: it is made again when it is needed
  return row.indexSize === null
    ? 'there is an index that the database does not know'
    : `its index has ${size} bytes instead of ${row.indexSize}`;
}

/** Indexes are deterministic: the same tar gives the same bytes. */
function compareIndex(check: Checking, row: LayerRow): void {
  const { dir } = check.store;
  const expected = indexOf(paths.tarPath(dir, row.diffId), row.size);
  if (row.indexSize !== null && sizeOf(paths.indexPath(dir, row.diffId)) === null) return; // dropped
  const found = row.indexSize === null ? null : readOrTrouble(paths.indexPath(dir, row.diffId));
  if (typeof found === 'string') {
    addDamagedIndex(check, row, found);
    return;
  }
  if (expected === null ? found === null : found !== null && expected.equals(found)) return;
  addDamagedIndex(
    check,
    row,
    found === null ? 'it has no index, and could' : 'its index differs from one made from its tar',
  );
}

function readOrTrouble(path: string): Buffer | string {
  try {
    return readFileSync(path);
  } catch (error) {
    return (error as Error).message;
  }
}

function addDamagedIndex(check: Checking, row: LayerRow, message: string): void {
  add(check, row.diffId, {
    severity: 'problem',
    code: 'DAMAGED',
    kind: 'index',
    path: 'index.erofs',
    message,
    remedy: "'tsbuild fsck --repair' makes it again from the tar",
    repair: () => {
      renewIndex(check.store, row.diffId);
      return repaired('made again from the tar');
    },
  });
}

/** What is derived from the tar, or repeats the row. */
function checkRecords(check: Checking, row: LayerRow): void {
  const { dir } = check.store;
  const { diffId, size, indexSize } = row;
  if (!isDeepStrictEqual(readJson(paths.recordPath(dir, diffId)), { diffId, size, indexSize })) {
    add(check, diffId, {
      severity: 'problem',
      code: 'DAMAGED',
      kind: 'record',
      path: 'record.json',
      message: 'record.json does not say what the layer is',
      remedy: "'tsbuild fsck --repair' writes it again",
      repair: () => {
        writeRecord(dir, check.store.database.layer(diffId) ?? row);
        return repaired('written again');
      },
    });
  }
  checkMachines(check, row);
  for (const name of namesIn(paths.layerDir(dir, diffId))) {
    if (['tar', 'index.erofs', 'record.json', 'machines.json'].includes(name)) continue;
    const path = join(paths.layerDir(dir, diffId), name);
    if (Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) < 60_000) continue; // being written
    add(check, diffId, {
      severity: 'leftover',
      code: 'UNFINISHED',
      kind: 'file',
      path: name,
      message: `${name} is no part of a layer`,
      remedy: "'tsbuild fsck --repair' removes it",
      repair: () => {
        rmSync(path, { force: true });
        return repaired('removed');
      },
    });
  }
}

function checkMachines(check: Checking, { diffId, size, indexSize }: LayerRow): void {
  const { dir } = check.store;
  const path = join(paths.layerDir(dir, diffId), 'machines.json');
  if (sizeOf(path) === null) return; // made when it is needed
  const found = readJson(path);
  const layer = {
    diffId,
    size,
    tarPath: paths.tarPath(dir, diffId),
    indexPath: indexSize === null ? null : paths.indexPath(dir, diffId),
  };
  const isRight =
    check.machines !== null && check.readsData(diffId)
      ? isDeepStrictEqual(found, JSON.parse(JSON.stringify(check.machines(layer))))
      : found !== null;
  if (isRight) return;
  add(check, diffId, {
    severity: 'problem',
    code: 'DAMAGED',
    kind: 'record',
    path: 'machines.json',
    message: 'machines.json does not say what its programs are for',
    remedy: "'tsbuild fsck --repair' drops it: it is made again when it is needed",
    repair: () => {
      rmSync(path, { force: true });
      return repaired('dropped: it is made again when it is needed');
    },
  });
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null; // missing, unreadable and torn are one to a file that can be made again
  }
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}

function sizeOf(path: string): number | null {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() ? stat.size : null;
}

function add(
  { add: report, snapshot }: Checking,
  diffId: DiffId,
  problem: Omit<Problem, 'kind' | 'object' | 'neededBy'> & { readonly kind?: Problem['kind'] },
): void {
  const place = `layers/sha256/${diffId.slice('sha256:'.length)}`;
  report({
    kind: 'layer',
    ...problem,
    object: diffId,
    path: problem.path === '' ? place : `${place}/${problem.path}`,
    neededBy: snapshot.neededBy(diffId),
  });
}
