import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  collectGarbage,
  type DiffId,
  diskUsage,
  findBlob,
  findLayer,
  importLayer,
  type Lease,
  lookupCache,
  openLease,
  openStore,
  putBlob,
  recordCache,
  type Store,
} from '#store';
import { deleteTag, setTag } from '../../store/content/tags.js';
import {
  bytesOf,
  isRoot,
  openTemp,
  outcome,
  sampleTar,
  startWorker,
  tempDir,
  whenDone,
  workerProgram,
} from './content-samples.js';

async function addLayer(store: Store, lease: Lease, seed: string, megabytes = 0): Promise<DiffId> {
  return (await importLayer(store, lease, bytesOf(sampleTar(seed, megabytes).path))).diffId;
}

async function addImage(store: Store, lease: Lease, tag: string, layers: readonly DiffId[]) {
  const config = await putBlob(store, lease, Buffer.from(JSON.stringify({ tag, rootfs: { diff_ids: layers } })));
  const manifest = await putBlob(store, lease, Buffer.from(JSON.stringify({ config: { digest: config.digest }, tag })));
  store.database.putImage({ digest: manifest.digest, configDigest: config.digest, layers });
  setTag(store, tag, manifest.digest);
  return { config: config.digest, manifest: manifest.digest };
}

const nothing = { layers: 0, trees: 0, blobs: 0, images: 0, cacheRecords: 0, cacheMounts: 0 };

test('what tags, leases and kept cache records reach stays; the rest goes, and its room is given back', async () => {
  const { store, lease } = await openTemp();
  const [tagged, cached, held, lost] = await Promise.all(
    ['tagged', 'cached', 'held', 'lost'].map((seed) => addLayer(store, lease, seed, 1)),
  );
  const image = await addImage(store, lease, 'app:1', [tagged!]);
  recordCache(store, 'key', { diffId: cached!, inputs: { step: 'RUN true' } });
  await lease.release();
  const holder = await openLease(store, 'hold');
  expect(findLayer(store, held!)).not.toBeNull();

  const before = diskUsage(store).totalBytes;
  const freed = await collectGarbage(store);
  expect(freed).toMatchObject({ ...nothing, layers: 1 });
  expect(freed.bytes).toBeGreaterThan(1 << 20);
  expect(before - diskUsage(store).totalBytes).toBeGreaterThan(1 << 20);
  expect(findLayer(store, lost!)).toBeNull();
  for (const id of [tagged, cached, held]) expect(findLayer(store, id!)).not.toBeNull();
  expect(findBlob(store, image.config)).not.toBeNull();
  await holder.release();

  expect(await collectGarbage(store)).toMatchObject({ ...nothing, layers: 1 });
  expect(findLayer(store, held!)).toBeNull();
  expect(await collectGarbage(store, { policies: [{}] })).toMatchObject({ ...nothing, layers: 1, cacheRecords: 1 });
  expect(lookupCache(store, 'key')).toBeNull();
  deleteTag(store, 'app:1');
  expect(await collectGarbage(store)).toMatchObject({ ...nothing, layers: 1, blobs: 2, images: 1 });
  expect(readdirSync(join(store.dir, 'layers/sha256'))).toEqual([]);
  expect(readdirSync(join(store.dir, 'blobs/sha256'))).toEqual([]);
});

test('an image whose row is gone keeps its layers while a tag reaches its manifest, as does an index of images', async () => {
  const { store, lease } = await openTemp();
  const layer = await addLayer(store, lease, 'indexed');
  const { manifest } = await addImage(store, lease, 'app:1', [layer]);
  const index = await putBlob(
    store,
    lease,
    Buffer.from(JSON.stringify({ manifests: [{ digest: manifest }, { digest: `sha256:${'0'.repeat(64)}` }] })),
  );
  setTag(store, 'app:all', index.digest);
  deleteTag(store, 'app:1');
  store.database.deleteImage(manifest);
  await lease.release();
  expect(await collectGarbage(store)).toMatchObject(nothing);
  const check = await openLease(store, 'check');
  expect(findLayer(store, layer)).not.toBeNull();
  await check.release();
});

test('what another process looked up is kept while it lives, and collected after it was killed', async () => {
  const dir = join(tempDir(), 'store');
  const store = await openStore(dir);
  const lease = await openLease(store, 'test');
  const layer = await addLayer(store, lease, 'elsewhere');
  await lease.release();
  const child = startWorker(await workerProgram(), [dir, 'hold', layer]);
  const ended = outcome(child);
  await new Promise((resolve) => child.stdout!.once('data', resolve));
  expect(await collectGarbage(store)).toMatchObject(nothing);
  expect(existsSync(join(dir, 'layers/sha256', layer.slice(7)))).toBe(true);
  child.kill('SIGKILL');
  await ended;
  expect(await collectGarbage(store)).toMatchObject({ ...nothing, layers: 1 });
  expect(store.database.leases.all()).toEqual([]);
  expect(readdirSync(join(dir, 'tmp'))).toEqual([]);
  await store.close();
});

