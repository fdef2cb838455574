import { existsSync, readFileSync, truncateSync } from 'node:fs';
import { expect, test } from 'vitest';
import { checkStore, dropForms, findLayer, openLease, openStore, StoreError } from '#store';
import { copyStore, makeSampleStore } from './fsck-samples.js';

test('indexes that are dropped are made again, byte for byte, by whoever looks the layer up', async () => {
  const { dir, layers } = await makeSampleStore();
  const store = await openStore(dir);
  const before = layers.map((diffId) => readFileSync(findLayer(store, diffId)!.indexPath!));
  const paths = layers.map((diffId) => findLayer(store, diffId)!.indexPath!);
  const dropped = await dropForms(store);
  expect(dropped).toMatchObject({ indexes: 2, trees: 0, inUse: 0 });
  expect(dropped.bytes).toBeGreaterThan(0);
  expect(paths.map((path) => existsSync(path))).toEqual([false, false]);
  expect(await checkStore(dir, { readData: true })).toMatchObject({ ok: true, findings: [] });
  expect(await dropForms(store)).toMatchObject({ indexes: 0, trees: 0 });
  const after = layers.map((diffId) => readFileSync(findLayer(store, diffId)!.indexPath!));
  expect(after).toEqual(before);
  await store.close();
});

test('what a live lease holds keeps its forms', async () => {
  const { dir, layers } = await makeSampleStore();
  const [builder, dropper] = [await openStore(dir), await openStore(dir)];
  const lease = await openLease(builder, 'test');
  const layer = findLayer(builder, layers[0]!)!;
  expect(await dropForms(dropper)).toMatchObject({ indexes: 1, inUse: 1 });
  expect(existsSync(layer.indexPath!)).toBe(true);
  await lease.release();
  expect(await dropForms(dropper)).toMatchObject({ indexes: 1, inUse: 0 });
  await Promise.all([builder.close(), dropper.close()]);
});

test('a tar of another size is put aside when it is looked up, with words of who needs it', async () => {
  const { dir, layers } = await makeSampleStore();
  const told: StoreError[] = [];
  const store = await openStore(copyStore({ dir }), { onDamage: (error) => void told.push(error) });
  truncateSync(findLayer(store, layers[0]!)!.tarPath, 700);
  expect(findLayer(store, layers[0]!)).toBeNull();
  expect(told).toMatchObject([
    { code: 'LAYER_DAMAGED', hint: expect.stringContaining('tsbuild fsck --read-data --repair') },
  ]);
  expect(told[0]!.message).toMatch(/700 bytes instead of \d+ \(needed by docker.io\/library\/app:1\)/);
  expect(findLayer(store, layers[0]!)).toBeNull();
  expect(told).toHaveLength(1);
  const { quarantine } = await checkStore(store.dir);
  expect(quarantine).toMatchObject([{ kind: 'layer', object: layers[0], neededBy: ['docker.io/library/app:1'] }]);
  await store.close();
});

test('an index can not be made again from a tar that is damaged where its headers are', async () => {
  const { dir, layers } = await makeSampleStore();
  const store = await openStore(dir);
  const { tarPath } = findLayer(store, layers[0]!)!;
  await dropForms(store);
  const { writeFileSync } = await import('node:fs');
  const bytes = readFileSync(tarPath);
  bytes[100]! ^= 1;
  writeFileSync(tarPath, bytes);
  expect(() => findLayer(store, layers[0]!)).toThrow(StoreError);
  expect(() => findLayer(store, layers[0]!)).toThrow(expect.objectContaining({ code: 'LAYER_DAMAGED' }));
  await store.close();
});
