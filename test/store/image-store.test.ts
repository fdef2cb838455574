import { truncateSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  blobPath,
  type Descriptor,
  findImage,
  type ImageConfig,
  imageHistory,
  listImages,
  listTags,
  mediaTypes,
  type Platform,
  parseDiffId,
  parseDigest,
  putBlob,
  putImage,
  putManifest,
  readConfigBytes,
  readImage,
  readManifestBytes,
  removeImage,
  resolveTag,
  tagImage,
  untag,
} from '#store';
import { addLayer, configOf, digestOf, type Place, sampleImage, tempStore } from './image-samples.js';

test('an image comes back as it was stored, its layers uncompressed in the manifest', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  const again = await readImage(place.store, image.digest);
  expect(again).toEqual(image);
  expect(image.manifest.layers).toEqual(
    image.layers.map(({ diffId, size }) => ({ mediaType: mediaTypes.ociLayer, digest: diffId, size })),
  );
  expect(digestOf(await readConfigBytes(place.store, image))).toBe(image.configDigest);
});

test('equal images have one digest, whatever the order of their keys', async () => {
  const place = await tempStore();
  const layer = await addLayer(place, { a: 'a' });
  const { config, ...rest } = configOf([layer]);
  const one = await putImage(place.store, place.lease, { config: { ...rest, config: config! } });
  const two = await putImage(place.store, place.lease, {
    config: { config: { ...config, Labels: { a: '1', b: '2' } }, ...rest },
    annotations: {},
  });
  expect(two.digest).toBe(one.digest);
  const annotated = await putImage(place.store, place.lease, { config: configOf([layer]), annotations: { x: 'y' } });
  expect(annotated.digest).not.toBe(one.digest);
  expect(annotated.configDigest).toBe(one.configDigest);
});

test('the bytes of a foreign manifest and config are kept', async () => {
  const place = await tempStore();
  const layer = await addLayer(place, { a: 'a' });
  const config = Buffer.from(`${JSON.stringify(configOf([layer]), null, 3)}\n`);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.dockerManifest,
      config: { mediaType: mediaTypes.dockerConfig, digest: digestOf(config), size: config.length },
      layers: [{ mediaType: mediaTypes.dockerLayerGzip, digest: digestOf('compressed'), size: 10 }],
    }),
  );
  const image = await putManifest(place.store, place.lease, manifest, config);
  expect(image.digest).toBe(digestOf(manifest));
  expect(image.layers[0]?.diffId).toBe(layer.diffId);
  expect(await readManifestBytes(place.store, image)).toEqual(manifest);
  expect(await readConfigBytes(place.store, image)).toEqual(config);
});

const missing = parseDiffId(`sha256:${'ab'.repeat(32)}`);
const badConfigs: [what: string, code: string, change: (config: ImageConfig) => unknown][] = [
  [
    'a layer that is not there',
    'LAYER_MISSING',
    (c) => ({ ...c, rootfs: { type: 'layers', diff_ids: [missing] }, history: [] }),
  ],
  ['more history than layers', 'IMAGE_HISTORY_MISMATCH', (c) => ({ ...c, history: [{}, {}] })],
  ['no architecture', 'IMAGE_CONFIG_INVALID', (c) => ({ ...c, architecture: undefined })],
  ['another kind of rootfs', 'IMAGE_CONFIG_INVALID', (c) => ({ ...c, rootfs: { ...c.rootfs, type: 'disk' } })],
  ['an Env that is no list', 'IMAGE_DOCUMENT_INVALID', (c) => ({ ...c, config: { Env: 'A=1' } })],
  [
    'a diffID that is a path',
    'DIGEST_INVALID',
    (c) => ({ ...c, rootfs: { type: 'layers', diff_ids: ['sha256:../../x'] } }),
  ],
];
for (const [what, code, change] of badConfigs) {
  test(`a config with ${what} is not stored`, async () => {
    const place = await tempStore();
    const config = change(configOf([await addLayer(place, { a: 'a' })])) as ImageConfig;
    await expect(putImage(place.store, place.lease, { config })).rejects.toMatchObject({ code });
    expect(listImages(place.store)).toEqual([]);
  });
}

