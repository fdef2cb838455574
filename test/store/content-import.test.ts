import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { findCompressions, findLayer, importLayer, openLease, openStore, parseDiffId, scanTar } from '#store';
import { byZlib } from '../../store/content/decompress.js';
import {
  bytesOf,
  isRoot,
  openTemp,
  outcome,
  sampleTar,
  startWorker,
  tempDir,
  whenDone,
  workerProgram,
} from './content-samples.js';

const sha256 = (bytes: Uint8Array): `sha256:${string}` => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

const compressions: readonly (readonly [name: string, command: readonly string[]])[] = [
  ['nothing', ['cat']],
  ['gzip', ['gzip', '-c']],
  ['gzip in two members', ['sh', '-c', 'head -c 5000 "$0" | gzip -c; tail -c +5001 "$0" | gzip -c']],
  ['zstd', ['zstd', '-qc']],
  ['zstd in two frames', ['sh', '-c', 'head -c 5000 "$0" | zstd -qc; tail -c +5001 "$0" | zstd -qc']],
  ['zstd with a long window', ['zstd', '-qc', '--long=27']],
  ['bzip2', ['bzip2', '-c']],
  ['xz', ['xz', '-c']],
];

for (const [name, [program = '', ...args]] of compressions) {
  test(`a layer compressed by ${name} is kept as its exact tar`, async () => {
    const tar = sampleTar(name, 3);
    const bytes = execFileSync(program, [...args, tar.path], { maxBuffer: 1 << 28 });
    const path = join(tempDir(), 'layer');
    writeFileSync(path, bytes);
    const { store, lease } = await openTemp();
    const blob = { digest: sha256(bytes), size: bytes.length, mediaType: 'application/test' };
    const layer = await importLayer(store, lease, bytesOf(path), { expectDiffId: tar.diffId, blob });
    expect(layer.diffId).toBe(tar.diffId);
    expect(readFileSync(layer.tarPath).equals(readFileSync(tar.path))).toBe(true);
    expect(statSync(layer.indexPath!).size).toBeGreaterThan(1024);
    expect(findLayer(store, tar.diffId)).toEqual(layer);
    expect(findCompressions(store, tar.diffId)).toEqual(name === 'nothing' ? [] : [blob]);
    expect(readdirSync(lease.dir)).toEqual([]);
    expect((await importLayer(store, lease, bytesOf(path))).tarPath).toBe(layer.tarPath);
  });
}

const damages: readonly (readonly [what: string, code: string, spoil: (bytes: Buffer) => Buffer])[] = [
  ['a truncated gzip stream', 'LAYER_COMPRESSION_DAMAGED', (tar) => gzipSync(tar).subarray(0, -20)],
  ['a gzip stream with a wrong byte', 'LAYER_COMPRESSION_DAMAGED', (tar) => flip(gzipSync(tar), 2000)],
  ['a truncated zstd stream', 'LAYER_COMPRESSION_DAMAGED', (tar) => compress('zstd', tar).subarray(0, -20)],
  ['a zstd stream with a wrong byte', 'LAYER_COMPRESSION_DAMAGED', (tar) => flip(compress('zstd', tar), 2000)],
  ['a truncated xz stream', 'LAYER_COMPRESSION_DAMAGED', (tar) => compress('xz', tar).subarray(0, -20)],
  ['a truncated tar', 'TAR_TRUNCATED', (tar) => tar.subarray(0, 4000)],
  ['bytes that are no tar', 'TAR_', () => Buffer.alloc(4096, 'no tar ')],
  ['another tar', 'LAYER_DIFF_ID_MISMATCH', (tar) => flip(tar, tar.length - 1)],
];