test('collecting all the time beside imports takes nothing from them', async () => {
  const dir = join(tempDir(), 'store');
  const store = await openStore(dir);
  const program = await workerProgram();
  const tars = Array.from({ length: 12 }, (_, i) => sampleTar(`beside ${i % 4}`, 1));
  const children = [1, 2, 3].map(() => outcome(startWorker(program, [dir, 'import', ...tars.map(({ path }) => path)])));
  let running = true;
  const all = Promise.all(children).finally(() => {
    running = false;
  });
  let rounds = 0;
  while (running) {
    await collectGarbage(store, { policies: [{}] });
    rounds++;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  for (const { code, output } of await all) {
    expect(code).toBe(0);
    expect(output.split('\n').filter((line) => line.startsWith('sha256:'))).toHaveLength(tars.length);
  }
  expect(rounds).toBeGreaterThan(3);
  await collectGarbage(store);
  expect(store.database.layers()).toEqual([]);
  expect(readdirSync(join(dir, 'layers/sha256'))).toEqual([]);
  await store.close();
});

test('files without rows and rows without files are cleaned up', async () => {
  const { store, lease } = await openTemp();
  const layer = await addLayer(store, lease, 'row only');
  await addImage(store, lease, 'app:1', [layer]);
  mkdirSync(join(store.dir, 'layers/sha256', 'f'.repeat(64)));
  mkdirSync(join(store.dir, 'trees', 'e'.repeat(64)));
  writeFileSync(join(store.dir, 'blobs/sha256', 'd'.repeat(64)), 'x');
  renameSync(join(store.dir, 'layers/sha256', layer.slice(7)), join(store.dir, 'trash/moved'));
  recordCache(store, 'key', { diffId: layer, inputs: null });
  expect(lookupCache(store, 'key')).toBeNull();
  expect(await collectGarbage(store)).toMatchObject({ layers: 1, trees: 1, blobs: 1 });
  expect(readdirSync(join(store.dir, 'trees'))).toEqual([]);
  expect(readdirSync(join(store.dir, 'trash'))).toEqual([]);
});

test.skipIf(!isRoot)('on a disk with no byte free garbage is collected all the same', async () => {
  const mount = tempDir();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'none', mount]);
  whenDone(() => void execFileSync('umount', ['-l', mount]));
  const store = await openStore(join(mount, 'store'));
  const lease = await openLease(store, 'test');
  const layer = await addLayer(store, lease, 'large', 5);
  await lease.release();
  execFileSync('sh', ['-c', `dd if=/dev/zero of=${mount}/filler bs=4k 2>/dev/null || true`]);
  expect(await collectGarbage(store)).toMatchObject({ layers: 1 });
  expect(findLayer(store, layer)).toBeNull();
  await store.close();
});

test.skipIf(!isRoot)(
  'a process that finds the disk full can read, and one that comes to make room makes it',
  async () => {
    const mount = tempDir();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'none', mount]);
    whenDone(() => void execFileSync('umount', ['-l', mount]));
    const dir = join(mount, 'store');
    const tar = sampleTar('large', 5);
    const program = await workerProgram();
    expect((await outcome(startWorker(program, [dir, 'import', tar.path]))).code).toBe(0);
    await expect.poll(() => readdirSync(join(dir, 'flush')).filter((name) => name.endsWith('.done'))).toHaveLength(1);
    const fill = (name: string): void =>
      void execFileSync('sh', ['-c', `dd if=/dev/zero of=${mount}/${name} bs=4k 2>/dev/null || true`]);
    fill('filler');
    const reader = await openStore(dir);
    expect(reader.database.layer(tar.diffId)).not.toBeNull();
    await expect(openLease(reader, 'test')).rejects.toMatchObject({ code: 'STORE_FULL' });
    await reader.close();

    // As after the last process has gone, and its shared memory with it.
    const other = join(mount, 'other');
    execFileSync('rm', [join(mount, 'filler')]);
    execFileSync('cp', ['-a', dir, other]);
    execFileSync('rm', ['-f', join(other, 'meta.db-shm')]);
    fill('filler');
    await expect(openStore(other)).rejects.toMatchObject({ code: 'STORE_FULL' });
    const store = await openStore(other, { freeing: true });
    expect(await collectGarbage(store)).toMatchObject({ layers: 1 });
    expect(existsSync(join(other, 'reserve'))).toBe(true);
    await store.close();
  },
);

test('the bill adds up to what du says, and tells shared from own', async () => {
  const { store, lease } = await openTemp();
  const [base, one, two, spare] = await Promise.all(
    ['base', 'one', 'two', 'spare'].map((seed) => addLayer(store, lease, seed, 1)),
  );
  const first = await addImage(store, lease, 'one:1', [base!, one!]);
  await addImage(store, lease, 'two:1', [base!, two!]);
  recordCache(store, 'key', { diffId: spare!, inputs: null });
  const usage = diskUsage(store);
  const du = Number(execFileSync('du', ['-s', '--block-size=1', store.dir], { encoding: 'utf8' }).split('\t')[0]);
  expect(usage.totalBytes).toBe(du);
  expect(usage.layerBytes + usage.treeBytes + usage.blobBytes + usage.otherBytes).toBe(du);
  const image = usage.images.find(({ digest }) => digest === first.manifest)!;
  expect(image.references).toEqual(['one:1']);
  expect(image.sharedBytes).toBeGreaterThan(1 << 20);
  expect(image.ownBytes).toBeGreaterThan(1 << 20);
  expect(image.logicalBytes).toBeGreaterThan(2 << 20);
  expect(usage.cacheBytes).toBeGreaterThan(1 << 20);
  expect(usage.cacheRecords).toBe(1);
});
