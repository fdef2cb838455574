// Stores of every version that there was, and programs of two versions on one store.
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkStore, collectGarbage, listTags, openLease, openStore, readImage, resolveTag, tagImage } from '#store';
import { schemaVersion } from '../../store/content/schema.js';
import { loadEngine, Sql } from '../../store/content/sql.js';
import { outcome, startWorker, workerProgram } from './content-samples.js';
import { makeSampleStore, type SampleStore } from './fsck-samples.js';

const fixtures = join(import.meta.dirname, 'fixtures');
const versions = readdirSync(fixtures).flatMap((name) => /^schema-(\d+)\.sql$/.exec(name)?.[1] ?? []);

/** A store whose files are those of a sample, and whose database is one of that version. */
async function storeOfVersion(version: string): Promise<SampleStore> {
  const sample = await makeSampleStore();
  const { dir, layers, manifest, config } = sample;
  for (const name of readdirSync(dir)) if (name.startsWith('meta.db')) rmSync(join(dir, name));
  const sql = new Sql(await loadEngine(), join(dir, 'meta.db'));
  sql.exec('PRAGMA journal_mode = WAL');
  sql.exec(readFileSync(join(fixtures, `schema-${version}.sql`), 'utf8'));
  const sizeOf = (path: string): number => readFileSync(join(dir, path)).length;
  for (const diffId of layers) {
    const place = `layers/sha256/${diffId.slice(7)}`;
    const sizes = [sizeOf(`${place}/tar`), sizeOf(`${place}/index.erofs`)];
    sql.run('INSERT INTO layers VALUES (?, ?, ?, 1, ?, 1)', diffId, ...sizes, 'boot');
  }
  for (const digest of [manifest, config]) {
    sql.run('INSERT INTO blobs VALUES (?, ?, 1, ?, 1)', digest, sizeOf(`blobs/sha256/${digest.slice(7)}`), 'boot');
  }
  sql.run('INSERT INTO images VALUES (?, ?, ?, 1)', manifest, config, JSON.stringify(layers));
  sql.run('INSERT INTO tags VALUES (?, ?, ?, 1, ?, 1)', 'docker.io/library/app:1', manifest, manifest, 'boot');
  sql.run('INSERT INTO cache VALUES (?, ?, ?, 1, ?)', 'some key', layers[0]!, '{}', Date.now());
  sql.close();
  return sample;
}

async function versionOf(path: string): Promise<number> {
  const sql = new Sql(await loadEngine(), path);
  const version = Number(sql.get('PRAGMA user_version')?.user_version);
  sql.close();
  return version;
}

test('there is a fixture of every version that came before', () => {
  expect(versions.map(Number).sort()).toEqual(Array.from({ length: schemaVersion - 1 }, (_, i) => i + 1));
});

describe.each(versions)('a store of version %s', (version) => {
  test('is brought up to date with all that it has, and a copy of its database is kept', async () => {
    const { dir, manifest } = await storeOfVersion(version);
    const store = await openStore(dir);
    expect(store.database.version()).toBe(schemaVersion);
    expect((await readImage(store, resolveTag(store, 'app:1')!)).digest).toBe(manifest);
    expect(store.database.cache.all()).toHaveLength(1);
    await store.close();
    expect(await versionOf(join(dir, `meta.db.v${version}`))).toBe(Number(version));
    expect(await checkStore(dir, { readData: true })).toMatchObject({ ok: true, findings: [] });
  });

  test('can go back to the copy, and fsck --repair makes known what came after it', async () => {
    const { dir, manifest } = await storeOfVersion(version);
    const store = await openStore(dir, { sync: true });
    const lease = await openLease(store, 'test');
    tagImage(store, 'later:1', manifest);
    await lease.release();
    await store.close();
    for (const name of ['meta.db', 'meta.db-wal', 'meta.db-shm']) rmSync(join(dir, name), { force: true });
    copyFileSync(join(dir, `meta.db.v${version}`), join(dir, 'meta.db'));
    expect(await versionOf(join(dir, 'meta.db'))).toBe(Number(version));
    expect(await checkStore(dir, { repair: true })).toMatchObject({ ok: true });
    const again = await openStore(dir);
    expect(listTags(again).map(({ reference }) => reference)).toEqual([
      'docker.io/library/app:1',
      'docker.io/library/later:1',
    ]);
    await again.close();
  });

  test('that several processes open at once is brought up to date once', async () => {
    const { dir } = await storeOfVersion(version);
    const program = await workerProgram();
    const ends = await Promise.all([1, 2, 3].map(() => outcome(startWorker(program, [dir, 'import']))));
    expect(ends.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(readdirSync(dir).filter((name) => name.startsWith('meta.db.'))).toEqual([`meta.db.v${version}`]);
    expect(await checkStore(dir, { readData: true })).toMatchObject({ ok: true, findings: [] });
  });

  test('that a program of that version has open is no worse for it', async () => {
    const { dir, layers, manifest } = await storeOfVersion(version);
    const older = new Sql(await loadEngine(), join(dir, 'meta.db'));
    const writeTag = (reference: string): number =>
      older.transaction(() =>
        older.run('INSERT INTO tags VALUES (?, ?, NULL, 1, ?, 1)', `docker.io/library/${reference}`, manifest, 'boot'),
      );
    writeTag('before:1');
    const newer = await openStore(dir);
    writeTag('after:1');
    expect(older.all('SELECT * FROM layers')).toHaveLength(layers.length);
    expect(resolveTag(newer, 'before:1')).toBe(manifest);
    expect(resolveTag(newer, 'after:1')).toBe(manifest);
    expect(newer.database.damage()).toEqual([]);
    older.close();
    await newer.close();
  });
});

test('a database of a later version is refused with both versions, and left as it is', async () => {
  const { dir } = await makeSampleStore();
  const sql = new Sql(await loadEngine(), join(dir, 'meta.db'));
  sql.exec('PRAGMA user_version = 99');
  sql.close();
  const refusal = {
    code: 'STORE_TOO_NEW',
    message: `store ${dir} has format 99, this version of tsbuild knows ${schemaVersion}`,
    hint: expect.stringContaining('update tsbuild'),
  };
  await expect(openStore(dir)).rejects.toMatchObject(refusal);
  for (const repair of [false, true]) await expect(checkStore(dir, { repair })).rejects.toMatchObject(refusal);
  expect(await versionOf(join(dir, 'meta.db'))).toBe(99);
});

test('a directory of a later format is refused by fsck too', async () => {
  const { dir } = await makeSampleStore();
  writeFileSync(join(dir, 'format.json'), '{"format":"tsbuild-store","version":7}');
  await expect(checkStore(dir, { repair: true })).rejects.toMatchObject({ code: 'STORE_TOO_NEW' });
  expect(readFileSync(join(dir, 'format.json'), 'utf8')).toContain('7');
});

test('the copy of an earlier database stays for a month', async () => {
  const { dir } = await storeOfVersion('1');
  const store = await openStore(dir);
  const copy = join(dir, 'meta.db.v1');
  await collectGarbage(store);
  expect(existsSync(copy)).toBe(true);
  const old = new Date(Date.now() - 31 * 86_400_000);
  utimesSync(copy, old, old);
  await collectGarbage(store);
  expect(existsSync(copy)).toBe(false);
  await store.close();
});
