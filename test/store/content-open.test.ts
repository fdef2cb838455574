import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findLayer, importLayer, openLease, openStore, putBlob, readBlob } from '#store';
import { getTag, setTag } from '../../store/content/tags.js';
import {
  bytesOf,
  damage,
  isRoot,
  openTemp,
  outcome,
  sampleTar,
  startWorker,
  tempDir,
  whenDone,
  workerProgram,
} from './content-samples.js';

test('a new store is closed to other users, whatever the umask', async () => {
  const dir = join(tempDir(), 'deep/store');
  const before = process.umask(0);
  try {
    const store = await openStore(dir);
    await store.close();
  } finally {
    process.umask(before);
  }
  expect(statSync(dir).mode & 0o777).toBe(0o700);
  expect(statSync(join(dir, 'layers/sha256')).mode & 0o777).toBe(0o700);
});

test('a store of a newer format is refused, and not touched', async () => {
  const dir = tempDir();
  writeFileSync(join(dir, 'format.json'), '{"format":"tsbuild-store","version":99}');
  await expect(openStore(dir)).rejects.toMatchObject({ code: 'STORE_TOO_NEW' });
  expect(readdirSync(dir)).toEqual(['format.json']);
});

for (const content of ['', '[]', '{"format":"other","version":1}', '{"format":"tsbuild-store"}']) {
  test(`a format.json that says ${JSON.stringify(content)} is no store`, async () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'format.json'), content);
    await expect(openStore(dir)).rejects.toMatchObject({ code: 'STORE_NOT_A_STORE' });
  });
}

test("a directory with someone's files in it does not become a store", async () => {
  const dir = tempDir();
  writeFileSync(join(dir, 'thesis.tex'), '');
  await expect(openStore(dir)).rejects.toMatchObject({ code: 'STORE_NOT_A_STORE' });
  expect(readdirSync(dir)).toEqual(['thesis.tex']);
});

