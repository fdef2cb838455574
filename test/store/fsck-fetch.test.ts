// What is lost comes back from the registry that a tag names, and only as the bytes that were lost.
import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkStore, fetchFromRegistries, pullImage, pushImage, type StoredImage, tagImage } from '#store';
import { hexOf } from './fsck-samples.js';
import { sampleImage, tempStore } from './image-samples.js';
import { hasRegistry, startRegistry, startScripted } from './transport-server.js';

const environment = { HOME: '/nonexistent', PATH: process.env.PATH };

/** A store with an image that it pulled from a registry. */
async function pulledStore() {
  const registry = await startRegistry();
  const [from, to] = [await tempStore(), await tempStore()];
  const name = `${registry.name}/team/app:1`;
  await pushImage(from.store, from.lease, await sampleImage(from), name, { environment });
  const image = await pullImage(to.store, to.lease, name, { environment });
  tagImage(to.store, name, image.digest);
  return { dir: to.store.dir, image, name };
}

const tarOf = (dir: string, image: StoredImage, i: number): string =>
  join(dir, 'layers/sha256', hexOf(image.layers[i]!.diffId), 'tar');

describe.skipIf(!hasRegistry())('with docker-registry', () => {
  test('a damaged layer, a lost one, a manifest and a config are fetched again', async () => {
    const { dir, image, name } = await pulledStore();
    const bytes = readFileSync(tarOf(dir, image, 0));
    bytes[bytes.length >> 1]! ^= 4;
    writeFileSync(tarOf(dir, image, 0), bytes);
    rmSync(join(dir, 'layers/sha256', hexOf(image.layers[1]!.diffId)), { recursive: true });
    truncateSync(join(dir, 'blobs/sha256', hexOf(image.digest)), 5);
    rmSync(join(dir, 'blobs/sha256', hexOf(image.configDigest)));

    const offline = await checkStore(dir, { readData: true });
    expect(offline.findings.map(({ severity }) => severity)).toEqual(['problem', 'problem', 'problem', 'problem']);
    const fetch = fetchFromRegistries({ environment });
    const { findings, ok, quarantine } = await checkStore(dir, { readData: true, repair: true, fetch });
    expect(findings.map(({ kind, outcome }) => [kind, outcome?.result])).toEqual([
      ['layer', 'repaired'],
      ['layer', 'repaired'],
      ['blob', 'repaired'],
      ['blob', 'repaired'],
    ]);
    expect(ok).toBe(true);
    // What was damaged is still there to look at.
    expect(quarantine.map(({ kind }) => kind).sort()).toEqual(['blob', 'layer']);
    expect(quarantine[0]!.neededBy).toEqual([name]);
    expect(await checkStore(dir, { readData: true })).toMatchObject({ ok: true, findings: [] });
  });

  test('what was put aside without a registry at hand comes back when there is one', async () => {
    const { dir, image } = await pulledStore();
    truncateSync(tarOf(dir, image, 0), 1024);
    expect((await checkStore(dir, { repair: true })).ok).toBe(false);
    expect(existsSync(tarOf(dir, image, 0))).toBe(false);
    const { findings, ok } = await checkStore(dir, { repair: true, fetch: fetchFromRegistries({ environment }) });
    expect(findings).toMatchObject([{ kind: 'tag', code: 'INCOMPLETE', outcome: { result: 'repaired' } }]);
    expect(ok).toBe(true);
  });
});

test.skipIf(!hasRegistry())('what was damaged here is not pushed: the error says what it is', async () => {
  const registry = await startRegistry();
  const { store, lease } = await tempStore();
  const image = await sampleImage({ store, lease });
  const { tarPath, diffId } = image.layers[0]!;
  const bytes = readFileSync(tarPath);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(tarPath, bytes);
  const name = `${registry.name}/team/app:1`;
  for (const [compression, code] of [
    ['none', 'BLOB_DAMAGED'],
    ['gzip', 'LAYER_DAMAGED'],
  ] as const) {
    await expect(pushImage(store, lease, image, name, { environment, compression })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(`${diffId} has the digest sha256:`),
      hint: expect.stringContaining('tsbuild fsck --read-data --repair'),
    });
  }
});

test('a registry that sends other bytes mends nothing, and one that is gone is asked once', async () => {
  const lies = await startScripted((request, response) => {
    const isHead = request.method === 'HEAD';
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': isHead ? 10240 : 5 });
    response.end(isHead ? undefined : 'lies!');
  });
  const { store, lease } = await tempStore();
  const image = await sampleImage({ store, lease });
  tagImage(store, `${lies.name}/app:1`, image.digest);
  tagImage(store, 'localhost:1/app:1', image.digest);
  for (const { tarPath } of image.layers) truncateSync(tarPath, 512);
  rmSync(join(store.dir, 'blobs/sha256', hexOf(image.configDigest)));
  const fetch = fetchFromRegistries({ environment, retry: { attempts: 1 } });
  const { findings, ok } = await checkStore(store.dir, { repair: true, fetch });
  expect(ok).toBe(false);
  expect(findings.map(({ outcome }) => outcome?.result)).toEqual(findings.map(() => 'failed'));
  expect(findings.length).toBeGreaterThanOrEqual(3);
  expect(existsSync(join(store.dir, 'blobs/sha256', hexOf(image.configDigest)))).toBe(false);
});
