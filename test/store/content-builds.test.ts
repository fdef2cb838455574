import { existsSync, readdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import Libsql from 'libsql';
import { expect, test } from 'vitest';
import {
  type BuildRecord,
  collectGarbage,
  findBuilds,
  findStep,
  hasStep,
  lastBuilds,
  openStore,
  recordBuild,
  recordCache,
} from '#store';
import { openTemp, tempDir } from './content-samples.js';

let count = 0;
const key = (name: string): string => Buffer.from(name).toString('hex').padEnd(64, '0');

function build(place: string, keys: readonly string[], startedMs = Date.now()): BuildRecord {
  const id = (++count).toString(16).padStart(12, '0');
  const steps = [{ name: 'FROM scratch', key: null }, ...keys.map((name) => ({ name, key: key(name) }))];
  return { id, place, startedMs, durationMs: 5, outcome: 'done', image: null, record: { steps } };
}
const step = (name: string, files: string | null = null) => ({ key: key(name), record: { does: name }, files });

test('a build is found again with its steps, by place and by the start of its id', async () => {
  const { store } = await openTemp();
  const first = build('a', ['one']);
  const second = build('b', ['one', 'two']);
  recordBuild(store, first, [step('one', 'x\0y')]);
  recordBuild(store, second, [step('two')]);
  expect(lastBuilds(store, null, 10)).toEqual([second, first]);
  expect(lastBuilds(store, 'a', 10)).toEqual([first]);
  expect(findBuilds(store, second.id.slice(0, 12))).toEqual([second]);
  expect(findBuilds(store, "'*")).toEqual([]);
  expect(findStep(store, key('one'))).toEqual({ record: { does: 'one' }, files: 'x\0y' });
  expect(findStep(store, key('two'))?.files).toBeNull();
  expect(findStep(store, key('three'))).toBeNull();
});

test('a long list of files lies beside the database, and a torn one counts as none', async () => {
  const { store } = await openTemp();
  const files = 'name \xff\0'.repeat(5000);
  recordBuild(store, build('a', ['one']), [step('one', files)]);
  expect(findStep(store, key('one'))?.files).toBe(files);
  truncateSync(join(store.dir, 'cache/inputs', key('one')), 100);
  expect(findStep(store, key('one'))).toEqual({ record: { does: 'one' }, files: null });
});

test('of many builds of one place the newest are kept, and no step without a build', async () => {
  const { store } = await openTemp();
  recordBuild(store, build('other', ['kept']), [step('kept')]);
  for (let i = 0; i < 60; i++) {
    const name = `step${i}`;
    recordBuild(store, build('a', [name]), [step(name, 'f'.repeat(10_000))]);
  }
  const left = lastBuilds(store, 'a', 1000);
  expect(left.length).toBeGreaterThanOrEqual(20);
  expect(left.length).toBeLessThanOrEqual(30);
  expect(hasStep(store, key('step59'))).toBe(true);
  expect(hasStep(store, key('step0'))).toBe(false);
  expect(hasStep(store, key('kept'))).toBe(true);
  expect(readdirSync(join(store.dir, 'cache/inputs')).length).toBe(left.length);
});

test('places that are built once don’t pile up either', async () => {
  const { store } = await openTemp();
  for (let i = 0; i < 250; i++) recordBuild(store, build(`place${i}`, []), []);
  expect(lastBuilds(store, null, 1000).length).toBeLessThanOrEqual(210);
});

test('gc drops the history of long ago, and keeps what tells that a record was removed', async () => {
  const { store } = await openTemp();
  recordBuild(store, build('a', ['old'], Date.now() - 31 * 86_400_000), [step('old', 'f'.repeat(10_000))]);
  recordBuild(store, build('a', ['new']), [step('new')]);
  recordCache(store, key('new'), { diffId: null, inputs: null });
  const { cacheRecords } = await collectGarbage(store, { policies: [{}] });
  expect(cacheRecords).toBe(1);
  expect(lastBuilds(store, null, 10)).toHaveLength(1);
  expect(hasStep(store, key('old'))).toBe(false);
  expect(existsSync(join(store.dir, 'cache/inputs', key('old')))).toBe(false);
  expect(hasStep(store, key('new'))).toBe(true);
});

test('a store of version 1 gets the tables when it is opened', async () => {
  const dir = join(tempDir(), 'store');
  await (await openStore(dir)).close();
  const old = new Libsql(join(dir, 'meta.db'));
  const later = ['builds', 'steps', 'repository_manifests', 'repository_blobs'];
  old.exec(`${later.map((table) => `DROP TABLE ${table};`).join('')} PRAGMA user_version = 1`);
  old.close();
  const { store } = await openTemp(dir);
  const made = build('a', ['one']);
  recordBuild(store, made, [step('one')]);
  expect(lastBuilds(store, null, 1)).toEqual([made]);
});
