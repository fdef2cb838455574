import assert from 'node:assert';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type ImageConfig, putImage, resolveTag, type StoredImage, tagImage } from '#store';
import { BuildError, renderError } from '../../src/base/index.js';
import { parsePlatform } from '../../src/platform/index.js';
import { type BaseOptions, resolveBase } from '../../src/source/index.js';
import { basesDir } from '../platform/bases.js';
import { openTestStore, type TestStore } from '../platform/roots.js';

const amd64 = parsePlatform('amd64');
const arm64 = parsePlatform('arm64');

let stores: TestStore;
let dir: string;
beforeAll(async () => {
  stores = await openTestStore();
  dir = mkdtempSync(join(tmpdir(), 'tsbuild-resolve-'));
});
afterAll(async () => {
  await stores.close();
  rmSync(dir, { recursive: true, force: true });
});

function resolve(ref: string, options: Partial<BaseOptions> = {}): Promise<StoredImage> {
  return resolveBase(stores.store, stores.lease, ref, { platform: amd64, pull: 'never', ...options });
}

async function makeImage(architecture: string, text: string): Promise<StoredImage> {
  const layer = await stores.layer({ 'etc/motd': text });
  const config: ImageConfig = { os: 'linux', architecture, rootfs: { type: 'layers', diff_ids: [layer.diffId] } };
  return putImage(stores.store, stores.lease, { config });
}

describe('a base by its name', () => {
  test('is the image that the store has under it, however the name is spelled', async () => {
    const image = await makeImage('amd64', 'one');
    tagImage(stores.store, 'local/app:1', image.digest);
    for (const pull of ['never', 'missing'] as const) {
      assert.equal((await resolve('local/app:1', { pull })).digest, image.digest);
      assert.equal((await resolve('docker.io/local/app:1', { pull })).digest, image.digest);
    }
  });

  test('made here for another platform is handed out to be refused, without asking a registry', async () => {
    const image = await makeImage('arm64', 'two');
    tagImage(stores.store, 'local/arm:1', image.digest);
    assert.equal((await resolve('local/arm:1', { pull: 'missing' })).config.architecture, 'arm64');
  });

  test('that is nowhere is refused with its place in the Buildfile', async () => {
    const file = { name: 'Buildfile', text: 'FROM local/none:1\n' };
    const at = { file, start: 5, end: 17 };
    await assert.rejects(resolve('local/none:1', { at }), (error) => {
      assert(error instanceof BuildError);
      assert.equal(error.code, 'BASE_NOT_FOUND');
      assert.match(renderError(error), /local\/none:1 is not in the store, and pulling is off\n --> Buildfile:1:6/);
      return true;
    });
  });

  test('that no registry answers for says what was tried', async () => {
    const port = await freePort();
    await assert.rejects(resolve(`localhost:${port}/none:1`, { pull: 'missing' }), {
      code: 'BASE_NOT_FOUND',
      message: new RegExp(`^localhost:${port}/none:1 is not in the store, and could not be pulled: `),
    });
  });

  test('that is no name is refused with its place', async () => {
    const file = { name: 'Buildfile', text: 'FROM UPPER:1\n' };
    await assert.rejects(resolve('UPPER:1', { at: { file, start: 5, end: 12 } }), (error) => {
      assert(error instanceof BuildError);
      assert.equal(error.code, 'REFERENCE_INVALID');
      assert.equal(error.at?.start, 5);
      return true;
    });
  });
});

describe('a named context', () => {
  test('stands for a directory with a root file system', async () => {
    mkdirSync(join(dir, 'ctx/bin'), { recursive: true });
    cpSync('/bin/sh', join(dir, 'ctx/bin/sh'), { dereference: true });
    const image = await resolve('base', { contexts: new Map([['base', join(dir, 'ctx')]]) });
    assert.equal(image.layers.length, 1);
  });

  test('stands for another image', async () => {
    const image = await makeImage('amd64', 'three');
    tagImage(stores.store, 'local/real:1', image.digest);
    const contexts = new Map([['alpine', 'docker-image://local/real:1']]);
    assert.equal((await resolve('alpine', { contexts })).digest, image.digest);
  });
});

test('host:// goes to the programs of this machine', async () => {
  const image = await resolve('host://sh');
  assert.equal(image.config.history?.[0]?.created_by, 'FROM host://sh');
});

