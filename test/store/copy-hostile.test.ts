// What a copy does not look into, and what it does not let through.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  copyImage,
  type Descriptor,
  type Digest,
  dirDestination,
  type ImageSource,
  layoutDestination,
  mediaTypes,
  openDirSource,
  openLayoutSource,
  openRegistrySource,
  parseReference,
} from '#store';
import {
  addImage,
  type CopyPlace,
  environment,
  foreignGzip,
  gzipImage,
  kinds,
  LayoutMaker,
  makePlace,
  oneRegistry,
  readWhole,
  type SampleLayout,
  tag,
} from './copy-samples.js';
import { randomText, tempDir } from './image-samples.js';
import { hasRegistry, startScripted } from './transport-server.js';

const usable = kinds.filter((kind) => kind !== 'docker' || hasRegistry());
const mediaType = mediaTypes.ociManifest;

async function maker(): Promise<LayoutMaker> {
  return new LayoutMaker(join(await tempDir(), 'layout'));
}

/** A manifest over blobs that are what they are called, and nothing else. */
async function garbageImage(configType: string, layerType: string): Promise<SampleLayout> {
  const layout = await maker();
  const layers = ['one', 'two'].map((seed) => layout.blob(layerType, Buffer.from(randomText(150_000, seed))));
  const config = layout.blob(configType, Buffer.from('no JSON at all'));
  return layout.name(layout.json(mediaType, { schemaVersion: 2, mediaType, config, layers }));
}

describe('what nobody could unpack is copied all the same', () => {
  for (const [what, configType, layerType] of [
    ['an image whose layers are no tars', mediaTypes.ociConfig, mediaTypes.ociLayerGzip],
    ['a chart', 'application/vnd.cncf.helm.config.v1+json', 'application/vnd.cncf.helm.chart.content.v1.tar+gzip'],
  ] as const) {
    test(what, async () => {
      const registry = oneRegistry();
      const { dir, digest } = await garbageImage(configType, layerType);
      let at = await openLayoutSource(dir, tag);
      for (const kind of usable.filter((each) => each !== 'docker-archive' && each !== 'store')) {
        const place = await makePlace(kind, registry);
        await copyImage(at, place.destination());
        at = await place.open();
        expect([kind, await readWhole(at)]).toEqual([kind, digest]);
      }
      for (const kind of ['docker-archive', 'store'] as const) {
        const place = await makePlace(kind, registry);
        await expect(copyImage(at, place.destination())).rejects.toMatchObject({
          code: expect.stringMatching(/^(COPY_NO_IMAGE|IMAGE_LAYER_TYPE|IMAGE_DOCUMENT_INVALID)$/),
        });
      }
    });
  }

  test('an index that lists blobs, as caches do', async () => {
    const layout = await maker();
    const blobs = ['a', 'b'].map((seed) => layout.blob(mediaTypes.ociLayerGzip, Buffer.from(randomText(1000, seed))));
    const type = mediaTypes.ociIndex;
    const { dir, digest } = layout.name(
      layout.json(type, { schemaVersion: 2, mediaType: type, manifests: [addSample(layout, 'amd64'), ...blobs] }),
    );
    expect(await readWhole(await openLayoutSource(dir, tag))).toBe(digest);
  });
});

function addSample(layout: LayoutMaker, architecture: string): Descriptor {
  return addImage(layout, architecture, foreignGzip, mediaTypes.ociLayerGzip);
}

describe('bytes that are not what they are called are let through nowhere', () => {
  for (const lie of ['digest', 'size', 'missing'] as const) {
    for (const kind of usable) {
      test(`a lie of the ${lie} on the way to ${kind}`, async () => {
        const { dir } = await gzipImage();
        spoilLayer(dir, lie);
        const place = await makePlace(kind, oneRegistry());
        const copying = copyImage(await openLayoutSource(dir, tag), place.destination());
        const code = { digest: 'BLOB_DIGEST_MISMATCH', size: 'BLOB_SIZE_MISMATCH', missing: 'LAYOUT_BLOB_MISSING' }[
          lie
        ];
        await expect(copying).rejects.toMatchObject({
          code: expect.toSatisfy((found) => found === code || found === 'LAYER_COMPRESSION_DAMAGED'),
        });
        await expect(opened(place)).rejects.toMatchObject({ code: expect.stringMatching(notThere) });
        const left = place.address?.startsWith('docker:') === false ? leftovers(place.address) : [];
        expect(left).toEqual([]);
      });
    }
  }
});

