// The whole check: basics first, then everything that they lead to, then what must be read; repairs come last, in the order of
// the findings: bytes before what refers to them.
import { accessSync, constants } from 'node:fs';
import { resolve } from 'node:path';
import type { Host } from '#native';
import type { Database } from '../content/database.js';
import { hasCode, storeFault } from '../content/faults.js';
import { flushStore } from '../content/flush.js';
import { Store } from '../content/handle.js';
import { openLease } from '../content/lease.js';
import { migrateStore } from '../content/migrate.js';
import { listQuarantine, type Quarantined } from '../content/quarantine.js';
import { recoverUnflushed } from '../content/recover.js';
import { makeReserve } from '../content/reserve.js';
import { StoreError } from '../errors.js';
import type { Layer } from '../types.js';
import { probeBasics } from './basics.js';
import { checkBlobs, checkTags } from './check-blobs.js';
import { checkCaches } from './check-caches.js';
import { checkLayers } from './check-layers.js';
import { checkLeftovers } from './check-leftovers.js';
import { checkTrees } from './check-trees.js';
import type { Checking } from './checking.js';
import {
  type FetchAgain,
  type Finding,
  failed,
  type ObjectKind,
  type Outcome,
  type Problem,
  type RepairTools,
} from './finding.js';
import { type ReadProgress, readFiles } from './read-files.js';
import { type Snapshot, takeSnapshot } from './snapshot.js';

export interface CheckOptions {
  /** Mends what can be mended; what can't goes into quarantine. */
  readonly repair?: boolean | undefined;
  /** Reads whole objects: all, none, or those for whose digest it is true. Documents are read always. */
  readonly readData?: boolean | ((digest: string) => boolean) | undefined;
  /** Asks registries for what is lost; see `fetchFromRegistries`. */
  readonly fetch?: FetchAgain | undefined;
  /** Opens what reads the files of subordinate ids. */
  readonly host?: (() => Promise<Host>) | undefined;
  /** What machines.json of a layer should say. */
  readonly machines?: ((layer: Layer) => unknown) | undefined;
  readonly onProgress?: ((progress: ReadProgress) => void) | undefined;
}

export interface CheckReport {
  readonly dir: string;
  readonly findings: readonly Finding[];
  readonly checked: { readonly layers: number; readonly trees: number; readonly blobs: number; readonly tags: number };
  readonly quarantine: readonly Quarantined[];
  /** False if a problem remains. */
  readonly ok: boolean;
}

/**
 * Checks a store, beside any running builds. Without `repair` nothing is changed.
 *
 * @throws StoreError STORE_NOT_A_STORE, STORE_TOO_NEW, STORE_DENIED; with `repair` STORE_READ_ONLY, STORE_FULL
 */
export async function checkStore(dir: string, options: CheckOptions = {}): Promise<CheckReport> {
  const root = resolve(dir);
  try {
    return await checkAll(root, options);
  } catch (error) {
    throw storeFault(error, root);
  }
}

async function checkAll(dir: string, options: CheckOptions): Promise<CheckReport> {
  const writable = isWritable(dir);
  const repair = options.repair === true;
  if (repair && !writable) throw readOnly(dir);
  const basics = await probeBasics(dir, writable);
  const findings: Finding[] = [];
  for (const problem of basics.problems) findings.push(repair ? await mended(problem) : toFinding(problem, null));
  const database = repair && !basics.isOwn ? await reopen(dir) : basics.database;
  if (database === null) return reportOf(dir, findings, null);
  if (writable && (repair || basics.isOwn)) await migrateStore(dir, database);
  else database.migrate();
  // Whatever is called through it by mistake, a check writes nothing.
  const store = new Store({ dir, readOnly: !repair, database, options: {}, finish: async () => {} });
  const host = hostOnce(options.host);
  try {
    const { problems, snapshot } = await findProblems(store, options, host);
    if (repair) findings.push(...(await mendAll(store, problems, options)));
    else findings.push(...problems.map((problem) => toFinding(problem, null)));
    return reportOf(dir, findings, snapshot);
  } finally {
    await store.close();
  }
}

async function findProblems(
  store: Store,
  options: CheckOptions,
  host: Checking['host'],
): Promise<{ readonly problems: Problem[]; readonly snapshot: Snapshot }> {
  const snapshot = await takeSnapshot(store);
  const problems: Problem[] = [];
  const check: Checking = {
    store,
    snapshot,
    readsData: (digest) => snapshot.unflushed.has(digest) || isChosen(options.readData, digest),
    host,
    machines: options.machines ?? null,
    reads: [],
    add: (problem) => void problems.push(problem),
  };
  checkLayers(check);
  checkBlobs(check);
  checkTags(check);
  await checkCaches(check);
  await checkLeftovers(check);
  await readFiles(check.reads, options.onProgress ?? (() => {}));
  await checkTrees(check);
  problems.sort((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind));
  return { problems, snapshot };
}

/** Bytes come before what refers to them. */
const kinds: readonly ObjectKind[] = ['layer', 'index', 'record', 'blob', 'image', 'tag', 'tree'];

async function mendAll(store: Store, problems: readonly Problem[], { fetch }: CheckOptions): Promise<Finding[]> {
  const lease = await openLease(store, 'fsck');
  try {
    const findings: Finding[] = [];
    for (const problem of problems) findings.push(await mended(problem, { lease, fetch: fetch ?? null }));
    // What an earlier boot left unflushed was read, and is whole or out of the way.
    await recoverUnflushed(store);
    makeReserve(store.dir);
    return findings;
  } finally {
    await lease.release();
    await flushStore(store);
  }
}

async function mended(problem: Problem, tools?: RepairTools): Promise<Finding> {
  if (problem.repair === undefined) return toFinding(problem, null);
  try {
    return toFinding(problem, await problem.repair(tools!));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return toFinding(problem, failed(error.message));
  }
}

function toFinding({ repair: _repair, ...finding }: Problem, outcome: Outcome | null): Finding {
  return { ...finding, outcome };
}

/** Null where it could not be made anew, which is told by then. */
async function reopen(dir: string): Promise<Database | null> {
  const { database, isOwn } = await probeBasics(dir, true);
  return isOwn ? database : null;
}

function reportOf(dir: string, findings: readonly Finding[], snapshot: Snapshot | null): CheckReport {
  return {
    dir,
    findings,
    checked: {
      layers: snapshot?.layers.size ?? 0,
      trees: snapshot?.trees.size ?? 0,
      blobs: snapshot?.blobs.size ?? 0,
      tags: snapshot?.tags.length ?? 0,
    },
    quarantine: listQuarantine(dir),
    ok: findings.every(
      ({ severity, outcome }) => severity === 'leftover' || (outcome !== null && outcome.result !== 'failed'),
    ),
  };
}

function isChosen(readData: CheckOptions['readData'], digest: string): boolean {
  return typeof readData === 'function' ? readData(digest) : readData === true;
}

function hostOnce(open: CheckOptions['host']): Checking['host'] {
  let opening: Promise<Host> | undefined;
  return async () => {
    if (open === undefined) return null;
    opening ??= open();
    return opening;
  };
}

function isWritable(dir: string): boolean {
  try {
    accessSync(dir, constants.W_OK);
    return true;
  } catch (error) {
    if (hasCode(error, 'EROFS', 'EACCES')) return false;
    if (hasCode(error, 'ENOENT')) return true; // told by the check of format.json
    throw error;
  }
}

function readOnly(dir: string): StoreError {
  return new StoreError('STORE_READ_ONLY', {
    message: `store ${dir} can't be written to`,
    hint: 'check it without --repair, or make its filesystem writable first',
  });
}