for (const [what, code, spoil] of damages) {
  test(`${what} is refused with ${code} and leaves nothing`, async () => {
    const tar = sampleTar('spoilt');
    const path = join(tempDir(), 'layer');
    writeFileSync(path, spoil(readFileSync(tar.path)));
    const { store, lease } = await openTemp();
    const expectDiffId = code.startsWith('TAR') ? undefined : tar.diffId;
    await expect(importLayer(store, lease, bytesOf(path), { expectDiffId })).rejects.toMatchObject({
      code: expect.stringContaining(code),
    });
    expect(readdirSync(join(store.dir, 'layers/sha256'))).toEqual([]);
    expect(readdirSync(lease.dir)).toEqual([]);
    expect(readdirSync(join(store.dir, 'trash'))).toEqual([]);
    expect(findLayer(store, tar.diffId)).toBeNull();
  });
}

test('a compressed layer of other bytes or another size than announced is refused', async () => {
  const tar = sampleTar('announced');
  const bytes = gzipSync(readFileSync(tar.path));
  const { store, lease } = await openTemp();
  const source = (): AsyncIterable<Uint8Array> => pieces(bytes, 1000);
  const blob = { digest: sha256(bytes), size: bytes.length, mediaType: 'x' };
  const digest = sha256(Buffer.from('other'));
  const attempts = [
    [{ ...blob, digest }, 'BLOB_DIGEST_MISMATCH'],
    [{ ...blob, size: bytes.length + 1 }, 'BLOB_SIZE_MISMATCH'],
    [{ ...blob, size: bytes.length - 1 }, 'BLOB_SIZE_MISMATCH'],
  ] as const;
  for (const [announced, code] of attempts) {
    await expect(importLayer(store, lease, source(), { blob: announced })).rejects.toMatchObject({ code });
  }
  expect(findLayer(store, tar.diffId)).toBeNull();
});

test('a source that fails ends the import with its own error', async () => {
  const { store, lease } = await openTemp();
  for (const compressed of [
    gzipSync(Buffer.alloc(9000)),
    compress('xz', Buffer.alloc(9000)),
    compress('zstd', Buffer.alloc(9000)),
  ]) {
    const source = (async function* () {
      yield compressed.subarray(0, 20);
      throw new Error('connection reset');
    })();
    await expect(importLayer(store, lease, source)).rejects.toThrow('connection reset');
  }
  expect(readdirSync(lease.dir)).toEqual([]);
});

test('a decompression bomb is stopped', async () => {
  const { store, lease } = await openTemp();
  const zeros = execFileSync('sh', ['-c', 'head -c 300000000 /dev/zero | zstd -qc'], { maxBuffer: 1 << 28 });
  await expect(importLayer(store, lease, pieces(zeros, 1000), { suspectBytes: 1 << 24 })).rejects.toMatchObject({
    code: 'LAYER_TOO_LARGE',
  });
  await expect(
    importLayer(store, lease, pieces(gzipSync(Buffer.alloc(1 << 20)), 100), { maxBytes: 1 << 16 }),
  ).rejects.toMatchObject({
    code: 'LAYER_TOO_LARGE',
  });
  expect(readdirSync(lease.dir)).toEqual([]);
});

test('an empty stream is an empty layer', async () => {
  const { store, lease } = await openTemp();
  const empty = Buffer.alloc(1024);
  const layer = await importLayer(store, lease, pieces(gzipSync(empty), 5));
  expect(layer.diffId).toBe(sha256(empty));
  expect(scanTar(layer.tarPath)).toEqual([]);
});

test("node's gunzip, for hosts without ISA-L, gives the same bytes", async () => {
  const tar = readFileSync(sampleTar('portable', 4).path);
  const members = Buffer.concat([gzipSync(tar.subarray(0, 9000)), gzipSync(tar.subarray(9000))]);
  expect((await collect(byZlib(pieces(members, 70_000)))).equals(tar)).toBe(true);
  await expect(collect(byZlib(pieces(members.subarray(0, -1), 70_000)))).rejects.toMatchObject({
    code: 'LAYER_COMPRESSION_DAMAGED',
  });
});