for (const kind of ['oci', 'oci-archive', 'dir'] as const) {
  test(`a blob that is large enough to be digested beside its writing goes to ${kind} as it is, or not at all`, async () => {
    const layout = await maker();
    const layer = layout.blob(mediaTypes.ociLayerGzip, Buffer.from(randomText(9_000_001, 'large')));
    const config = layout.blob(mediaTypes.ociConfig, Buffer.from('{}'));
    const manifest = { schemaVersion: 2, mediaType, config, layers: [layer] };
    const { dir, digest } = layout.name(layout.json(mediaType, manifest));
    const good = await makePlace(kind, oneRegistry());
    await copyImage(await openLayoutSource(dir, tag), good.destination());
    expect(await readWhole(await good.open())).toBe(digest);

    spoilLayer(dir, 'digest');
    const bad = await makePlace(kind, oneRegistry());
    const copying = copyImage(await openLayoutSource(dir, tag), bad.destination());
    await expect(copying).rejects.toMatchObject({
      code: 'BLOB_DIGEST_MISMATCH',
      message: expect.stringContaining(layer.digest),
    });
    await expect(opened(bad)).rejects.toMatchObject({ code: expect.stringMatching(notThere) });
    expect(leftovers(bad.address ?? '')).toEqual([]);
  });
}

const notThere =
  /^(LAYOUT_NOT_FOUND|LAYOUT_INVALID|ARCHIVE_NOT_FOUND|DIR_IMAGE_INVALID|REGISTRY_NOT_FOUND|IMAGE_NOT_FOUND)$/;

async function opened(place: CopyPlace): Promise<Digest> {
  return (await (await place.open()).root()).descriptor.digest;
}

/** Files that are named after no digest and no part of the format. */
function leftovers(address: string): string[] {
  const [, path = ''] = /^[a-z-]+:(\/[^:]+)/.exec(address) ?? [];
  const dir = path.endsWith('.tar') ? join(path, '..') : path;
  if (!existsSync(dir)) return [];
  return (readdirSync(dir, { recursive: true }) as string[]).filter((name) => /[0-9a-f]{8}-[0-9a-f]{4}-/.test(name));
}

/** The first layer's bytes, changed in place. */
function spoilLayer(dir: string, lie: 'digest' | 'size' | 'missing'): void {
  const blobs = join(dir, 'blobs/sha256');
  const index = JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8')) as { manifests: { digest: string }[] };
  const manifest = JSON.parse(readFileSync(join(blobs, index.manifests[0]!.digest.slice(7)), 'utf8'));
  const path = join(blobs, manifest.layers[0].digest.slice(7));
  const bytes = readFileSync(path);
  if (lie === 'missing') rmSync(path);
  else if (lie === 'size') writeFileSync(path, bytes.subarray(0, -1));
  else {
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 20) ^ 1, bytes.length - 20);
    writeFileSync(path, bytes);
  }
}

