// Compressed layers in a store: which are there for later, and go by policies, and which belong to an image.
import { expect, test } from 'vitest';
import {
  collectGarbage,
  type DiffId,
  type Digest,
  findBlob,
  findLayer,
  listCacheEntries,
  openLease,
  type PrunePolicy,
  putBlob,
  putImage,
  recordCompression,
  resolveTag,
  type Store,
  tagImage,
} from '#store';
import { openTemp } from './content-samples.js';
import { addLayer, configOf, type Place, randomText } from './image-samples.js';

const gzip = 'application/vnd.oci.image.layer.v1.tar+gzip';

/** What a push leaves behind: nothing reads it here. */
async function compressed({ store, lease }: Place, seed: string, diffId?: DiffId): Promise<Digest> {
  const blob = await putBlob(store, lease, Buffer.from(`\x1f\x8b${randomText(20_000, seed)}`, 'latin1'));
  if (diffId !== undefined) recordCompression(store, diffId, { ...blob, mediaType: gzip });
  return blob.digest;
}

async function collect(store: Store, policies?: readonly PrunePolicy[]): Promise<number> {
  return (await collectGarbage(store, { policies })).blobs;
}

const ofCompressed: PrunePolicy = { matches: ({ type }) => type === 'blob.compressed' };

test('a compressed layer whose tar is here goes by policies, and nothing else with it', async () => {
  const place = await openTemp();
  const { store } = place;
  const layer = await addLayer(place, { file: randomText(50_000, 'file') });
  const image = await putImage(store, place.lease, { config: configOf([layer]) });
  tagImage(store, 'app:1', image.digest);
  const blob = await compressed(place, 'pushed', layer.diffId);
  const [entry, ...others] = await listCacheEntries(store);
  expect(others).toEqual([]);
  expect(entry).toMatchObject({ id: blob, type: 'blob.compressed', inUse: true, shared: false });
  await collect(store, [ofCompressed]);
  expect(findBlob(store, blob)).not.toBeNull(); // our lease made it

  await place.lease.release();
  expect((await listCacheEntries(store))[0]).toMatchObject({ id: blob, inUse: false });
  expect(await collect(store)).toBe(0);
  expect(await collect(store, [{ ...ofCompressed, keepDurationMs: 60_000 }])).toBe(0);
  expect(await collect(store, [{ matches: ({ type }) => type === 'regular' }])).toBe(0);
  expect(await collect(store, [ofCompressed])).toBe(1);
  expect(findBlob(store, blob)).toBeNull();
  expect(findLayer(store, layer.diffId)).not.toBeNull();
  expect(resolveTag(store, 'app:1')).toBe(image.digest);
  expect(await collect(store, [{}])).toBe(0);
});

test('one that a manifest names by its digest stays as long as the manifest', async () => {
  const place = await openTemp();
  const { store, lease } = place;
  const layer = await addLayer(place, { file: randomText(50_000, 'named') });
  const blob = await compressed(place, 'named', layer.diffId);
  const config = await putBlob(store, lease, Buffer.from(JSON.stringify(configOf([layer]))));
  const manifest = { schemaVersion: 2, config, layers: [{ mediaType: gzip, ...(findBlob(store, blob) as object) }] };
  const { digest } = await putBlob(store, lease, Buffer.from(JSON.stringify(manifest)));
  store.database.putImage({ digest, configDigest: config.digest, layers: [layer.diffId] });
  tagImage(store, 'named:1', digest);
  await lease.release();
  expect((await listCacheEntries(store))[0]).toMatchObject({ id: blob, shared: true });
  for (const policies of [[{}], [ofCompressed], [{ maxUsedSpace: 0 }]]) expect(await collect(store, policies)).toBe(0);
  expect(findBlob(store, blob)).not.toBeNull();
});

test('one without its tar is no cache: an image for another machine may consist of such', async () => {
  const place = await openTemp();
  const { store, lease } = place;
  const blob = await compressed(place, 'foreign');
  const config = await putBlob(store, lease, Buffer.from('{"architecture":"s390x","os":"linux"}'));
  const manifest = await putBlob(store, lease, Buffer.from(JSON.stringify({ config, layers: [{ digest: blob }] })));
  const index = await putBlob(store, lease, Buffer.from(JSON.stringify({ manifests: [{ digest: manifest.digest }] })));
  tagImage(store, 'foreign:1', index.digest);
  await lease.release();
  expect(await listCacheEntries(store)).toEqual([]);
  expect(await collect(store, [{}])).toBe(0);
  const check = await openLease(store, 'check');
  expect(findBlob(store, blob)).not.toBeNull();
  await check.release();
});
