import assert from 'node:assert';
import { createReadStream, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type RawPath, rawPath } from '#native';
import { type ImageConfig, importLayer, type Layer } from '#store';
import {
  filesPlatform,
  foreignExecutables,
  layerRecord,
  recordLayer,
  requireHonestPlatform,
} from '../../src/platform/index.js';
import { basesDir } from './bases.js';
import { elfFixture } from './elf-fixture.js';
import { openTestStore, type TestStore } from './roots.js';

const amd64 = elfFixture({ machine: 62 });
const arm64 = elfFixture({ machine: 183 });
const i386 = elfFixture({ machine: 3, bits: 32 });
const glibc = elfFixture({ machine: 62, type: 3, interpreter: '/lib64/ld-linux-x86-64.so.2' });
const library = elfFixture({ machine: 62, type: 3 });

let roots: TestStore;
beforeAll(async () => {
  roots = await openTestStore();
});
afterAll(() => roots.close());

function heads(files: Readonly<Record<string, Buffer | string>>): Map<RawPath, Buffer> {
  return new Map(Object.entries(files).map(([path, bytes]) => [rawPath(path), Buffer.from(bytes)]));
}

describe('the record of a layer', () => {
  test('programs, libraries and interpreters are counted by machine', () => {
    const record = layerRecord(
      heads({ 'bin/a': glibc, 'bin/b': amd64, 'lib/c.so': library, 'bin/d': arm64, 'bin/e': '#!/bin/sh -e\n' }),
    );
    assert.deepEqual(record, {
      version: 1,
      machines: {
        'x86-64': {
          os: 'linux',
          architecture: 'amd64',
          programs: 2,
          libraries: 1,
          paths: ['bin/a', 'bin/b', 'lib/c.so'],
          isaLevel: 0,
          kernel: null,
        },
        arm64: {
          os: 'linux',
          architecture: 'arm64',
          programs: 1,
          libraries: 0,
          paths: ['bin/d'],
          isaLevel: 0,
          kernel: null,
        },
      },
      interpreters: { '/lib64/ld-linux-x86-64.so.2': 1, '#!/bin/sh': 1 },
    });
  });

  test('it is derived from the tar, kept beside it, and derived again where it is torn', async () => {
    const files = {
      'bin/a': glibc,
      'bin/s': '#!/usr/bin/env python3\n',
      'etc/motd': 'no program, but long enough for one',
    };
    const layer = await roots.layer(files);
    const kept = join(dirname(layer.tarPath), 'machines.json');
    const record = recordLayer(layer);
    assert.deepEqual(record, layerRecord(heads(files)));
    assert.deepEqual(JSON.parse(readFileSync(kept, 'utf8')), record);
    for (const damaged of ['', '{"version":1,', '{"version":2}']) {
      writeFileSync(kept, damaged);
      assert.deepEqual(recordLayer(layer), record);
    }
    rmSync(kept);
    assert.deepEqual(recordLayer(layer, heads(files)), record);
    assert(existsSync(kept));
  });

  test.skipIf(basesDir === undefined)('Alpine for arm64 is recorded as such (skips without base systems)', async () => {
    const tar = createReadStream(`${basesDir}/alpine/alpine-minirootfs-3.20.3-aarch64.tar.gz`);
    const record = recordLayer(await importLayer(roots.store, roots.lease, tar));
    assert.deepEqual(Object.keys(record.machines), ['arm64']);
    assert(record.interpreters['/lib/ld-musl-aarch64.so.1']! > 5);
    assert.equal(filesPlatform([record])?.architecture, 'arm64');
  });
});

describe('executables that do not belong', () => {
  const platform = { os: 'linux', architecture: 'amd64' };
  test('programs and libraries for another machine are reported by path, in order', () => {
    const found = foreignExecutables(
      heads({ 'b/x': arm64, 'a.so': elfFixture({ machine: 40, bits: 32, type: 3 }), 'bin/ok': amd64, s: '#!/x\n' }),
      platform,
    );
    assert.deepEqual(found, [
      { path: 'a.so', machine: 'arm (old ABI)', program: false },
      { path: 'b/x', machine: 'arm64', program: true },
    ]);
  });

  test('compatible programs, firmware, object files and code for other processors of the machine are no strangers', () => {
    const files = {
      'bin/i386': i386,
      'lib/firmware/x.elf': arm64,
      'usr/lib/firmware/y': arm64,
      'a.o': elfFixture({ machine: 183, type: 1 }),
      'k.o': elfFixture({ machine: 247 }),
      'gpu.co': elfFixture({ machine: 224, type: 3 }),
    };
    assert.deepEqual(foreignExecutables(heads(files), platform), []);
  });

  test("another system's programs are strangers on the same machine", () => {
    assert.equal(foreignExecutables(heads({ x: elfFixture({ machine: 62, osabi: 9 }) }), platform).length, 1);
  });
});

describe('a config that contradicts the files', () => {
  const image = (
    layers: readonly Layer[],
    architecture: string,
  ): { config: ImageConfig; layers: readonly Layer[] } => ({
    config: { os: 'linux', architecture, rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) } },
    layers,
  });

  test('is refused with the file that tells', async () => {
    const layer = await roots.layer({ 'lib/x': arm64, 'bin/busybox': arm64 });
    assert.throws(() => requireHonestPlatform(image([layer], 'amd64'), 'lying:1'), {
      code: 'ARCH_CONFIG_LIES',
      message: 'lying:1 says that it is linux/amd64, but its programs are for linux/arm64 (such as /bin/busybox)',
    });
    assert.doesNotThrow(() => requireHonestPlatform(image([layer], 'aarch64'), 'honest:1'));
  });

  test('is none where most programs fit, or all are of a compatible ABI, or there are none', async () => {
    const mixed = await roots.layer({ 'bin/a': amd64, 'bin/b': amd64, 'opt/arm': arm64 });
    const compat = await roots.layer({ 'bin/a': i386 });
    const data = await roots.layer({ 'etc/motd': 'hello' });
    for (const layer of [mixed, compat, data]) {
      assert.doesNotThrow(() => requireHonestPlatform(image([layer], 'amd64'), 'b'));
    }
  });

  test('is judged over all layers', async () => {
    const base = await roots.layer({ 'bin/a': amd64, 'bin/b': amd64 });
    const top = await roots.layer({ 'app/c': arm64 });
    assert.doesNotThrow(() => requireHonestPlatform(image([base, top], 'amd64'), 'b'));
    assert.throws(() => requireHonestPlatform(image([base, top], 'arm64'), 'b'), { code: 'ARCH_CONFIG_LIES' });
  });
});