describe('documents', () => {
  test('of an index that is nested too deep', async () => {
    const layout = await maker();
    const type = mediaTypes.ociIndex;
    let root = addSample(layout, 'amd64');
    for (let i = 0; i < 6; i++) root = layout.json(type, { schemaVersion: 2, mediaType: type, manifests: [root] });
    const { dir } = layout.name(root);
    await expect(readWhole(await openLayoutSource(dir, tag))).rejects.toMatchObject({ code: 'IMAGE_INDEX_TOO_DEEP' });
  });

  test('of an index of 10,000 platforms, and of one that unfolds into as many', async () => {
    const layout = await maker();
    const type = mediaTypes.ociIndex;
    const image = addSample(layout, 'amd64');
    const many = layout.json(type, {
      schemaVersion: 2,
      manifests: Array.from({ length: 10_000 }, () => image),
    });
    await expect(readWhole(await openLayoutSource(layout.name(many).dir, tag))).rejects.toMatchObject({
      code: 'IMAGE_DOCUMENT_INVALID',
      message: expect.stringContaining('lists more than 1000 images'),
    });
    const indexes = Array.from({ length: 3 }, (_, i) =>
      layout.json(type, {
        schemaVersion: 2,
        manifests: Array.from({ length: 900 }, (_, j) => ({ ...image, digest: fakeDigest(i * 900 + j) })),
      }),
    );
    const unfolding = layout.json(type, { schemaVersion: 2, mediaType: type, manifests: indexes });
    await expect(readWhole(await openLayoutSource(layout.name(unfolding).dir, tag))).rejects.toMatchObject({
      code: expect.stringMatching(/^(IMAGE_INDEX_TOO_DEEP|LAYOUT_BLOB_MISSING)$/),
    });
  });

  test('with a key twice, and with layers and manifests in one', async () => {
    const layout = await maker();
    const twice = layout.blob(mediaType, Buffer.from('{"schemaVersion":2,"schemaVersion":2,"manifests":[]}'));
    await expect(readWhole(await openLayoutSource(layout.name(twice).dir, tag))).rejects.toMatchObject({
      code: 'IMAGE_DOCUMENT_INVALID',
      message: expect.stringContaining('has the key "schemaVersion" twice'),
    });
    const both = layout.json(mediaType, { schemaVersion: 2, mediaType, config: {}, layers: [], manifests: [] });
    await expect(readWhole(await openLayoutSource(layout.name(both).dir, tag))).rejects.toMatchObject({
      code: 'IMAGE_AMBIGUOUS',
    });
  });

  test('whose digests are paths', async () => {
    const layout = await maker();
    const config = { mediaType: mediaTypes.ociConfig, digest: 'sha256:../../../../etc/passwd', size: 3 };
    const bad = layout.json(mediaType, { schemaVersion: 2, mediaType, config, layers: [] });
    await expect(readWhole(await openLayoutSource(layout.name(bad).dir, tag))).rejects.toMatchObject({
      code: 'DIGEST_INVALID',
    });
  });
});

function fakeDigest(n: number): string {
  return `sha256:${n.toString(16).padStart(64, '0')}`;
}