describe.skipIf(basesDir === undefined)('layouts and archives (skip without base systems)', () => {
  const layout = `${basesDir}/busybox/amd64`;

  test('a layout is imported', async () => {
    const image = await resolve(`oci-layout://${layout}`);
    assert.equal(image.config.architecture, 'amd64');
    assert.equal((await resolve(`oci-layout://${layout}@${image.digest}`)).digest, image.digest);
  });

  test('a layout that has another digest, or no such tag, is refused', async () => {
    await assert.rejects(resolve(`oci-layout://${layout}@sha256:${'0'.repeat(64)}`), {
      name: 'BuildError',
      code: 'BASE_NOT_FOUND',
    });
    await assert.rejects(resolve(`oci-layout://${layout}:nosuchtag`), {
      name: 'BuildError',
      code: 'LAYOUT_TAG_UNKNOWN',
    });
    await assert.rejects(resolve('oci-layout://nowhere'), { name: 'BuildError', code: 'LAYOUT_NOT_FOUND' });
  });

  test('an archive is loaded, by name if it has several images', async () => {
    const archive = join(dir, 'bb.tar');
    execFileSync('tar', ['-cf', archive, '-C', layout, '.']);
    assert.equal((await resolve(`oci-archive:${archive}`)).config.architecture, 'amd64');
    assert.equal((await resolve(`oci-archive://${archive}`)).config.architecture, 'amd64');
    await assert.rejects(resolve(`oci-archive:${archive}:nosuch`), { code: 'BASE_NOT_FOUND' });
  });
});

const hasRegistry =
  basesDir !== undefined &&
  ['docker-registry', 'skopeo'].every((name) => spawnSync(name, ['--version']).error === undefined);

describe.skipIf(!hasRegistry)('a base from a registry (skips without docker-registry, skopeo and base systems)', () => {
  let port: number;
  let registry: ReturnType<typeof spawn>;
  beforeAll(async () => {
    port = await freePort();
    const config = join(dir, 'registry.yml');
    writeFileSync(
      config,
      `version: 0.1\nstorage: {filesystem: {rootdirectory: ${dir}/registry}}\nhttp: {addr: 'localhost:${port}'}\n`,
    );
    registry = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
    const both = twoPlatforms(join(dir, 'both'));
    for (let i = 0; i < 50; i++) {
      const args = ['copy', '--all', '--dest-tls-verify=false', `oci:${both}`, `docker://localhost:${port}/busybox:1`];
      if (spawnSync('skopeo', args).status === 0) return;
      await new Promise((done) => setTimeout(done, 100));
    }
    throw new Error('the registry does not take images');
  });
  afterAll(() => {
    registry.kill();
  });

  test('one name serves two platforms, each pulled once', async () => {
    const ref = `localhost:${port}/busybox:1`;
    const first = await resolve(ref, { pull: 'missing' });
    assert.equal(first.config.architecture, 'amd64');
    assert.equal(resolveTag(stores.store, ref), first.digest);
    const other = await resolve(ref, { pull: 'missing', platform: arm64 });
    assert.equal(other.config.architecture, 'arm64');
    registry.kill('SIGSTOP'); // whoever asks it now waits for ever
    try {
      assert.equal((await resolve(ref, { pull: 'missing' })).digest, first.digest);
      assert.equal((await resolve(ref, { pull: 'missing', platform: arm64 })).digest, other.digest);
    } finally {
      registry.kill('SIGCONT');
    }
    assert.equal((await resolve(ref, { pull: 'always' })).digest, first.digest);
  });

  test('a tag that it does not have is BASE_NOT_FOUND', async () => {
    await assert.rejects(resolve(`localhost:${port}/busybox:none`, { pull: 'missing' }), { code: 'BASE_NOT_FOUND' });
  });
});

/** One layout whose index names the busybox images of two architectures. */
function twoPlatforms(target: string): string {
  const manifests = ['amd64', 'arm64v8'].flatMap((name) => {
    const source = `${basesDir}/busybox/${name}`;
    cpSync(`${source}/blobs`, join(target, 'blobs'), { recursive: true });
    cpSync(`${source}/oci-layout`, join(target, 'oci-layout'));
    const index = JSON.parse(readFileSync(`${source}/index.json`, 'utf8')) as { manifests: object[] };
    return index.manifests.map((entry) => ({
      ...entry,
      platform: { os: 'linux', architecture: name.slice(0, 5) },
      annotations: {},
    }));
  });
  const mediaType = 'application/vnd.oci.image.index.v1+json';
  const list = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
  const digest = execFileSync('sha256sum', { input: list }).toString().slice(0, 64);
  writeFileSync(join(target, 'blobs/sha256', digest), list);
  const entry = { mediaType, digest: `sha256:${digest}`, size: list.length };
  writeFileSync(join(target, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  return target;
}

function freePort(): Promise<number> {
  return new Promise((resolvePort) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolvePort(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
