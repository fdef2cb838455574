import assert from 'node:assert';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { scanTar } from '#store';
import { importRootfs, type RootfsOptions } from '../../src/source/index.js';
import { basesDir } from '../platform/bases.js';
import { elfFixture } from '../platform/elf-fixture.js';
import { openTestStore, type TestStore } from '../platform/roots.js';

const arm64 = elfFixture({ machine: 183 });
const amd64 = elfFixture({ machine: 62 });

let stores: TestStore;
let dir: string;
beforeAll(async () => {
  stores = await openTestStore();
  dir = mkdtempSync(join(tmpdir(), 'tsbuild-rootfs-'));
});
afterAll(async () => {
  await stores.close();
  rmSync(dir, { recursive: true, force: true });
});

function tree(name: string, files: Readonly<Record<string, Buffer | string>>): string {
  const root = join(dir, name);
  for (const [path, bytes] of Object.entries(files)) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), bytes, { mode: 0o755 });
  }
  return root;
}

function importHere(source: string, options?: RootfsOptions) {
  return importRootfs(stores.store, stores.lease, source, options);
}

describe('a root file system', () => {
  test('from a directory has its files, and the platform of its programs', async () => {
    const root = tree('plain', { 'bin/busybox': arm64, 'etc/motd': 'hello\n' });
    symlinkSync('busybox', join(root, 'bin/sh'));
    const image = await importHere(root, { config: { Cmd: ['/bin/ash'] } });
    assert.deepEqual([image.config.os, image.config.architecture], ['linux', 'arm64']);
    assert.deepEqual(image.config.config?.Cmd, ['/bin/ash']);
    const entries = scanTar(image.layers[0]!.tarPath);
    assert.deepEqual(
      entries.map(({ path }) => path).filter((path) => path !== ''),
      ['bin', 'bin/busybox', 'bin/sh', 'etc', 'etc/motd'],
    );
    assert(entries.every(({ uid }) => uid === 0));
  });

  test('from a tar, plain or compressed, is the same layer', async () => {
    const root = tree('tarred', { 'bin/a': amd64 });
    execFileSync('tar', ['-cf', join(dir, 'a.tar'), '-C', root, '.']);
    execFileSync('gzip', ['-k', join(dir, 'a.tar')]);
    const [plain, packed] = [await importHere(join(dir, 'a.tar')), await importHere(join(dir, 'a.tar.gz'))];
    assert.equal(plain.digest, packed.digest);
    assert.equal(plain.config.architecture, 'amd64');
  });

  test('without programs needs a platform', async () => {
    const root = tree('data', { 'etc/motd': 'hello\n' });
    await assert.rejects(importHere(root), { code: 'ROOTFS_PLATFORM_UNKNOWN', hint: /--platform/ });
    const image = await importHere(root, { platform: { os: 'linux', architecture: 'riscv64' } });
    assert.equal(image.config.architecture, 'riscv64');
  });

  test('of two platforms needs a word', async () => {
    const root = tree('mixed', { 'bin/a': amd64, 'bin/b': arm64 });
    await assert.rejects(importHere(root), { code: 'ROOTFS_PLATFORM_MIXED', message: /50 % are for linux\/amd64/ });
  });

  test('is not taken for another platform than its programs are for', async () => {
    const root = tree('lie', { 'bin/a': arm64 });
    await assert.rejects(importHere(root, { platform: { os: 'linux', architecture: 'amd64' } }), {
      code: 'ARCH_CONFIG_LIES',
    });
  });

  test('that is not there is named', async () => {
    await assert.rejects(importHere(join(dir, 'missing')), { code: 'ROOTFS_NOT_FOUND' });
  });

  test.skipIf(basesDir === undefined)(
    'of Alpine for arm64 is an image for arm64 (skips without base systems)',
    async () => {
      const image = await importHere(`${basesDir}/alpine/alpine-minirootfs-3.20.3-aarch64.tar.gz`);
      assert.equal(image.config.architecture, 'arm64');
    },
  );
});