test('several processes may make the same store at once', async () => {
  const dir = join(tempDir(), 'store');
  const program = await workerProgram();
  const tar = sampleTar('first');
  const ends = await Promise.all([1, 2, 3, 4].map(() => outcome(startWorker(program, [dir, 'import', tar.path]))));
  expect(ends.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
  expect(ends.every(({ output }) => output.includes(tar.diffId))).toBe(true);
});

test('a lost database is made anew from what lies beside it, and damage is found on the way', async () => {
  const dir = join(tempDir(), 'store');
  const { store, lease } = await openTemp(dir);
  const [good, bad] = [sampleTar('good'), sampleTar('bad')];
  for (const tar of [good, bad]) await importLayer(store, lease, bytesOf(tar.path));
  const config = await putBlob(store, lease, Buffer.from(JSON.stringify({ rootfs: { diff_ids: [good.diffId] } })));
  const manifest = await putBlob(
    store,
    lease,
    Buffer.from(JSON.stringify({ config: { digest: config.digest }, layers: [{ digest: good.diffId }] })),
  );
  setTag(store, 'docker.io/library/app:1', manifest.digest);
  const badTar = findLayer(store, bad.diffId)!.tarPath;
  await lease.release();
  await store.close();
  damage(badTar);
  for (const name of readdirSync(dir)) if (name.startsWith('meta.db')) rmSync(join(dir, name));

  const { store: again } = await openTemp(dir);
  expect(getTag(again, 'docker.io/library/app:1')).toBe(manifest.digest);
  expect(again.database.image(manifest.digest)).toMatchObject({ configDigest: config.digest, layers: [good.diffId] });
  expect(findLayer(again, good.diffId)).not.toBeNull();
  expect(findLayer(again, bad.diffId)).toBeNull();
  expect(existsSync(badTar)).toBe(false);
});

test('a database without tables, as a power cut leaves a new one, is made anew', async () => {
  const dir = join(tempDir(), 'store');
  const { store, lease } = await openTemp(dir);
  const { digest } = await putBlob(store, lease, Buffer.from('{}'));
  await lease.release();
  await store.close();
  for (const name of readdirSync(dir)) if (name.startsWith('meta.db')) rmSync(join(dir, name));
  writeFileSync(join(dir, 'meta.db'), '');
  const { store: again } = await openTemp(dir);
  expect((await readBlob(again, digest)).toString()).toBe('{}');
});

test.skipIf(!isRoot)(
  'a store on a read-only filesystem can be read, and says so when something would write',
  async () => {
    const dir = join(tempDir(), 'store');
    const { store, lease } = await openTemp(dir);
    const tar = sampleTar('read-only');
    await importLayer(store, lease, bytesOf(tar.path));
    const blob = await putBlob(store, lease, Buffer.from('{}'));
    const mount = tempDir();
    execFileSync('mount', ['--bind', dir, mount]);
    whenDone(() => void execFileSync('umount', ['-l', mount]));
    execFileSync('mount', ['-o', 'remount,bind,ro', mount]);

    const reader = await openStore(mount);
    expect(reader.readOnly).toBe(true);
    expect(findLayer(reader, tar.diffId)?.size).toBe(statSync(tar.path).size);
    expect((await readBlob(reader, blob.digest)).toString()).toBe('{}');
    expect(() => setTag(reader, 'a:b', blob.digest)).toThrow(expect.objectContaining({ code: 'STORE_READ_ONLY' }));
    await expect(openLease(reader, 'test')).rejects.toMatchObject({ code: 'STORE_READ_ONLY' });
    await reader.close();
  },
);

test('a path below a file is a clear error', async () => {
  const file = join(tempDir(), 'file');
  writeFileSync(file, '');
  await expect(openStore(join(file, 'store'))).rejects.toMatchObject({ code: 'STORE_NOT_A_STORE' });
});

test('what a blob is read as is verified; a damaged one is put aside so that it can be stored again', async () => {
  const { store, lease } = await openTemp();
  const blob = await putBlob(store, lease, Buffer.from('manifest'));
  writeFileSync(join(store.dir, 'blobs/sha256', blob.digest.slice(7)), 'Manifest');
  await expect(readBlob(store, blob.digest)).rejects.toMatchObject({ code: 'BLOB_DAMAGED' });
  await expect(readBlob(store, blob.digest)).rejects.toMatchObject({ code: 'BLOB_MISSING' });
  await putBlob(store, lease, Buffer.from('manifest'), { digest: blob.digest, size: 8 });
  expect((await readBlob(store, blob.digest)).toString()).toBe('manifest');
  const [aside, note] = readdirSync(join(store.dir, 'quarantine')).sort();
  expect(readFileSync(join(store.dir, 'quarantine', aside!), 'utf8')).toBe('Manifest');
  expect(JSON.parse(readFileSync(join(store.dir, 'quarantine', note!), 'utf8'))).toMatchObject({
    kind: 'blob',
    object: blob.digest,
    reason: expect.stringContaining('hash to'),
  });
});

test('a blob of other bytes than announced is not stored', async () => {
  const { store, lease } = await openTemp();
  const { digest } = await putBlob(store, lease, Buffer.from('one'));
  const wrong = { digest: `sha256:${'0'.repeat(64)}` as const };
  await expect(putBlob(store, lease, Buffer.from('two'), wrong)).rejects.toMatchObject({
    code: 'BLOB_DIGEST_MISMATCH',
  });
  await expect(putBlob(store, lease, Buffer.from('two'), { size: 2 })).rejects.toMatchObject({
    code: 'BLOB_SIZE_MISMATCH',
  });
  expect(readdirSync(join(store.dir, 'blobs/sha256'))).toEqual([digest.slice(7)]);
  expect(readdirSync(lease.dir)).toEqual([]);
});

test('an image that is not there can not be tagged', async () => {
  const { store } = await openTemp();
  mkdirSync(join(store.dir, 'tags'), { recursive: true });
  const missing = `sha256:${'1'.repeat(64)}` as const;
  expect(() => setTag(store, 'a:1', missing)).toThrow(expect.objectContaining({ code: 'IMAGE_MISSING' }));
  expect(readdirSync(join(store.dir, 'tags'))).toEqual([]);
});
