import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  copyBetweenStores,
  exportLayout,
  findCompressions,
  importLayout,
  mediaTypes,
  readImage,
  type TransferProgress,
} from '#store';
import { diffIdsOf, digestOf, sampleImage, tempDir, tempStore } from './image-samples.js';

const bases = process.env.TSBUILD_TEST_BASES ?? join(import.meta.dirname, '../../../shared/bases');
const busybox = join(bases, 'busybox');
const hasBases = existsSync(join(busybox, 'amd64', 'index.json'));

test('a layout that we write is read back the same, here and by skopeo', async () => {
  const [from, to] = [await tempStore(), await tempStore()];
  const image = await sampleImage(from);
  const dir = await tempDir();
  const digest = await exportLayout(from.store, from.lease, image, join(dir, 'out'), { tag: 'v1' });
  expect(digest).toBe(image.digest);
  const again = await importLayout(to.store, to.lease, join(dir, 'out'));
  expect(again.digest).toBe(image.digest);
  expect(diffIdsOf(again)).toEqual(diffIdsOf(image));

  execFileSync('skopeo', ['copy', '--quiet', `oci:${dir}/out:v1`, `dir:${dir}/skopeo`]);
  const manifest = JSON.parse(readFileSync(join(dir, 'skopeo/manifest.json'), 'utf8'));
  expect(manifest.config.digest).toBe(image.configDigest);
  const facts = JSON.parse(execFileSync('skopeo', ['inspect', `oci:${dir}/out:v1`], { encoding: 'utf8' }));
  expect(facts).toMatchObject({ Architecture: 'amd64', Os: 'linux', Layers: diffIdsOf(image) });
});

for (const compression of ['gzip', 'zstd'] as const) {
  test(`a layout with ${compression} layers holds fewer bytes and the same layers`, async () => {
    const [from, to] = [await tempStore(), await tempStore()];
    const image = await sampleImage(from);
    const dir = join(await tempDir(), 'out');
    const digest = await exportLayout(from.store, from.lease, image, dir, { compression });
    expect(digest).not.toBe(image.digest);
    const again = await importLayout(to.store, to.lease, dir);
    expect(again.digest).toBe(digest);
    expect(diffIdsOf(again)).toEqual(diffIdsOf(image));
    expect(again.configDigest).toBe(image.configDigest);
    for (const [i, layer] of again.manifest.layers.entries()) {
      expect(layer.mediaType).toBe(compression === 'gzip' ? mediaTypes.ociLayerGzip : mediaTypes.ociLayerZstd);
      expect(layer.size).toBeLessThan(image.layers[i]!.size);
      expect(findCompressions(to.store, image.layers[i]!.diffId)).toContainEqual(layer);
    }
    execFileSync('skopeo', ['copy', '--quiet', `oci:${dir}`, `dir:${dir}.skopeo`]);
  });
}

test('the same layer compressed on another day has the same digest', async () => {
  const digests = [];
  for (let i = 0; i < 2; i += 1) {
    const place = await tempStore();
    const image = await sampleImage(place);
    digests.push(
      await exportLayout(place.store, place.lease, image, join(await tempDir(), 'o'), { compression: 'gzip' }),
    );
  }
  expect(digests[0]).toBe(digests[1]);
});

test('a layout collects images; a tag moves to the newer one', async () => {
  const place = await tempStore();
  const dir = join(await tempDir(), 'out');
  const [one, two, three] = [
    await sampleImage(place, '1'),
    await sampleImage(place, '2'),
    await sampleImage(place, '3'),
  ];
  await exportLayout(place.store, place.lease, one, dir, { tag: 'app:1' });
  await exportLayout(place.store, place.lease, two, dir, { tag: 'app:2' });
  await exportLayout(place.store, place.lease, three, dir, { tag: 'app:2' });
  const to = await tempStore();
  expect((await importLayout(to.store, to.lease, dir, { tag: 'app:1' })).digest).toBe(one.digest);
  expect((await importLayout(to.store, to.lease, dir, { tag: '2' })).digest).toBe(three.digest);
  await expect(importLayout(to.store, to.lease, dir)).rejects.toMatchObject({
    code: 'LAYOUT_TAG_NEEDED',
    message: expect.stringContaining('app:1 (linux/amd64), app:2 (linux/amd64)'),
  });
  await expect(importLayout(to.store, to.lease, dir, { tag: '9' })).rejects.toMatchObject({
    code: 'LAYOUT_TAG_UNKNOWN',
  });
});

