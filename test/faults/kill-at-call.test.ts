// kill -9 right before and right after each call by which a command changes the store: the tag is the old one or the new
// one, everything is whole, and the next commands remove what was left.
import assert from 'node:assert';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { collectGarbage, openStore } from '#store';
import { loadEngine, Sql } from '../../store/content/sql.js';
import { checkStore, leftovers } from './check-store.js';
import { type CallKind, type Fault, runWithFault } from './fail-call.js';
import { type Lab, makeLab, type Operation, operationNames } from './operations.js';
import { amount, newSeed, Random } from './random.js';

const kinds: readonly CallKind[] = ['open', 'write', 'sync', 'name', 'remove'];
/** So many calls of each command; by night each of them, before it and after it. */
const callsEach = amount(9, Number.POSITIVE_INFINITY);
const seed = newSeed();

let lab: Lab;
beforeAll(() => {
  lab = makeLab();
});
afterAll(() => lab.remove());

describe(`seed ${seed}`, () => {
  for (const name of operationNames) {
    test(`${name}, killed at its calls`, { timeout: 3_600_000 }, async () => {
      const operation = lab.operation(name);
      const { calls, before, after } = await whenLeftAlone(operation);
      const random = new Random(seed);
      const moments = Array.from({ length: calls }, (_, i) => i + 1).flatMap((at): Fault[] => [
        { kinds, at, with: 'kill' },
        { kinds, at, with: 'killed' },
      ]);
      for (const moment of random.shuffled(moments).slice(0, callsEach)) {
        const allowed = [before, after];
        await inStore(async (dir) => {
          const { signal, hit, stderr } = await runWithFault(dir, operation.args, moment);
          if (hit.length === 0) return; // the number of calls is not always the same
          try {
            assert.equal(signal, 'SIGKILL', stderr);
            await assertWhole(dir, operation, allowed);
          } catch (cause) {
            throw new Error(`${moment.with} at call ${moment.at} of ${calls}, ${hit[0]}: ${String(cause)}`, { cause });
          }
        });
      }
    });
  }
});

test('a store of an earlier version, killed while it is brought up to date', { timeout: 3_600_000 }, async () => {
  const old = lab.store();
  await downgrade(old);
  const random = new Random(seed);
  const inCopy = async <T>(use: (dir: string) => Promise<T>): Promise<T> => {
    const dir = `${old}.copy`;
    execFileSync('cp', ['-a', old, dir]);
    return use(dir).finally(() => rmSync(dir, { recursive: true, force: true, maxRetries: 10 }));
  };
  const calls = await inCopy(async (dir) => (await runWithFault(dir, ['images'], { kinds, at: 0, with: 'note' })).hit);
  assert(calls.length > 0);
  for (const at of random.shuffled(calls.map((_, i) => i + 1)).slice(0, callsEach)) {
    await inCopy(async (dir) => {
      const { hit } = await runWithFault(dir, ['images'], {
        kinds,
        at,
        with: random.pick(['kill', 'killed'] as const),
      });
      const { stdout, stderr } = await runWithFault(dir, ['images']);
      for (const tag of ['kept', 'moved']) assert.match(stdout, new RegExp(`^${tag} +1 `, 'm'), `${hit[0]}: ${stderr}`);
      const checked = await runWithFault(dir, ['fsck', '--read-data']);
      assert.equal(checked.code, 0, `${hit[0]}: ${checked.stdout}`);
    });
  }
});

/** Gives a store the database of version 2. */
async function downgrade(dir: string): Promise<void> {
  const path = join(dir, 'meta.db');
  const engine = await loadEngine();
  const fixture = join(import.meta.dirname, '../store/fixtures/schema-2.sql');
  const columns = {
    layers: 'diff_id, size, index_size, created_ms, boot, flushed',
    blobs: 'digest, size, created_ms, boot, flushed',
    images: 'digest, config_digest, layers, created_ms',
    tags: 'reference, digest, good_digest, updated_ms, boot, flushed',
  };
  const now = new Sql(engine, path);
  const rows = Object.entries(columns).map(([table, names]) => ({
    table,
    values: now.all(`SELECT ${names} FROM ${table}`).map((row) => Object.values(row)),
  }));
  now.close();
  for (const name of readdirSync(dir)) if (name.startsWith('meta.db')) rmSync(join(dir, name));
  const old = new Sql(engine, path);
  old.exec('PRAGMA journal_mode = WAL');
  old.exec(readFileSync(fixture, 'utf8'));
  for (const { table, values } of rows) {
    for (const row of values) old.run(`INSERT INTO ${table} VALUES (${row.map(() => '?').join(', ')})`, ...row);
  }
  old.close();
}

/** The calls that the command makes, and what its tag was and is. */
async function whenLeftAlone({ args, moves }: Operation) {
  return inStore(async (dir) => {
    const tags = async (): Promise<string | undefined> => (await look(dir)).get(`docker.io/library/${moves}`);
    const before = await tags();
    const { hit, code, stderr } = await runWithFault(dir, args, { kinds, at: 0, with: 'note' });
    assert.equal(code, 0, stderr);
    return { calls: hit.length, before, after: await tags() };
  });
}

async function assertWhole(dir: string, { args, moves }: Operation, allowed: readonly unknown[]): Promise<void> {
  const tags = await look(dir, true);
  const found = tags.get(`docker.io/library/${moves}`);
  assert(allowed.includes(found), `${moves} is ${found}, not ${allowed.join(' or ')}`);
  assert(tags.has('docker.io/library/kept:1'), 'kept:1 is lost');
  assert.deepEqual(await leftovers(dir), []);
  const again = await runWithFault(dir, args);
  assert(again.code === 0 || (args[0] === 'rmi' && found === undefined), `the next run: ${again.stderr}`);
  const checked = await runWithFault(dir, ['fsck', '--read-data']);
  assert.equal(checked.code, 0, checked.stdout + checked.stderr);
}

async function look(dir: string, collects = false): Promise<Map<string, string>> {
  const store = await openStore(dir);
  if (collects) await collectGarbage(store);
  const tags = await checkStore(store);
  store.database.close();
  return tags;
}

async function inStore<T>(use: (dir: string) => Promise<T>): Promise<T> {
  const dir = lab.store();
  try {
    return await use(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 10 });
  }
}
