// The bill of a store against du(1), after whatever was done to it.
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, linkSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openHost } from '#native';
import {
  collectGarbage,
  type DiffId,
  type DiskUsage,
  diskUsage,
  findLayer,
  mountLayer,
  openLease,
  putBlob,
  putImage,
  recordCache,
  recordCompression,
  removeImage,
  resolveTag,
  type Store,
  tagImage,
  untag,
} from '#store';
import { diskBytes } from '../../store/content/disk-bytes.js';
import { openTemp, tempDir } from './content-samples.js';
import { addLayer, configOf, type Place, randomText } from './image-samples.js';

function du(dir: string): number {
  return Number(execFileSync('du', ['-s', '--block-size=1', dir], { encoding: 'utf8' }).split('\t')[0]);
}

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, each) => total + each, 0);

/** Whatever the store holds, these are true. */
function assertAddsUp(store: Store): DiskUsage {
  const usage = diskUsage(store);
  const { parts, images, layers } = usage;
  expect(usage.totalBytes).toBe(du(store.dir));
  expect(sum(Object.values(parts))).toBe(usage.totalBytes);
  expect(usage.layerBytes + usage.treeBytes + usage.blobBytes + usage.otherBytes).toBe(usage.totalBytes);
  for (const image of images) {
    const { tarBytes, indexBytes, treeBytes, compressedBytes, documentBytes } = image;
    expect(image.sharedBytes + image.ownBytes).toBe(
      tarBytes + indexBytes + treeBytes + compressedBytes + documentBytes,
    );
    expect(image.cachedBytes).toBeLessThanOrEqual(image.ownBytes);
  }
  const objectBytes = usage.layerBytes + usage.treeBytes + usage.blobBytes;
  expect(sum(images.map(({ ownBytes }) => ownBytes)) + usage.cacheBytes).toBeLessThanOrEqual(objectBytes);
  expect(sum(layers.map(({ tarBytes }) => tarBytes))).toBe(parts.tarBytes);
  expect(sum(layers.map(({ indexBytes }) => indexBytes))).toBe(parts.indexBytes);
  expect(sum(layers.map(({ treeBytes }) => treeBytes))).toBe(parts.treeBytes);
  return usage;
}

const names = ['a:1', 'b:1', 'c:1'];
const seeds = [0, 1, 2, 3];

async function layerOf(place: Place, seed: number): Promise<DiffId> {
  return (await addLayer(place, { [`file${seed}`]: randomText(3000 + seed * 40_000, `${seed}`), empty: '' })).diffId;
}

/** One thing that somebody does to a store. */
const deeds: Readonly<Record<string, (place: Place, a: number, b: number) => Promise<void>>> = {
  build: async (place, a, b) => {
    const found = [await layerOf(place, a), await layerOf(place, b)].map((id) => findLayer(place.store, id)!);
    recordCache(place.store, `key ${b}`, { diffId: found[1]!.diffId, inputs: null });
    const image = await putImage(place.store, place.lease, { config: configOf(found) });
    tagImage(place.store, names[b % 3]!, image.digest);
  },
  compress: async ({ store, lease }, a) => {
    const diffId = await layerOf({ store, lease }, a);
    const blob = await putBlob(store, lease, Buffer.from(`\x1f\x8b${randomText(9000, `${a}`)}`, 'latin1'));
    recordCompression(store, diffId, { ...blob, mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' });
  },
  unpack: async ({ store, lease }, a) => {
    const host = await openHost();
    const layer = findLayer(store, await layerOf({ store, lease }, a))!;
    const trees = Object.assign(Object.create(store), { options: { form: 'tree' } }) as Store;
    await mountLayer(trees, lease, host, layer);
    await host.close();
  },
  index: async ({ store, lease }, a) => {
    const digest = resolveTag(store, names[a % 3]!);
    const image = digest === null ? null : store.database.image(digest);
    if (image === null || image === undefined) return;
    const { digest: index } = await putBlob(
      store,
      lease,
      Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [{ digest: image.digest }] })),
    );
    tagImage(store, 'all:1', index);
  },
  cacheMount: async ({ store }, a) => {
    const root = join(store.dir, 'cache/mounts', `${a}`.repeat(64), 'root');
    mkdirSync(root, { recursive: true });
    const file = join(root, `file${Math.random()}`);
    const fd = openSync(file, 'w');
    ftruncateSync(fd, 5_000_000); // no block of it is allocated
    closeSync(fd);
    writeFileSync(`${file}.full`, randomText(10_000, 'full'));
    linkSync(`${file}.full`, `${file}.again`);
  },
  untag: async ({ store }, a) => void untag(store, names[a % 3]!),
  remove: async ({ store }, a) => {
    if (resolveTag(store, names[a % 3]!) !== null) removeImage(store, names[a % 3]!);
  },
  collect: async ({ store }, a) => void (await collectGarbage(store, a % 2 === 0 ? {} : { policies: [{}] })),
};