test('without a tag, the platform tells images of a layout apart', async () => {
  const place = await tempStore();
  const dir = join(await tempDir(), 'out');
  const amd = await sampleImage(place, 'amd');
  const arm = await sampleImage(place, 'arm', { architecture: 'arm64', variant: 'v8' });
  await exportLayout(place.store, place.lease, amd, dir, { tag: 'amd' });
  await exportLayout(place.store, place.lease, arm, dir, { tag: 'arm' });
  const platform = { os: 'linux', architecture: 'arm64' };
  expect((await importLayout(place.store, place.lease, dir, { platform })).digest).toBe(arm.digest);
});

test('layers that the store has are not read from a layout', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  const dir = join(await tempDir(), 'out');
  await exportLayout(place.store, place.lease, image, dir);
  for (const { diffId } of image.layers) rmSync(join(dir, 'blobs/sha256', diffId.slice(7)));
  const seen: TransferProgress[] = [];
  await importLayout(place.store, place.lease, dir, { onProgress: (progress) => seen.push(progress) });
  expect(seen.map(({ state }) => state)).toEqual(['present', 'present']);
});

test('what a check throws about the config ends the import before a layer is read', async () => {
  const [from, to] = [await tempStore(), await tempStore()];
  const image = await sampleImage(from);
  const dir = join(await tempDir(), 'out');
  await exportLayout(from.store, from.lease, image, dir);
  const check = (): void => {
    throw new Error('not this one');
  };
  await expect(importLayout(to.store, to.lease, dir, { check })).rejects.toThrow('not this one');
  expect(to.store.database.layers()).toEqual([]);
});

const spoiled: [what: string, code: string, spoil: (dir: string, blobs: string, layer: string) => void][] = [
  ['lacks its marker', 'LAYOUT_NOT_FOUND', (dir) => rmSync(join(dir, 'oci-layout'))],
  [
    'is of an unknown version',
    'LAYOUT_INVALID',
    (dir) => writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"9.0"}'),
  ],
  ['has a damaged layer', 'LAYER_DIFF_ID_MISMATCH', (_, blobs, layer) => flip(join(blobs, layer))],
  ['has a layer cut short', 'LAYER_DIFF_ID_MISMATCH', (_, blobs, layer) => cut(join(blobs, layer))],
  ['lacks a layer', 'LAYOUT_BLOB_MISSING', (_, blobs, layer) => rmSync(join(blobs, layer))],
  [
    'has a pipe for a layer',
    'LAYOUT_INVALID',
    (_, blobs, layer) => {
      rmSync(join(blobs, layer));
      execFileSync('mkfifo', [join(blobs, layer)]);
    },
  ],
  [
    'has a loop of links for an index',
    'LAYOUT_UNREADABLE',
    (dir) => {
      rmSync(join(dir, 'index.json'));
      symlinkSync('index.json', join(dir, 'index.json'));
    },
  ],
  [
    'has a huge index',
    'IMAGE_DOCUMENT_INVALID',
    (dir) => writeFileSync(join(dir, 'index.json'), Buffer.alloc(5 << 20, ' ')),
  ],
  [
    'has an empty index',
    'LAYOUT_EMPTY',
    (dir) => writeFileSync(join(dir, 'index.json'), '{"schemaVersion":2,"manifests":[]}'),
  ],
  [
    'has a digest that is a path',
    'DIGEST_INVALID',
    (dir) => {
      const path = join(dir, 'index.json');
      writeFileSync(path, readFileSync(path, 'utf8').replace(/sha256:[0-9a-f]{64}/, 'sha256:../../../../etc/passwd'));
    },
  ],
];
for (const [what, code, spoil] of spoiled) {
  test(`a layout that ${what} is refused, and the store stays as it was`, async () => {
    const [from, to] = [await tempStore(), await tempStore()];
    const image = await sampleImage(from);
    const dir = join(await tempDir(), 'out');
    await exportLayout(from.store, from.lease, image, dir);
    spoil(dir, join(dir, 'blobs/sha256'), image.layers[1]!.diffId.slice(7));
    await expect(importLayout(to.store, to.lease, dir)).rejects.toMatchObject({ code: expect.stringMatching(code) });
    expect(to.store.database.images()).toEqual([]);
  });
}

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[700] = (bytes[700] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

function cut(path: string): void {
  writeFileSync(path, readFileSync(path).subarray(0, 1024));
}

test('nothing damaged leaves the store, and no half-written blob is left', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  flip(image.layers[1]!.tarPath);
  for (const compression of ['none', 'gzip'] as const) {
    const dir = join(await tempDir(), 'out');
    const exporting = exportLayout(place.store, place.lease, image, dir, { compression });
    await expect(exporting).rejects.toMatchObject({ code: expect.stringMatching(/^(BLOB|LAYER)_DAMAGED$/) });
    expect(existsSync(join(dir, 'index.json'))).toBe(false);
  }
});