test('four processes import the same layers at once: each has one, and nothing else is left', async () => {
  const dir = join(tempDir(), 'store');
  const tars = [1, 2, 3].map((n) => sampleTar(`shared ${n}`, 2));
  const { store } = await openTemp(dir);
  const program = await workerProgram();
  const args = [dir, 'import', ...tars.map(({ path }) => path)];
  const ends = await Promise.all([1, 2, 3, 4].map(() => outcome(startWorker(program, args))));
  for (const { code, output } of ends) {
    expect(code).toBe(0);
    for (const { diffId } of tars) expect(output).toContain(diffId);
  }
  for (const { path, diffId } of tars) {
    expect(readFileSync(findLayer(store, diffId)!.tarPath).equals(readFileSync(path))).toBe(true);
  }
  expect(readdirSync(join(dir, 'layers/sha256')).sort()).toEqual(tars.map(({ diffId }) => diffId.slice(7)).sort());
  expect(readdirSync(join(dir, 'tmp')).filter((name) => name.endsWith('.lock'))).toHaveLength(1);
});

test('a process killed at any moment of an import leaves a store that the next opening cleans', async () => {
  const dir = join(tempDir(), 'store');
  const program = await workerProgram();
  await (await openStore(dir)).close();
  for (let round = 0; round < 20; round++) {
    const tar = sampleTar(`killed ${round}`, 6);
    const child = startWorker(program, [dir, 'import', tar.path]);
    const ended = outcome(child);
    await new Promise((resolve) => child.stdout!.once('data', resolve));
    await new Promise((resolve) => setTimeout(resolve, round * 4));
    child.kill('SIGKILL');
    const acknowledged = (await ended).output.includes(tar.diffId);

    const store = await openStore(dir);
    expect(readdirSync(join(dir, 'tmp'))).toEqual([]);
    const layer = findLayer(store, tar.diffId);
    if (acknowledged) expect(layer).not.toBeNull();
    if (layer !== null) expect(sha256(readFileSync(layer.tarPath))).toBe(tar.diffId);
    const lease = await openLease(store, 'again');
    expect((await importLayer(store, lease, bytesOf(tar.path))).diffId).toBe(tar.diffId);
    await lease.release();
    await store.close();
  }
  await expect.poll(() => readdirSync(join(dir, 'trash')), { timeout: 5000 }).toEqual([]);
});

test.skipIf(!isRoot)(
  'on a full disk an import fails with STORE_FULL, leaves nothing, and works once there is room',
  async () => {
    const mount = tempDir();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'none', mount]);
    whenDone(() => void execFileSync('umount', ['-l', mount]));
    const dir = join(mount, 'store');
    const { store, lease } = await openTemp(dir);
    const tar = sampleTar('full', 6);
    for (const free of [0, 16, 64, 1000, 4000]) {
      fillBut(mount, free);
      await expect(importLayer(store, lease, bytesOf(tar.path))).rejects.toMatchObject({ code: 'STORE_FULL' });
      expect(readdirSync(join(dir, 'layers/sha256'))).toEqual([]);
    }
    execFileSync('rm', [join(mount, 'filler')]);
    expect(existsSync(join(mount, 'filler'))).toBe(false);
    expect((await importLayer(store, lease, bytesOf(tar.path))).diffId).toBe(tar.diffId);
  },
);

function fillBut(mount: string, kilobytes: number): void {
  const filler = join(mount, 'filler');
  execFileSync('sh', [
    '-c',
    `rm -f ${filler}; dd if=/dev/zero of=${filler} bs=4k 2>/dev/null; truncate -s -${kilobytes}K ${filler}`,
  ]);
}

function flip(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  const index = Math.min(at, copy.length - 30);
  copy[index] = copy[index]! ^ 0x55;
  return copy;
}

function compress(program: string, bytes: Uint8Array, ...args: readonly string[]): Buffer {
  return execFileSync(program, ['-c', '-q', ...args], { input: bytes, maxBuffer: 1 << 28 });
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

test('a diffID in the wrong form never becomes a path', () => {
  expect(() => parseDiffId('sha256:../../etc')).toThrow(expect.objectContaining({ code: 'DIGEST_INVALID' }));
});