const deed = fc.tuple(fc.constantFrom(...Object.keys(deeds)), fc.constantFrom(...seeds), fc.constantFrom(...seeds));

test('whatever is done to a store, the bill adds up to what du says', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(deed, { minLength: 4, maxLength: 12 }), async (done) => {
      const { store, lease } = await openTemp();
      await lease.release();
      for (const [name, a, b] of done) {
        const own = await openLease(store, name);
        await deeds[name]!({ store, lease: own }, a, b);
        await own.release();
        await expect.poll(() => du(join(store.dir, 'trash')), { timeout: 30_000 }).toBeLessThan(8192);
        assertAddsUp(store);
      }
    }),
    { numRuns: Number(process.env.TSBUILD_USAGE_RUNS ?? 12) },
  );
});

describe('the bill of an image', () => {
  async function imageOf(place: Place, tag: string, layers: readonly DiffId[]) {
    const found = layers.map((id) => findLayer(place.store, id)!);
    const image = await putImage(place.store, place.lease, { config: configOf(found, { author: tag }) });
    tagImage(place.store, tag, image.digest);
    return image;
  }

  test('tells shared from own, and what the build cache would keep', async () => {
    const place = await openTemp();
    const [base, one, two] = await Promise.all([1, 2, 3].map((seed) => layerOf(place, seed)));
    await imageOf(place, 'one:1', [base!, one!]);
    await imageOf(place, 'two:1', [base!, two!]);
    recordCache(place.store, 'key', { diffId: two!, inputs: null });
    const { images, layers } = assertAddsUp(place.store);
    const bytes = new Map(layers.map((layer) => [layer.diffId, layer.tarBytes + layer.indexBytes]));
    const [first, second] = ['docker.io/library/one:1', 'docker.io/library/two:1'].map(
      (name) => images.find(({ references }) => references.includes(name))!,
    );
    expect(first).toMatchObject({ sharedBytes: bytes.get(base!), cachedBytes: 0 });
    expect(first!.ownBytes).toBe(bytes.get(one!)! + first!.documentBytes);
    expect(second).toMatchObject({ sharedBytes: bytes.get(base!), cachedBytes: bytes.get(two!) });
    const users = new Map(layers.map((layer) => [layer.diffId, layer]));
    expect(users.get(base!)!.images).toHaveLength(2);
    expect(users.get(two!)).toMatchObject({ images: [second!.digest], cached: true });
  });

  test('in an index is part of the bill of the index', async () => {
    const place = await openTemp();
    const image = await imageOf(place, 'one:1', [await layerOf(place, 1)]);
    const index = JSON.stringify({ schemaVersion: 2, manifests: [{ digest: image.digest }] });
    const { digest } = await putBlob(place.store, place.lease, Buffer.from(index));
    tagImage(place.store, 'all:1', digest);
    untag(place.store, 'one:1');
    const { images } = assertAddsUp(place.store);
    expect(images).toHaveLength(1);
    expect(images[0]).toMatchObject({ digest, sharedBytes: 0 });
    expect(images[0]!.logicalBytes).toBeGreaterThan(40_000);
  });
});

test('directories deeper than any path are counted as du counts them', () => {
  const dir = tempDir();
  const descend = `
    const fs = require('node:fs');
    for (let i = 0; i < 600; i++) {
      fs.mkdirSync('longname');
      process.chdir('longname');
    }
    fs.writeFileSync('file', 'x');`;
  for (const side of ['a', 'b']) {
    mkdirSync(join(dir, side));
    execFileSync(process.execPath, ['-e', descend], { cwd: join(dir, side) });
  }
  const seen = du(dir);
  expect(seen).toBeGreaterThan(2 * 600 * 4096);
  expect(diskBytes(dir)).toBe(seen);
  execFileSync('rm', ['-rf', 'a', 'b'], { cwd: dir });
});