test('a directory with something else in it is left alone', async () => {
  const place = await tempStore();
  const dir = await tempDir();
  mkdirSync(join(dir, 'photos'));
  const exporting = exportLayout(place.store, place.lease, await sampleImage(place), dir);
  await expect(exporting).rejects.toMatchObject({ code: 'LAYOUT_DIR_NOT_EMPTY' });
  expect(readdirSync(dir)).toEqual(['photos']);
});

test('an image goes from store to store, with only the layers that the other lacks', async () => {
  const [from, to] = [await tempStore(), await tempStore()];
  await sampleImage(to, 'other');
  const image = await sampleImage(from, 'mine');
  const states: string[] = [];
  const onProgress = ({ state }: TransferProgress): void => void states.push(state);
  const copied = await copyBetweenStores(from.store, to.store, to.lease, image.digest, { onProgress });
  expect(copied.digest).toBe(image.digest);
  expect(await readImage(to.store, image.digest)).toEqual(copied);
  expect(states.filter((state) => state !== 'receiving').sort()).toEqual(['done', 'present']);
});

test.skipIf(!hasBases)('layouts that others published are imported with their digests', async () => {
  const place = await tempStore();
  for (const name of readdirSync(busybox)) {
    const index = JSON.parse(readFileSync(join(busybox, name, 'index.json'), 'utf8'));
    const image = await importLayout(place.store, place.lease, join(busybox, name), { tag: '1.38.0-musl' });
    expect(image.digest).toBe(index.manifests[0].digest);
    const [layer] = image.layers;
    expect(digestOf(readFileSync(layer!.tarPath))).toBe(layer!.diffId);
    expect(findCompressions(place.store, layer!.diffId)).toHaveLength(1);
  }
});

test.skipIf(!hasBases)('layouts of several platforms that skopeo merged are told apart by their configs', async () => {
  const dir = join(await tempDir(), 'merged');
  const entries = [];
  for (const name of ['amd64', 'arm64v8', 'arm32v7']) {
    cpSync(join(busybox, name), dir, { recursive: true });
    const [{ platform: _, ...entry }] = JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8')).manifests;
    entries.push(entry);
  }
  writeFileSync(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: entries }));
  const place = await tempStore();
  const platform = { os: 'linux', architecture: 'arm', variant: 'v7' };
  const image = await importLayout(place.store, place.lease, dir, { platform });
  expect(image.config.architecture).toBe('arm');
  const missing = importLayout(place.store, place.lease, dir, { platform: { os: 'linux', architecture: 's390x' } });
  await expect(missing).rejects.toMatchObject({
    code: 'PLATFORM_NOT_IN_INDEX',
    message: expect.stringContaining('is linux/amd64, linux/arm64/v8, linux/arm/v7, not linux/s390x'),
  });
});

test('a compression level beyond the scale is refused', async () => {
  const place = await tempStore();
  const dir = join(await tempDir(), 'out');
  const exporting = exportLayout(place.store, place.lease, await sampleImage(place), dir, {
    compression: 'gzip',
    level: 22,
  });
  await expect(exporting).rejects.toMatchObject({ code: 'COMPRESSION_LEVEL' });
});