describe('directories', () => {
  test('are written into, never through a link to elsewhere', async () => {
    const { dir } = await gzipImage();
    const [target, outside] = [join(await tempDir(), 'target'), await tempDir()];
    mkdirSync(join(target, 'blobs'), { recursive: true });
    writeFileSync(join(target, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    symlinkSync(outside, join(target, 'blobs/sha256'));
    await expect(copyImage(await openLayoutSource(dir, tag), layoutDestination(target, tag))).rejects.toMatchObject({
      code: 'LAYOUT_INVALID',
      message: expect.stringContaining('is a link to elsewhere'),
    });
    expect(readdirSync(outside)).toEqual([]);

    const flat = join(await tempDir(), 'dir');
    await copyImage(await openLayoutSource(dir, tag), dirDestination(flat));
    const manifest = JSON.parse(readFileSync(join(flat, 'manifest.json'), 'utf8'));
    const victim = join(outside, 'victim');
    writeFileSync(victim, 'mine');
    for (const name of ['manifest.json', manifest.layers[0].digest.slice(7)]) {
      rmSync(join(flat, name));
      symlinkSync(victim, join(flat, name));
    }
    await copyImage(await openLayoutSource(dir, tag), dirDestination(flat));
    expect(readFileSync(victim, 'utf8')).toBe('mine');
    expect(await readWhole(await openDirSource(flat))).toMatch(/^sha256:/);
  });

  test('lose what only the image before named, and nothing else', async () => {
    const [first, second] = [await gzipImage(), await garbageImage(mediaTypes.ociConfig, mediaTypes.ociLayerGzip)];
    const flat = join(await tempDir(), 'dir');
    await copyImage(await openLayoutSource(first.dir, tag), dirDestination(flat));
    writeFileSync(join(flat, 'notes.txt'), 'mine');
    await copyImage(await openLayoutSource(second.dir, tag), dirDestination(flat));
    expect(
      readdirSync(flat)
        .filter((name) => !/^[0-9a-f]{64}$/.test(name))
        .sort(),
    ).toEqual(['manifest.json', 'notes.txt', 'version']);
    expect(readdirSync(flat)).toHaveLength(3 + 3);
  });

  test('are read where their blobs are links, as build systems make them, and their bytes are right', async () => {
    const { dir, digest } = await gzipImage();
    const linked = join(await tempDir(), 'linked');
    mkdirSync(join(linked, 'blobs/sha256'), { recursive: true });
    for (const name of ['oci-layout', 'index.json']) writeFileSync(join(linked, name), readFileSync(join(dir, name)));
    for (const name of readdirSync(join(dir, 'blobs/sha256'))) {
      symlinkSync(join(dir, 'blobs/sha256', name), join(linked, 'blobs/sha256', name));
    }
    expect(await readWhole(await openLayoutSource(linked, tag))).toBe(digest);
  });
});

test('a registry that gives other bytes than it announced is found out, and nothing is visible', async () => {
  const layout = await gzipImage();
  const blobs = join(layout.dir, 'blobs/sha256');
  const { name } = await startScripted((request, response) => {
    const [, kind, digest = ''] = /\/(manifests|blobs)\/(.*)$/.exec(request.url ?? '') ?? [];
    if (kind === undefined) return response.end('{}');
    const bytes = readFileSync(join(blobs, (digest === 'it' ? layout.digest : digest).slice(7)));
    if (kind === 'blobs' && bytes.length > 1000) bytes[100] = bytes[100]! ^ 1;
    response.setHeader('content-type', kind === 'manifests' ? mediaType : 'application/octet-stream');
    response.setHeader('content-length', bytes.length);
    response.end(bytes);
  });
  const target = join(await tempDir(), 'target');
  const source = await openRegistrySource(parseReference(`${name}/app:it`), { environment });
  await expect(copyImage(source, layoutDestination(target, tag))).rejects.toMatchObject({
    code: 'BLOB_DIGEST_MISMATCH',
  });
  expect(existsSync(join(target, 'index.json'))).toBe(false);
  expect(leftovers(`oci:${target}`)).toEqual([]);
});

test('what a killed copy left is gone on with: whole blobs are not fetched again', async () => {
  const { dir, digest } = await gzipImage();
  const target = join(await tempDir(), 'target');
  const source = await openLayoutSource(dir, tag);
  let calls = 0;
  const failing: ImageSource = {
    ...source,
    openBlob(blob) {
      calls += 1;
      if (calls === 3) throw new Error('killed');
      return source.openBlob(blob);
    },
  };
  await expect(copyImage(failing, layoutDestination(target, tag))).rejects.toThrow('killed');
  expect(existsSync(join(target, 'index.json'))).toBe(false);
  const states: string[] = [];
  await copyImage(source, layoutDestination(target, tag), { onProgress: ({ state }) => states.push(state) });
  expect(states).toContain('present');
  expect(await readWhole(await openLayoutSource(target, tag))).toBe(digest);
});

test('an interrupted copy ends at the next bytes, and leaves no unfinished file', async () => {
  const { dir } = await gzipImage();
  const source = await openLayoutSource(dir, tag);
  for (const kind of usable.filter((each) => each !== 'docker')) {
    const controller = new AbortController();
    const interrupting: ImageSource = {
      ...source,
      async *openBlob(blob, start) {
        for await (const chunk of source.openBlob(blob, start)) {
          yield chunk.subarray(0, 10);
          controller.abort(new Error('interrupted'));
          yield chunk.subarray(10);
        }
      },
    };
    const place = await makePlace(kind, oneRegistry());
    const copying = copyImage(interrupting, place.destination(), { signal: controller.signal });
    await expect(copying).rejects.toThrow('interrupted');
    await expect(opened(place)).rejects.toMatchObject({ code: expect.stringMatching(notThere) });
    expect(place.address === null ? [] : leftovers(place.address)).toEqual([]);
  }
});
