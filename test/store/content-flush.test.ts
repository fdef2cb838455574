import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findLayer, flushStore, importLayer, openLease, openStore, putBlob, type Store } from '#store';
import { getTag, setTag } from '../../store/content/tags.js';
import { bytesOf, damage, sampleTar, tempDir } from './content-samples.js';

/** An image of one layer, written in a boot of that name. Its flusher is not waited for. */
async function writeImage(store: Store, seed: string) {
  const lease = await openLease(store, 'test');
  const tar = sampleTar(seed);
  const layer = await importLayer(store, lease, bytesOf(tar.path));
  const config = await putBlob(store, lease, Buffer.from(`{"config":"${seed}"}`));
  const manifest = await putBlob(store, lease, Buffer.from(`{"manifest":"${seed}"}`));
  store.database.putImage({ digest: manifest.digest, configDigest: config.digest, layers: [layer.diffId] });
  setTag(store, 'app:1', manifest.digest);
  await lease.release();
  return { layer, config: config.digest, manifest: manifest.digest };
}

test('what was not flushed is verified after a reboot, and kept if it is whole', async () => {
  const dir = join(tempDir(), 'store');
  const before = await openStore(dir, { bootId: 'first' });
  const image = await writeImage(before, 'whole');
  damage(image.layer.indexPath!);
  before.database.close();

  const after = await openStore(dir, { bootId: 'second' });
  expect(getTag(after, 'app:1')).toBe(image.manifest);
  expect(findLayer(after, image.layer.diffId)).not.toBeNull();
  expect(after.database.unflushed('earlier')).toEqual({ layers: [], blobs: [], trees: [], tags: [] });
  // Its index was written anew: a torn one would be read by the kernel.
  const superblock = readFileSync(image.layer.indexPath!).subarray(1024, 1028);
  expect(superblock.readUInt32LE(0)).toBe(0xe0f5e1e2);
  await after.close();
});

for (const part of ['layer', 'config', 'manifest'] as const) {
  test(`a tag whose ${part} a power cut tore goes back to the last image that reached the disk`, async () => {
    const dir = join(tempDir(), 'store');
    const before = await openStore(dir, { bootId: 'first' });
    const good = await writeImage(before, 'good');
    await flushStore(before);
    const torn = await writeImage(before, 'torn');
    damage(part === 'layer' ? torn.layer.tarPath : join(dir, 'blobs/sha256', torn[part].slice(7)));
    before.database.close();

    const after = await openStore(dir, { bootId: 'second' });
    expect(getTag(after, 'app:1')).toBe(good.manifest);
    expect(findLayer(after, good.layer.diffId)).not.toBeNull();
    if (part === 'layer') {
      expect(findLayer(after, torn.layer.diffId)).toBeNull();
      expect(existsSync(torn.layer.tarPath)).toBe(false);
    }
    expect(readdirSync(join(dir, 'tags')).map((name) => readFileSync(join(dir, 'tags', name), 'utf8'))).toEqual([
      `${JSON.stringify({ reference: 'app:1', digest: good.manifest })}\n`,
    ]);
    await after.close();
  });
}

test('a tag that never reached the disk and is torn goes away', async () => {
  const dir = join(tempDir(), 'store');
  const before = await openStore(dir, { bootId: 'first' });
  const torn = await writeImage(before, 'torn');
  damage(torn.layer.tarPath);
  before.database.close();
  const after = await openStore(dir, { bootId: 'second' });
  expect(getTag(after, 'app:1')).toBeNull();
  expect(readdirSync(join(dir, 'tags'))).toEqual([]);
  await after.close();
});

test('flushed rows are believed after a reboot', async () => {
  const dir = join(tempDir(), 'store');
  const before = await openStore(dir, { bootId: 'first', sync: true });
  const image = await writeImage(before, 'flushed');
  await before.close();
  damage(image.layer.tarPath); // not by a power cut: nobody looks for it
  const after = await openStore(dir, { bootId: 'second' });
  expect(findLayer(after, image.layer.diffId)).not.toBeNull();
  await after.close();
});

test('a name given again where it points has nothing to flush, and gets its copy back if that is missing', async () => {
  const dir = join(tempDir(), 'store');
  const store = await openStore(dir);
  const { manifest } = await writeImage(store, 'again');
  await flushStore(store);
  const copy = join(dir, 'tags', readdirSync(join(dir, 'tags'))[0]!);
  const { ino } = statSync(copy);
  const { updatedMs } = store.database.tag('app:1')!;
  await new Promise((resolve) => setTimeout(resolve, 2));
  setTag(store, 'app:1', manifest);
  expect(statSync(copy).ino).toBe(ino);
  expect(store.database.tag('app:1')!.updatedMs).toBeGreaterThan(updatedMs);
  expect(store.database.unflushed('this boot').tags).toEqual([]);
  rmSync(copy);
  setTag(store, 'app:1', manifest);
  expect(JSON.parse(readFileSync(copy, 'utf8'))).toEqual({ reference: 'app:1', digest: manifest });
  await store.close();
});

test('closing starts a flusher that outlives it, and the next opening marks what it wrote', async () => {
  const dir = join(tempDir(), 'store');
  const before = await openStore(dir, { bootId: 'first' });
  await writeImage(before, 'detached');
  const started = performance.now();
  await before.close();
  expect(performance.now() - started).toBeLessThan(100);
  const done = (): string[] => readdirSync(join(dir, 'flush')).filter((name) => name.endsWith('.done'));
  await expect.poll(done, { timeout: 10_000 }).toHaveLength(1);

  const same = await openStore(dir, { bootId: 'first' });
  expect(same.database.unflushed('this boot')).toEqual({ layers: [], blobs: [], trees: [], tags: [] });
  expect(readdirSync(join(dir, 'flush'))).toEqual([]);
  await same.close();
  expect(readdirSync(join(dir, 'flush'))).toEqual([]);
});

test('a torn or foreign list of flushed objects is ignored', async () => {
  const dir = join(tempDir(), 'store');
  const before = await openStore(dir, { bootId: 'first' });
  const image = await writeImage(before, 'listed');
  before.database.close();
  const { writeFileSync } = await import('node:fs');
  for (const [name, text] of [
    ['torn', '{"layers":'],
    ['odd', '[]'],
    ['null', 'null'],
  ]) {
    writeFileSync(join(dir, 'flush', `${name}.done`), text!);
  }
  const after = await openStore(dir, { bootId: 'first' });
  expect(after.database.unflushed('this boot').layers.map(([id]) => id)).toEqual([image.layer.diffId]);
  expect(readdirSync(join(dir, 'flush'))).toEqual([]);
  after.database.close();
});

test('a file that has a name but no row, as after a kill, is replaced and never believed', async () => {
  const dir = join(tempDir(), 'store');
  const store = await openStore(dir);
  const lease = await openLease(store, 'test');
  const tar = sampleTar('orphan');
  const layer = await importLayer(store, lease, bytesOf(tar.path));
  store.database.deleteLayer(tar.diffId);
  damage(layer.tarPath);
  expect(findLayer(store, tar.diffId)).toBeNull();
  await importLayer(store, lease, bytesOf(tar.path));
  expect(readFileSync(layer.tarPath).equals(readFileSync(tar.path))).toBe(true);
  expect(statSync(join(dir, 'layers/sha256', tar.diffId.slice(7))).isDirectory()).toBe(true);
  await lease.release();
  await store.close();
});