test('history that tells of fewer layers leaves the oldest without', async () => {
  const place = await tempStore();
  const image = await sampleImage(place, 'h', {
    history: [{ created_by: 'ENV', empty_layer: true }, { created_by: 'top' }],
  });
  expect(imageHistory(image).map(({ entry, layer }) => [entry.created_by, layer?.diffId])).toEqual([
    ['top', image.layers[1]?.diffId],
    ['ENV', undefined],
    [undefined, image.layers[0]?.diffId],
  ]);
});

async function putDocument(place: Place, value: unknown): Promise<Descriptor> {
  const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
  const { digest, size } = await putBlob(place.store, place.lease, bytes);
  return { mediaType: mediaTypes.ociManifest, digest, size };
}

const layer = { mediaType: mediaTypes.ociLayerGzip, digest: digestOf('l'), size: 1 };
const config = { mediaType: mediaTypes.ociConfig, digest: digestOf('c'), size: 1 };
const badManifests: [what: string, code: string, document: unknown][] = [
  ['both layers and manifests', 'IMAGE_AMBIGUOUS', { schemaVersion: 2, config, layers: [layer], manifests: [] }],
  [
    'the media type of an index',
    'IMAGE_DOCUMENT_INVALID',
    { schemaVersion: 2, mediaType: mediaTypes.ociIndex, config, layers: [] },
  ],
  ['schema 1', 'IMAGE_SCHEMA1', { schemaVersion: 1, fsLayers: [], history: [] }],
  ['a key twice', 'IMAGE_DOCUMENT_INVALID', '{"schemaVersion":2,"manifests":[],"manifests":[]}'],
  ['a key twice, once escaped', 'IMAGE_DOCUMENT_INVALID', '{"schemaVersion":2,"manifests":[],"\\u006danifests":[]}'],
  ['__proto__', 'IMAGE_DOCUMENT_INVALID', '{"schemaVersion":2,"manifests":[],"__proto__":{}}'],
  ['a lone surrogate', 'IMAGE_DOCUMENT_INVALID', '{"schemaVersion":2,"manifests":[],"annotations":{"a":"\\ud800"}}'],
  [
    'a size beyond 2^53',
    'IMAGE_DOCUMENT_INVALID',
    `{"schemaVersion":2,"config":${JSON.stringify(config)},"layers":[{"mediaType":"x","digest":"${layer.digest}","size":9007199254740993}]}`,
  ],
  ['a negative size', 'IMAGE_DOCUMENT_INVALID', { schemaVersion: 2, config, layers: [{ ...layer, size: -1 }] }],
  [
    'a digest that is a path',
    'DIGEST_INVALID',
    { schemaVersion: 2, config, layers: [{ ...layer, digest: 'sha256:../../etc/passwd' }] },
  ],
  [
    'an upper-case digest',
    'DIGEST_INVALID',
    { schemaVersion: 2, config, layers: [{ ...layer, digest: layer.digest.toUpperCase() }] },
  ],
  [
    'a digest of 512 bits',
    'DIGEST_INVALID',
    { schemaVersion: 2, config: { ...config, digest: `sha256:${'0'.repeat(128)}` }, layers: [] },
  ],
  [
    'deep nesting',
    'IMAGE_DOCUMENT_INVALID',
    `{"schemaVersion":2,"manifests":[],"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
  ],
  ['no JSON', 'IMAGE_DOCUMENT_INVALID', '{"schemaVersion":2,'],
  [
    '2000 entries',
    'IMAGE_DOCUMENT_INVALID',
    { schemaVersion: 2, manifests: Array.from({ length: 2000 }, () => layer) },
  ],
];
for (const [what, code, document] of badManifests) {
  test(`a manifest with ${what} is refused`, async () => {
    const place = await tempStore();
    const { digest } = await putDocument(place, document);
    await expect(readImage(place.store, digest)).rejects.toMatchObject({ code });
  });
}

test('a config with another number of layers than the manifest is refused', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  const { digest } = await putDocument(place, { ...image.manifest, layers: image.manifest.layers.slice(1) });
  await expect(readImage(place.store, digest)).rejects.toMatchObject({ code: 'IMAGE_LAYERS_MISMATCH' });
});

test('a document that says it has another size is refused', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  const { digest } = await putDocument(place, { ...image.manifest, config: { ...image.manifest.config, size: 3 } });
  await expect(readImage(place.store, digest)).rejects.toMatchObject({ code: 'BLOB_SIZE_MISMATCH' });
});

async function indexFor(place: Place, platforms: readonly (Platform | null)[]): Promise<Descriptor> {
  const layers = [await addLayer(place, { a: 'a' })];
  const manifests: Descriptor[] = [];
  for (const platform of platforms) {
    const { os, architecture, variant } = platform ?? { os: 'linux', architecture: 'riscv64' };
    const image = await putImage(place.store, place.lease, {
      config: configOf(layers, { os, architecture, ...(variant && { variant }) }),
    });
    const size = (await readManifestBytes(place.store, image)).length;
    manifests.push({ mediaType: mediaTypes.ociManifest, digest: image.digest, size, ...(platform && { platform }) });
  }
  manifests.push({ ...manifests[0]!, platform: { os: 'unknown', architecture: 'unknown' } });
  return { ...(await putDocument(place, { schemaVersion: 2, manifests })), mediaType: mediaTypes.ociIndex };
}

const linux = (architecture: string, variant?: string): Platform => ({
  os: 'linux',
  architecture,
  ...(variant && { variant }),
});
const selections: [offered: (Platform | null)[], wanted: Platform, got: string | null][] = [
  [[linux('amd64'), linux('arm64', 'v8')], linux('arm64'), 'arm64/v8'],
  [[linux('amd64'), linux('arm64')], linux('arm64', 'v8'), 'arm64/'],
  [[linux('x86_64'), linux('aarch64', '8')], linux('arm64', 'v8.0'), 'aarch64/8'],
  [[linux('arm', 'v5'), linux('arm', 'v6')], linux('arm', 'v7'), 'arm/v6'],
  [[linux('arm', 'v6'), linux('arm', 'v7')], linux('arm', 'v6'), 'arm/v6'],
  [[linux('arm', 'v7')], linux('arm', 'v6'), null],
  [[linux('amd64', 'v3'), linux('amd64')], linux('amd64'), 'amd64/'],
  [[linux('amd64', 'v2'), linux('amd64')], linux('amd64', 'v3'), 'amd64/v2'],
  [[linux('amd64', 'v3')], linux('amd64'), null],
  [[linux('386')], linux('amd64'), null],
  [[{ os: 'windows', architecture: 'amd64' }], linux('amd64'), null],
  [[linux('amd64'), null], linux('riscv64'), 'riscv64/'],
  [[null], linux('s390x'), null],
];
for (const [offered, wanted, got] of selections) {
  const offers = offered.map((each) =>
    each === null ? 'unnamed' : `${each.os}/${each.architecture}/${each.variant ?? ''}`,
  );
  test(`of ${offers.join(' and ')}, ${wanted.architecture}/${wanted.variant ?? ''} takes ${got ?? 'none'}`, async () => {
    const place = await tempStore();
    const { digest } = await indexFor(place, offered);
    const reading = readImage(place.store, digest, { platform: wanted });
    if (got === null) {
      await expect(reading).rejects.toMatchObject({ code: 'PLATFORM_NOT_IN_INDEX' });
    } else {
      const { architecture, variant } = (await reading).config;
      expect(`${architecture}/${variant ?? ''}`).toBe(got);
    }
  });
}

test('a platform that an index lacks is refused, listing what there is and what to do', async () => {
  const place = await tempStore();
  const { digest } = await indexFor(place, [linux('amd64'), linux('arm', 'v7')]);
  await expect(readImage(place.store, digest, { platform: linux('arm64') })).rejects.toMatchObject({
    message: `${digest} is linux/amd64, linux/arm/v7, not linux/arm64`,
    hint: expect.stringContaining('--platform linux/amd64'),
  });
  await expect(readImage(place.store, digest)).rejects.toMatchObject({ code: 'PLATFORM_NEEDED' });
});

test('an index that nests for ever, or lists itself into the thousands, is refused soon', async () => {
  const place = await tempStore();
  let deep = await indexFor(place, [linux('amd64')]);
  for (let i = 0; i < 100; i += 1) {
    deep = { ...(await putDocument(place, { schemaVersion: 2, manifests: [deep] })), mediaType: mediaTypes.ociIndex };
  }
  await expect(readImage(place.store, deep.digest)).rejects.toMatchObject({ code: 'IMAGE_INDEX_TOO_DEEP' });

  let wide = await indexFor(place, [linux('amd64')]);
  for (let i = 0; i < 3; i += 1) {
    const manifests = Array.from({ length: 500 }, () => wide);
    wide = { ...(await putDocument(place, { schemaVersion: 2, manifests })), mediaType: mediaTypes.ociIndex };
  }
  const reading = readImage(place.store, wide.digest, { platform: linux('arm64') });
  await expect(reading).rejects.toMatchObject({ code: 'IMAGE_INDEX_TOO_DEEP' });
});

test('a damaged config is found out before it is used', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  const path = blobPath(place.store, image.configDigest);
  const bytes = await readConfigBytes(place.store, image);
  bytes[50] = (bytes[50] ?? 0) ^ 1;
  truncateSync(path);
  writeFileSync(path, bytes);
  await expect(readImage(place.store, image.digest)).rejects.toMatchObject({ code: 'BLOB_DAMAGED' });
});

test('names point at images, move, and go', async () => {
  const place = await tempStore();
  const [one, two] = [await sampleImage(place, '1'), await sampleImage(place, '2')];
  tagImage(place.store, 'app:1', one.digest);
  tagImage(place.store, 'docker.io/library/app:1', two.digest);
  tagImage(place.store, 'localhost:5000/app', two.digest);
  expect(resolveTag(place.store, 'app:1')).toBe(two.digest);
  expect(resolveTag(place.store, `app@${one.digest}`)).toBe(one.digest);
  expect(resolveTag(place.store, 'app:2')).toBeNull();
  expect(listTags(place.store).map((tag) => tag.reference)).toEqual([
    'docker.io/library/app:1',
    'localhost:5000/app:latest',
  ]);
  expect(untag(place.store, 'app:1')).toBe(true);
  expect(untag(place.store, 'app:1')).toBe(false);
  expect(() => tagImage(place.store, 'app:1', parseDigest(`sha256:${'0'.repeat(64)}`))).toThrow(
    expect.objectContaining({ code: 'IMAGE_MISSING' }),
  );
  expect(() => tagImage(place.store, `app@${one.digest}`, one.digest)).toThrow(
    expect.objectContaining({ code: 'TAG_NEEDED' }),
  );
});

test('removing a name keeps the image while it has others; the last one takes it away', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  tagImage(place.store, 'app:1', image.digest);
  tagImage(place.store, 'app:2', image.digest);
  expect(listImages(place.store)).toMatchObject([{ digest: image.digest, names: ['app:1', 'app:2'] }]);
  expect(() => removeImage(place.store, image.digest.slice(7, 19))).toThrow(
    expect.objectContaining({ code: 'IMAGE_HAS_TAGS' }),
  );
  expect(removeImage(place.store, 'app:1')).toEqual({ untagged: ['docker.io/library/app:1'], deleted: null });
  expect(removeImage(place.store, image.digest.slice(7, 19))).toEqual({
    untagged: ['docker.io/library/app:2'],
    deleted: image.digest,
  });
  expect(() => removeImage(place.store, 'app:2')).toThrow(expect.objectContaining({ code: 'IMAGE_NOT_FOUND' }));
  expect(listImages(place.store)).toEqual([]);
});

test('an image is found by its name and by the start of its digest or of its config', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  tagImage(place.store, 'app', image.digest);
  expect(findImage(place.store, 'app')).toEqual({ digest: image.digest, name: 'docker.io/library/app:latest' });
  expect(findImage(place.store, image.digest)).toEqual({ digest: image.digest, name: null });
  expect(findImage(place.store, image.configDigest.slice(0, 20)).digest).toBe(image.digest);
  expect(() => findImage(place.store, 'ffff00')).toThrow(expect.objectContaining({ code: 'IMAGE_NOT_FOUND' }));
});

test('an id that is the start of two images is refused', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  const twin = parseDigest(`${image.digest.slice(0, 20)}${'0'.repeat(51)}`);
  place.store.database.putImage({ digest: twin, configDigest: image.configDigest, layers: [] });
  expect(() => findImage(place.store, image.digest.slice(7, 15))).toThrow(
    expect.objectContaining({ code: 'IMAGE_AMBIGUOUS_ID' }),
  );
});

test('an image whose config is gone is said to be incomplete', async () => {
  const place = await tempStore();
  const { digest } = await putDocument(place, { schemaVersion: 2, config, layers: [] });
  await expect(readImage(place.store, digest)).rejects.toMatchObject({ code: 'IMAGE_INCOMPLETE' });
});
