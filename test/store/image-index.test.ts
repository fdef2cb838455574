// An index of an image and what is attested about it, in a store.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  collectGarbage,
  type Descriptor,
  findImage,
  listImages,
  openStore,
  putIndex,
  readImage,
  readIndex,
  readManifestBytes,
  removeImage,
  resolveTag,
  type StoredIndex,
  tagImage,
} from '#store';
import { attachStatements, subjectsOf } from '../../src/attest/index.js';
import { type Place, sampleImage, tempStore } from './image-samples.js';

async function sampleIndex(place: Place, artifact = true): Promise<StoredIndex> {
  const image = await sampleImage(place);
  const descriptor: Descriptor = {
    mediaType: image.manifest.mediaType!,
    digest: image.digest,
    size: (await readManifestBytes(place.store, image)).length,
    platform: { os: 'linux', architecture: 'amd64' },
  };
  const statement = { file: 'x.json', predicateType: 'https://example.com/said', predicate: { said: true } };
  const subjects = subjectsOf(image.digest, ['app:1'], image.config);
  const about = await attachStatements(place.store, place.lease, descriptor, subjects, [statement], artifact);
  return putIndex(place.store, place.lease, { manifests: [descriptor, about], annotations: { a: 'b' } });
}

test('is found by its name and its digest, and stands for its image', async () => {
  const place = await tempStore();
  const { descriptor, images } = await sampleIndex(place);
  tagImage(place.store, 'app:1', descriptor.digest);
  expect(resolveTag(place.store, 'app:1')).toBe(descriptor.digest);
  expect(resolveTag(place.store, `app@${descriptor.digest}`)).toBe(descriptor.digest);
  for (const text of ['app:1', descriptor.digest, descriptor.digest.slice(7, 19)]) {
    expect(findImage(place.store, text).digest).toBe(descriptor.digest);
  }
  const platform = { os: 'linux', architecture: 'amd64' };
  expect((await readImage(place.store, descriptor.digest, { platform })).digest).toBe(images[0]!.digest);
  expect(listImages(place.store)).toMatchObject([{ digest: descriptor.digest, names: ['app:1'] }]);
});

test('a name keeps everything in it from the collector, and without one all of it goes', async () => {
  const place = await tempStore();
  const { descriptor, images } = await sampleIndex(place);
  tagImage(place.store, 'app:1', descriptor.digest);
  await place.lease.release();
  await collectGarbage(place.store);
  const kept = await readIndex(place.store, descriptor.digest);
  expect(kept?.others.flatMap(({ blobs }) => blobs)).toHaveLength(2);
  expect(kept?.images.flatMap(({ layers }) => layers)).toHaveLength(2);
  expect(removeImage(place.store, 'app:1')).toMatchObject({ deleted: descriptor.digest });
  expect(listImages(place.store)).toEqual([]);
  await place.store.close();
  const store = await openStore(place.store.dir);
  await collectGarbage(store);
  expect(await readIndex(store, descriptor.digest)).toBe(null);
  await expect(readImage(store, images[0]!.digest)).rejects.toMatchObject({ code: 'IMAGE_MISSING' });
  await store.close();
});

for (const artifact of [true, false]) {
  test(`is whole again in a rebuilt database, ${artifact ? 'as an artifact' : 'in the shape of an image'}`, async () => {
    const place = await tempStore();
    const { descriptor } = await sampleIndex(place, artifact);
    tagImage(place.store, 'app:1', descriptor.digest);
    const { dir } = place.store;
    await place.lease.release();
    await place.store.close();
    for (const name of ['meta.db', 'meta.db-wal', 'meta.db-shm']) rmSync(join(dir, name), { force: true });
    const store = await openStore(dir);
    expect(listImages(store)).toMatchObject([{ digest: descriptor.digest, names: ['app:1'] }]);
    await collectGarbage(store);
    expect((await readIndex(store, descriptor.digest))?.others).toHaveLength(1);
    await store.close();
  });
}

test('with a part missing is told as incomplete, and not made', async () => {
  const place = await tempStore();
  const { index } = await sampleIndex(place);
  const other = await tempStore();
  await expect(putIndex(other.store, other.lease, index)).rejects.toMatchObject({ code: 'IMAGE_INCOMPLETE' });
});
