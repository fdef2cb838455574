import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  importLayout,
  mediaTypes,
  pullImage,
  pushImage,
  putImage,
  readManifestBytes,
  type TransferProgress,
  tagImage,
} from '#store';
import { certificate } from './certificates.js';
import { addLayer, configOf, diffIdsOf, randomText, sampleImage, tempDir, tempStore } from './image-samples.js';
import { hasRegistry, startRegistry } from './transport-server.js';

const environment = { HOME: '/nonexistent', PATH: process.env.PATH };

function uploads(requests: readonly string[]): string[] {
  return requests.filter((line) => /^(POST|PUT|PATCH) .*\/blobs\//.test(line));
}

describe.skipIf(!hasRegistry())('against docker-registry', () => {
  test('what one store pushes another pulls; a second push sends no blob', async () => {
    const registry = await startRegistry();
    const [from, to] = [await tempStore(), await tempStore()];
    const image = await sampleImage(from);
    const name = `${registry.name}/team/app:1`;
    const {
      manifest: {
        descriptor: { digest },
      },
    } = await pushImage(from.store, from.lease, image, name, { environment });
    const pulled = await pullImage(to.store, to.lease, name, { environment });
    expect(pulled.digest).toBe(digest);
    expect(pulled.configDigest).toBe(image.configDigest);
    expect(diffIdsOf(pulled)).toEqual(diffIdsOf(image));

    const before = uploads(registry.requests()).length;
    expect(before).toBe(6);
    expect(
      (await pushImage(from.store, from.lease, image, `${registry.name}/team/app:2`, { environment })).manifest
        .descriptor.digest,
    ).toBe(digest);
    // The other store has never compressed these layers; it knows from the pull what the registry has.
    expect(
      (await pushImage(to.store, to.lease, pulled, `${registry.name}/team/app:3`, { environment })).manifest.descriptor
        .digest,
    ).toBe(digest);
    expect(uploads(registry.requests()).length).toBe(before);
  });

  test('a third store that builds the same image sends nothing: compression is deterministic', async () => {
    const registry = await startRegistry();
    const [one, two] = [await tempStore(), await tempStore()];
    const name = `${registry.name}/app:1`;
    await pushImage(one.store, one.lease, await sampleImage(one), name, { environment });
    const before = uploads(registry.requests()).length;
    await pushImage(two.store, two.lease, await sampleImage(two), name, { environment });
    expect(uploads(registry.requests()).length).toBe(before);
  });

  test('only the layers that the puller lacks are fetched', async () => {
    const registry = await startRegistry();
    const [from, to] = [await tempStore(), await tempStore()];
    await pushImage(from.store, from.lease, await sampleImage(from, 'new'), `${registry.name}/app:1`, { environment });
    await sampleImage(to, 'other');
    const states: string[] = [];
    const onProgress = ({ state }: TransferProgress): void => void states.push(state);
    await pullImage(to.store, to.lease, `${registry.name}/app:1`, { environment, onProgress });
    expect(states.filter((state) => state !== 'receiving').sort()).toEqual(['done', 'present']);
    expect(registry.requests().filter((line) => line.startsWith('GET') && line.includes('/blobs/'))).toHaveLength(2);
  });

  test('layers are mounted from a repository that is known to have them', async () => {
    const registry = await startRegistry();
    const place = await tempStore();
    const image = await sampleImage(place);
    const first = `${registry.name}/one/app:1`;
    tagImage(place.store, first, image.digest);
    await pushImage(place.store, place.lease, image, first, { environment });
    const states: string[] = [];
    const onProgress = ({ state }: TransferProgress): void => void states.push(state);
    await pushImage(place.store, place.lease, image, `${registry.name}/two/app:1`, { environment, onProgress });
    expect(states).toEqual(['mounted', 'mounted']);
  });

  for (const compression of ['gzip', 'zstd', 'none'] as const) {
    test(`a push with ${compression} gives layers of that kind, whatever is known already`, async () => {
      const registry = await startRegistry();
      const [from, to] = [await tempStore(), await tempStore()];
      const image = await sampleImage(from);
      await pushImage(from.store, from.lease, image, `${registry.name}/app:gzip`, { environment });
      const {
        manifest: {
          descriptor: { digest },
        },
      } = await pushImage(from.store, from.lease, image, `${registry.name}/app:1`, {
        environment,
        compression,
      });
      const pulled = await pullImage(to.store, to.lease, `${registry.name}/app@${digest}`, { environment });
      const types = { gzip: mediaTypes.ociLayerGzip, zstd: mediaTypes.ociLayerZstd, none: mediaTypes.ociLayer };
      expect(pulled.manifest.layers.map((layer) => layer.mediaType)).toEqual([types[compression], types[compression]]);
      expect(diffIdsOf(pulled)).toEqual(diffIdsOf(image));
      if (compression === 'none') expect(digest).toBe(image.digest);
    });
  }

  test('large blobs go in pieces', async () => {
    const registry = await startRegistry();
    const [from, to] = [await tempStore(), await tempStore()];
    const layer = await addLayer(from, { big: randomText(3_000_000, 'big') });
    const image = await putImage(from.store, from.lease, { config: configOf([layer]) });
    const sent: number[] = [];
    const onProgress = ({ state, doneBytes }: TransferProgress): void => {
      if (state === 'sending') sent.push(doneBytes);
    };
    const name = `${registry.name}/app:1`;
    await pushImage(from.store, from.lease, image, name, { environment, chunkBytes: 500_000, onProgress });
    expect(sent.length).toBeGreaterThan(4);
    expect(registry.requests().filter((line) => line.startsWith('PATCH')).length).toBeGreaterThan(4);
    expect(diffIdsOf(await pullImage(to.store, to.lease, name, { environment }))).toEqual([layer.diffId]);
  });

  test('skopeo reads what we push, and we pull what skopeo pushes, as OCI and as Docker manifests', async () => {
    const registry = await startRegistry();
    const [from, to] = [await tempStore(), await tempStore()];
    const image = await sampleImage(from);
    await pushImage(from.store, from.lease, image, `${registry.name}/app:1`, { environment });
    const plain = ['--src-tls-verify=false', '--dest-tls-verify=false'];
    const dir = await tempDir();
    for (const format of ['oci', 'v2s2']) {
      const target = `${registry.name}/copy:${format}`;
      execFileSync('skopeo', [
        'copy',
        '-q',
        ...plain,
        '-f',
        format,
        `docker://${registry.name}/app:1`,
        `docker://${target}`,
      ]);
      const pulled = await pullImage(to.store, to.lease, target, { environment });
      expect(diffIdsOf(pulled)).toEqual(diffIdsOf(image));
      expect(pulled.manifest.mediaType).toBe(format === 'oci' ? mediaTypes.ociManifest : mediaTypes.dockerManifest);
      // Pushed on as it came, a foreign manifest keeps its digest.
      const again = await pushImage(to.store, to.lease, pulled, `${registry.name}/copy:again-${format}`, {
        environment,
      });
      expect(again.manifest.descriptor.digest).toBe(pulled.digest);
    }
    execFileSync('skopeo', ['copy', '-q', ...plain, `docker://${registry.name}/app:1`, `oci:${dir}/out:1`]);
    expect(diffIdsOf(await importLayout(to.store, to.lease, join(dir, 'out')))).toEqual(diffIdsOf(image));
  });

  test('a pulled image goes to a registry that knows nothing of it', async () => {
    const [one, two] = [await startRegistry(), await startRegistry()];
    const [from, via, to] = [await tempStore(), await tempStore(), await tempStore()];
    const image = await sampleImage(from);
    await pushImage(from.store, from.lease, image, `${one.name}/app:1`, { environment });
    const pulled = await pullImage(via.store, via.lease, `${one.name}/app:1`, { environment });
    await pushImage(via.store, via.lease, pulled, `${two.name}/app:1`, { environment });
    const again = await pullImage(to.store, to.lease, `${two.name}/app:1`, { environment });
    expect(diffIdsOf(again)).toEqual(diffIdsOf(image));
  });

  test('of an index the platform that was asked for is pulled', async () => {
    const registry = await startRegistry();
    const { store, lease } = await tempStore();
    const dir = await tempDir();
    const platforms = [];
    for (const architecture of ['amd64', 'arm64']) {
      const image = await sampleImage({ store, lease }, architecture, { architecture });
      const {
        manifest: {
          descriptor: { digest },
        },
      } = await pushImage(store, lease, image, `${registry.name}/app:${architecture}`, {
        environment,
        compression: 'none',
      });
      const size = (await readManifestBytes(store, image)).length;
      platforms.push({ mediaType: mediaTypes.ociManifest, digest, size, platform: { os: 'linux', architecture } });
    }
    const index = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: platforms });
    writeFileSync(join(dir, 'index.json'), index);
    const response = await fetch(`http://${registry.name}/v2/app/manifests/both`, {
      method: 'PUT',
      headers: { 'content-type': mediaTypes.ociIndex },
      body: index,
    });
    expect(response.status).toBe(201);
    const to = await tempStore();
    const pull = (architecture: string) =>
      pullImage(to.store, to.lease, `${registry.name}/app:both`, {
        environment,
        platform: { os: 'linux', architecture },
      });
    expect((await pull('arm64')).digest).toBe(platforms[1]!.digest);
    await expect(pull('s390x')).rejects.toMatchObject({
      code: 'PLATFORM_NOT_IN_INDEX',
      message: `${registry.name}/app:both is linux/amd64, linux/arm64, not linux/s390x`,
    });
  });

  test('a name that is not there is said not to be there', async () => {
    const registry = await startRegistry();
    const { store, lease } = await tempStore();
    await expect(pullImage(store, lease, `${registry.name}/none:1`, { environment })).rejects.toMatchObject({
      code: 'REGISTRY_NOT_FOUND',
      message: `${registry.name} has no ${registry.name}/none:1`,
    });
  });

  const auth = Buffer.from('user:secret').toString('base64');
  test("a password is taken from the auth file, docker's config or a helper", async () => {
    const registry = await startRegistry({ auth: true });
    const place = await tempStore();
    const image = await sampleImage(place);
    const dir = await tempDir();
    mkdirSync(join(dir, '.docker'));
    mkdirSync(join(dir, 'bin'));
    writeFileSync(join(dir, 'auth.json'), JSON.stringify({ auths: { [registry.name]: { auth } } }));
    writeFileSync(
      join(dir, 'wrong.json'),
      JSON.stringify({ auths: { [registry.name]: { auth: 'dXNlcjpvdGhlcg==' } } }),
    );
    writeFileSync(join(dir, 'helper.json'), JSON.stringify({ credHelpers: { [registry.name]: 'test' } }));
    writeFileSync(
      join(dir, '.docker/config.json'),
      JSON.stringify({ auths: { [`https://${registry.name}/v2/`]: { auth } } }),
    );
    writeFileSync(
      join(dir, 'bin/docker-credential-test'),
      `#!/bin/sh\nread server\n[ "$1 $server" = "get ${registry.name}" ] && echo '{"Username":"user","Secret":"secret"}'\n`,
    );
    chmodSync(join(dir, 'bin/docker-credential-test'), 0o755);
    const name = `${registry.name}/app:1`;
    const push = (env: Record<string, string>) =>
      pushImage(place.store, place.lease, image, name, {
        environment: { PATH: process.env.PATH, HOME: '/nonexistent', ...env },
      });

    await expect(push({})).rejects.toMatchObject({
      code: 'REGISTRY_UNAUTHORIZED',
      hint: expect.stringContaining(`tsbuild login ${registry.name}`),
    });
    await expect(push({ REGISTRY_AUTH_FILE: join(dir, 'wrong.json') })).rejects.toMatchObject({
      code: 'REGISTRY_UNAUTHORIZED',
    });
    await push({ REGISTRY_AUTH_FILE: join(dir, 'auth.json') });
    await push({ HOME: dir });
    await push({ REGISTRY_AUTH_FILE: join(dir, 'helper.json'), PATH: `${dir}/bin:${process.env.PATH}` });
    await expect(push({ REGISTRY_AUTH_FILE: join(dir, 'helper.json'), PATH: '/nonexistent' })).rejects.toMatchObject({
      code: 'CREDENTIALS_INVALID',
    });
    writeFileSync(join(dir, 'auth.json'), '{ no json');
    await expect(push({ REGISTRY_AUTH_FILE: join(dir, 'auth.json') })).rejects.toMatchObject({
      code: 'CREDENTIALS_INVALID',
    });
  });

  test("TLS with an authority of one's own works by TSBUILD_EXTRA_CA_CERTS, and only by it", async () => {
    const dir = await tempDir();
    const { cert, key } = certificate(dir, 'self', { names: 'IP:127.0.0.1' });
    const registry = await startRegistry({ tls: { cert, key } });
    const place = await tempStore();
    const image = await sampleImage(place);
    const name = `${registry.name}/app:1`;
    const push = (env: Record<string, string>, plainHttp: boolean | undefined) =>
      pushImage(place.store, place.lease, image, name, { environment: { ...environment, ...env }, plainHttp });
    await push({ TSBUILD_EXTRA_CA_CERTS: cert }, false);
    await expect(push({}, false)).rejects.toMatchObject({
      code: 'REGISTRY_TLS',
      hint: expect.stringContaining('TSBUILD_EXTRA_CA_CERTS'),
    });
    await push({ TSBUILD_EXTRA_CA_CERTS: cert }, undefined);
    await expect(push({}, true)).rejects.toMatchObject({ hint: expect.stringContaining('speaks TLS') });
    await expect(push({ TSBUILD_EXTRA_CA_CERTS: '/none' }, false)).rejects.toMatchObject({
      code: 'CA_FILE_UNREADABLE',
    });
  });

  test('a registry without TLS is refused where TLS is asked for', async () => {
    const registry = await startRegistry();
    const place = await tempStore();
    const pulling = pullImage(place.store, place.lease, `${registry.name}/app:1`, { environment, plainHttp: false });
    await expect(pulling).rejects.toMatchObject({
      code: 'REGISTRY_TLS',
      hint: expect.stringContaining('--plain-http'),
    });
  });
});

test('a registry that is not there is named', async () => {
  const { store, lease } = await tempStore();
  await expect(pullImage(store, lease, '127.0.0.1:1/app:1', { environment })).rejects.toMatchObject({
    code: 'REGISTRY_UNREACHABLE',
    message: expect.stringContaining('127.0.0.1:1'),
  });
});
