// Layers that become far more than they are: stopped at a stated limit, with nothing left, in bounded memory.
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { importLayer } from '#store';
import { isRoot, openTemp, tempDir, whenDone, workerProgram } from './content-samples.js';
import { archiveEnd, sized } from './raw-tar.js';

const compressors: readonly (readonly [string, string])[] = [
  ['gzip', 'gzip -1c'],
  ['zstd', 'zstd -q -1 -c'],
  ['zstd with a window of 128 MiB', 'zstd -q -3 --long=27 -c'],
  ['xz', 'xz -0c'],
  ['bzip2', 'bzip2 -1c'],
];

/** `megabytes` of zeros as they come from the compressor, so that no bomb has to be stored. */
function zeros(megabytes: number, command: string): AsyncIterable<Uint8Array> {
  const child = spawn('sh', ['-c', `head -c ${megabytes}M /dev/zero | ${command}`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  whenDone(() => void child.kill('SIGKILL'));
  return child.stdout;
}

for (const [name, command] of compressors) {
  test(`zeros that ${name} made small are stopped once they are suspect`, async () => {
    const { store, lease } = await openTemp();
    const attempt = importLayer(store, lease, zeros(300, command), { suspectBytes: 64 << 20 });
    await expect(attempt).rejects.toMatchObject({
      code: 'LAYER_TOO_LARGE',
      message: expect.stringMatching(/^\d+ compressed bytes of a layer have become \d+, and more would come$/),
      hint: expect.stringContaining('TSBUILD_LAYER_MAX='),
    });
    expect(readdirSync(lease.dir)).toEqual([]);
    expect(readdirSync(join(store.dir, 'layers/sha256'))).toEqual([]);
  });
}

test('a layer may become what the user of the store allows, and not a byte more', async () => {
  const { store, lease } = await openTemp(undefined, { maxLayerBytes: 80 << 20 });
  await expect(importLayer(store, lease, zeros(81, 'zstd -qc'))).rejects.toMatchObject({
    code: 'LAYER_TOO_LARGE',
    message: 'a layer unpacks to more than the 83886080 bytes that are allowed',
  });
  expect((await importLayer(store, lease, zeros(80, 'zstd -qc'))).size).toBe(80 << 20);
});

test.skipIf(!isRoot)('a suspect stream takes a quarter of what is free, an honest one all of it', async () => {
  const mount = tempDir();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'none', mount]);
  whenDone(() => void execFileSync('umount', ['-l', mount]));
  const { store, lease } = await openTemp(join(mount, 'store'));
  const attempt = importLayer(store, lease, zeros(40, 'zstd -qc'));
  await expect(attempt).rejects.toMatchObject({ code: 'LAYER_TOO_LARGE' });
  expect((await importLayer(store, lease, zeros(40, 'cat'))).size).toBe(40 << 20);
  await expect(importLayer(store, lease, zeros(70, 'cat'))).rejects.toMatchObject({ code: 'STORE_FULL' });
  expect(readdirSync(lease.dir)).toEqual([]);
});

const megabytes = process.env.TSBUILD_NIGHTLY ? 10_240 : 512; // in eights
const streams: readonly (readonly [string, string])[] = [
  ['nothing', 'cat'],
  ['gzip', 'gzip -1c'],
  ['zstd', 'zstd -q -1 -c'],
];

for (const [name, command] of streams) {
  test(`a layer of ${megabytes} MB, compressed by ${name}, is imported in 250 MB of memory`, {
    timeout: 3_600_000,
  }, async () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'header'), sized('large', '0', megabytes << 20));
    writeFileSync(join(dir, 'end'), archiveEnd);
    // Some of it random, so that it grows no more than a layer may.
    const pieces = Math.ceil(megabytes / 8);
    const content = `for i in $(seq ${pieces}); do head -c 64K /dev/urandom; head -c 8128K /dev/zero; done`;
    const stream = `(cat header; ${content}; cat end) | ${command} | exec "$@"`;
    const program = await workerProgram();
    const worker = [process.execPath, program, join(dir, 'store'), 'import', '/dev/stdin'];
    const output = execFileSync('bash', ['-c', stream, 'bash', ...worker], {
      cwd: dir,
      encoding: 'utf8',
      env: { ...process.env, TSBUILD_NATIVE_DIR: join(import.meta.dirname, '../../native/build') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    expect(output).toMatch(/^sha256:/m);
    const peak = Number(/^peak (\d+)$/m.exec(output)?.[1]);
    console.log(`${megabytes} MB by ${name}: peak ${(peak / 1e6).toFixed(0)} MB`);
    expect(peak).toBeLessThan(250e6);
  });
}
