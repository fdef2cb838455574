// Whole indexes in a store: what is kept of them, and what is made of that when somebody needs it.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  collectGarbage,
  copyImage,
  type Digest,
  findBlob,
  findLayer,
  importLayout,
  listImages,
  openLayoutSource,
  openLease,
  openStore,
  openStoreSource,
  readImage,
  readIndex,
  readIndexed,
  removeImage,
  resolveTag,
  storeDestination,
  tagImage,
  unpackImage,
} from '#store';
import { attestedIndex, gzipImage, readWhole, tag } from './copy-samples.js';
import { type Place, tempDir, tempStore } from './image-samples.js';

const amd64 = { os: 'linux', architecture: 'amd64' };
const arm64 = { os: 'linux', architecture: 'arm64' };

async function bring({ store, lease }: Place, dir: string, name = tag): Promise<Digest> {
  const unpack = ({ architecture }: { architecture: string }): boolean => architecture === 'amd64';
  const to = storeDestination({ store, lease, tag: name, unpack });
  return (await copyImage(await openLayoutSource(dir, tag), to)).descriptor.digest;
}

const wholeFrom = ({ store, lease }: Place, digest: Digest): Promise<Digest> =>
  readWhole(openStoreSource(store, lease, digest, tag));

test('of an index the images for this machine are layers, the others stay as they came', async () => {
  const place = await tempStore();
  const { dir, digest } = await attestedIndex();
  expect(await bring(place, dir)).toBe(digest);
  const { store, lease } = place;
  const index = (await readIndex(store, digest))!;
  expect(index.images.map(({ config }) => config.architecture)).toEqual(['amd64']);
  expect(index.others).toHaveLength(3);
  const [mine, theirs] = index.index.manifests.map((entry) => entry.digest);
  expect(await readIndexed(store, mine!)).toMatchObject({ packed: false, config: { architecture: 'amd64' } });
  expect(await readIndexed(store, theirs!)).toMatchObject({ packed: true, config: { architecture: 'arm64' } });
  expect(listImages(store)).toMatchObject([{ digest, names: [tag], images: [mine, theirs] }]);
  await expect(readImage(store, digest, { platform: arm64 })).rejects.toMatchObject({ code: 'LAYER_MISSING' });

  const unpacked = await unpackImage(store, lease, digest, { platform: arm64 });
  expect(unpacked.config.architecture).toBe('arm64');
  expect((await readImage(store, digest, { platform: arm64 })).digest).toBe(theirs);
  expect((await unpackImage(store, lease, digest, { platform: amd64 })).digest).toBe(mine);
  expect(await wholeFrom(place, digest)).toBe(digest);
});

test('an index outlives the collector whole, whatever was there before in another form', async () => {
  const place = await tempStore();
  const { store, lease } = place;
  const { dir, digest } = await attestedIndex();
  // The same layers first without the blobs that the index names.
  await importLayout(store, lease, dir, { tag, platform: amd64 });
  await bring(place, dir);
  await lease.release();
  await collectGarbage(store);
  const again = { store, lease: await openLease(store, 'test') };
  expect(await wholeFrom(again, digest)).toBe(digest);
  await unpackImage(store, again.lease, digest, { platform: arm64 });
  await again.lease.release();
  await collectGarbage(store);
  const last = { store, lease: await openLease(store, 'test') };
  expect(await wholeFrom(last, digest)).toBe(digest);
  await last.lease.release();
  removeImage(store, tag);
  await collectGarbage(store);
  expect(store.database.layers()).toEqual([]);
  expect(findBlob(store, digest)).toBeNull();
});

test('an index is found whole again when the database was lost', async () => {
  const at = join(await tempDir(), 'store');
  const { dir, digest } = await attestedIndex();
  const store = await openStore(at);
  const lease = await openLease(store, 'test');
  await bring({ store, lease }, dir);
  await lease.release();
  await store.close();
  for (const end of ['', '-wal', '-shm']) rmSync(join(at, `meta.db${end}`), { force: true });
  const again = await openStore(at);
  const held = await openLease(again, 'test');
  expect(resolveTag(again, tag)).toBe(digest);
  expect(await wholeFrom({ store: again, lease: held }, digest)).toBe(digest);
  await held.release();
  await collectGarbage(again);
  const after = await openLease(again, 'test');
  expect(await wholeFrom({ store: again, lease: after }, digest)).toBe(digest);
  await after.release();
  await again.close();
});

test('a layer is stored once, whatever names it', async () => {
  const place = await tempStore();
  const { store, lease } = place;
  const { dir } = await attestedIndex();
  const index = await bring(place, dir, 'first:1');
  await bring(place, dir, 'second:1');
  await bring(place, (await gzipImage()).dir, 'third:1');
  await unpackImage(store, lease, index, { platform: arm64 });
  // One base, and one of each architecture.
  expect(store.database.layers()).toHaveLength(3);
  const names = execFileSync('find', [join(store.dir, 'layers'), '-name', 'tar'])
    .toString()
    .trim()
    .split('\n');
  expect(names).toHaveLength(3);
});

test('an image of an index that has a name is not removed by itself, and one of two indexes stays for the other', async () => {
  const place = await tempStore();
  const { store } = place;
  const { dir, digest } = await attestedIndex();
  await bring(place, dir, 'first:1');
  const [mine] = (await readIndex(store, digest))!.images;
  expect(() => removeImage(store, mine!.digest)).toThrow(
    expect.objectContaining({
      code: 'IMAGE_IN_INDEX',
      message: expect.stringContaining('one of the images of first:1'),
    }),
  );
  tagImage(store, 'second:1', digest);
  removeImage(store, 'first:1');
  expect((await readIndex(store, digest))?.images).toHaveLength(1);
  removeImage(store, 'second:1');
  expect(listImages(store)).toEqual([]);
});

test('what is packed goes to another store as it is', async () => {
  const [from, to] = [await tempStore(), await tempStore()];
  const { dir, digest } = await attestedIndex();
  await bring(from, dir);
  const unpack = (): boolean => false;
  const target = storeDestination({ ...to, tag, unpack });
  await copyImage(openStoreSource(from.store, from.lease, digest, tag), target);
  expect(await wholeFrom(to, digest)).toBe(digest);
  expect(to.store.database.layers()).toEqual([]);
  const [layer] = (await readIndexed(from.store, (await readIndex(from.store, digest))!.images[0]!.digest))!.config
    .rootfs.diff_ids;
  expect(findLayer(to.store, layer!)).toBeNull();
});
