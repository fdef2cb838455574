import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hashFiles, type RawPath, rawPath } from '#native';
import type { Part } from '../support/assembly.js';
import { isRoot, type Request, scratchDir, type Way, ways } from './batch-program.js';

const sha256 = (...bytes: readonly Uint8Array[]): string => {
  const hash = createHash('sha256');
  for (const piece of bytes) hash.update(piece);
  return hash.digest('hex');
};

const oneMib = Buffer.alloc(2 ** 20);
const plain = { heads: false, fileDigests: false };

/** A ustar header, enough for GNU tar. */
function header(name: string, size: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 'latin1');
  block.write('0000644\x000000000\x000000000\x00', 100);
  block.write(`${size.toString(8).padStart(11, '0')}\x0014000000000\x00        0`, 124);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\x00 `, 148);
  return block;
}

function tarOf(dir: string, names: readonly string[]): Part[] {
  const parts = names.flatMap((name): Part[] => {
    const { size } = statSync(join(dir, name));
    const padding: Part = { bytes: Buffer.alloc(-size & 511) };
    return [{ bytes: header(name, size) }, { root: dir, path: rawPath(name), offset: 0, size }, padding];
  });
  return [...parts, { bytes: Buffer.alloc(1024) }];
}

function ref(root: string, path: string): Part {
  return { root, path: rawPath(path), offset: 0, size: statSync(join(root, path)).size };
}

async function refused(way: Way, parts: Part[], error: object): Promise<void> {
  const output = join(scratchDir('assemble'), 'out');
  await expect(way.assemble({ parts, output, ...plain })).rejects.toMatchObject(error);
  expect(existsSync(output)).toBe(false);
}

for (const way of ways) {
  test(`assemble ${way.name} writes a tar that GNU tar reads back and sha256sum agrees with`, async () => {
    const dir = scratchDir('assemble');
    const names = Array.from({ length: 300 }, (_, i) => `file-${i}`);
    names.forEach((name, i) => {
      writeFileSync(join(dir, name), randomBytes(i * 37));
    });
    writeFileSync(join(dir, 'large'), randomBytes(5_300_001));
    names.push('large');
    const output = join(dir, 'out.tar');
    const result = await way.assemble({ parts: tarOf(dir, names), output, heads: true, fileDigests: true });
    expect(result.size).toBe(statSync(output).size);
    expect(result.sha256).toBe(execFileSync('sha256sum', [output], { encoding: 'utf8' }).slice(0, 64));
    mkdirSync(join(dir, 'back'));
    execFileSync('tar', ['-xf', output, '-C', join(dir, 'back')]);
    for (const name of names) {
      expect(readFileSync(join(dir, 'back', name)).equals(readFileSync(join(dir, name)))).toBe(true);
    }
    names.forEach((name, i) => {
      expect(result.fileDigests[i * 3 + 1]).toBe(sha256(readFileSync(join(dir, name))));
      expect(result.fileDigests[i * 3]).toBe('');
    });
    expect(result.fileDigests.length).toBe(names.length * 3 + 1);
  });

  test(`assemble ${way.name} without an output gives the same digest`, async () => {
    const dir = scratchDir('assemble');
    writeFileSync(join(dir, 'a'), randomBytes(3_000_000));
    const parts = tarOf(dir, ['a']);
    const written = await way.assemble({ parts, output: join(dir, 'out'), ...plain });
    expect(await way.assemble({ parts, output: null, ...plain })).toEqual(written);
  });

  test(`assemble ${way.name} keeps the holes of its sources and makes holes of zeros`, async () => {
    const dir = scratchDir('assemble');
    const fd = openSync(join(dir, 'sparse'), 'w');
    writeSync(fd, randomBytes(70_000), 0, 70_000, 0);
    writeSync(fd, randomBytes(10_000), 0, 10_000, 100_000_000);
    closeSync(fd);
    truncateSync(join(dir, 'sparse'), 200_000_000);
    writeFileSync(join(dir, 'zeros'), Buffer.alloc(30_000_000));
    const output = join(dir, 'out');
    const result = await way.assemble({ parts: tarOf(dir, ['sparse', 'zeros']), output, ...plain });
    expect(result.sha256).toBe(execFileSync('sha256sum', [output], { encoding: 'utf8' }).slice(0, 64));
    expect(statSync(output).size).toBe(result.size);
    expect(statSync(output).blocks * 512).toBeLessThan(1_000_000);
    mkdirSync(join(dir, 'back'));
    execFileSync('tar', ['-xf', output, '-C', join(dir, 'back'), '--sparse', 'sparse']);
    execFileSync('cmp', [join(dir, 'back/sparse'), join(dir, 'sparse')]);
  });

  test(`assemble ${way.name} reports the heads of ELF files and scripts only`, async () => {
    const dir = scratchDir('assemble');
    const elf = Buffer.concat([Buffer.from('\x7fELF', 'latin1'), randomBytes(10_000)]);
    const files = {
      elf,
      script: Buffer.from('#!'),
      text: Buffer.from('#x'),
      short: Buffer.from('\x7fEL'),
      empty: Buffer.alloc(0),
    };
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(dir, name), bytes);
    // A head right before, on and behind the end of a chunk of one MiB.
    const gap = (bytes: number): Part => ({ bytes: Buffer.alloc(bytes, 7) });
    const parts = [
      ...Object.keys(files).map((name) => ref(dir, name)),
      gap(2 ** 20 - 10_007 - 20),
      ref(dir, 'elf'),
      gap(2 ** 20 - 10_004 + 20 - 4096),
      ref(dir, 'elf'),
      { bytes: elf },
    ];
    const { heads } = await way.assemble({ parts, output: null, heads: true, fileDigests: false });
    const head = elf.subarray(0, 4096);
    expect([...heads].sort(([a], [b]) => a - b)).toEqual([
      [0, head],
      [1, Buffer.from('#!')],
      [6, head],
      [8, head],
    ]);
  });

  test(`assemble ${way.name} refuses files that are not what was promised, and leaves no output`, async () => {
    const dir = scratchDir('assemble');
    const part = (path: string, size: number, offset = 0): Part => ({
      root: dir,
      path: rawPath(path),
      offset,
      size,
    });
    writeFileSync(join(dir, 'file'), Buffer.alloc(1000));
    symlinkSync('file', join(dir, 'link'));
    execFileSync('mkfifo', [join(dir, 'fifo')]);
    const changed = (path: string): object => ({ code: 'FILE_CHANGED', message: expect.stringContaining(path) });
    const padding = { bytes: Buffer.alloc(3_000_000, 1) };
    await refused(way, [padding, part('file', 1001)], changed('file'));
    await refused(way, [part('file', 999)], changed('file'));
    await refused(way, [part('file', 600, 500)], changed('file'));
    await refused(way, [part('link', 1000)], changed('link'));
    await refused(way, [part('fifo', 0)], changed('fifo'));
    await refused(way, [part('gone', 0)], { code: 'READ_FAILED', errno: 'ENOENT' });
    await refused(way, [{ root: join(dir, 'gone'), path: rawPath('file'), offset: 0, size: 1 }], {
      code: 'READ_FAILED',
    });
  });

  test(`assemble ${way.name} finds files beneath their root only`, async () => {
    const dir = scratchDir('assemble');
    mkdirSync(join(dir, 'root/etc'), { recursive: true });
    writeFileSync(join(dir, 'outside'), 'outside');
    writeFileSync(join(dir, 'root/etc/inside'), 'inside');
    symlinkSync('/etc', join(dir, 'root/absolute'));
    symlinkSync('..', join(dir, 'root/up'));
    const root = join(dir, 'root');
    const at = (path: string): Request => ({
      parts: [{ root, path: path as RawPath, offset: 0, size: 6 }],
      output: null,
      ...plain,
    });
    expect((await way.assemble(at('absolute/inside'))).sha256).toBe(sha256(Buffer.from('inside')));
    expect((await way.assemble(at('up/etc/inside'))).sha256).toBe(sha256(Buffer.from('inside')));
    for (const path of ['up/outside', '../outside', 'absolute/../../outside', '..', '.', '']) {
      await expect(way.assemble(at(path))).rejects.toMatchObject({
        code: expect.stringMatching(/READ_FAILED|FILE_CHANGED/),
      });
    }
  });

  test(`assemble ${way.name} does not overwrite`, async () => {
    const output = join(scratchDir('assemble'), 'out');
    writeFileSync(output, 'kept');
    await expect(way.assemble({ parts: [], output, ...plain })).rejects.toMatchObject({
      code: 'WRITE_FAILED',
      errno: 'EEXIST',
    });
    expect(readFileSync(output, 'utf8')).toBe('kept');
  });
}

test('nothing assembled is the digest of nothing', async () => {
  const output = join(scratchDir('assemble'), 'out');
  expect(await ways[0]!.assemble({ parts: [], output, ...plain })).toMatchObject({ size: 0, sha256: sha256() });
  expect(statSync(output).size).toBe(0);
});

test('pieces of a file from an offset are read from there', async () => {
  const dir = scratchDir('assemble');
  const bytes = randomBytes(2_500_000);
  writeFileSync(join(dir, 'tar'), bytes);
  const parts = [512, 4096, 1_000_001].map(
    (offset): Part => ({ root: dir, path: rawPath('tar'), offset, size: 1_400_000 }),
  );
  const { sha256: digest } = await ways[0]!.assemble({ parts, output: null, ...plain });
  expect(digest).toBe(sha256(...[512, 4096, 1_000_001].map((offset) => bytes.subarray(offset, offset + 1_400_000))));
});

test('any mixture of bytes and zeros is written as it is', async () => {
  const dir = scratchDir('assemble');
  let run = 0;
  const piece = fc.record({ zero: fc.boolean(), size: fc.integer({ min: 0, max: 300_000 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (pieces) => {
      const buffers = pieces.map(({ zero, size }) => Buffer.alloc(size, zero ? 0 : 'text'));
      const output = join(dir, `out-${run++}`);
      const result = await ways[0]!.assemble({ parts: buffers.map((bytes) => ({ bytes })), output, ...plain });
      expect(readFileSync(output).equals(Buffer.concat(buffers))).toBe(true);
      expect(result.sha256).toBe(sha256(...buffers));
    }),
    { numRuns: 60 },
  );
});

test('sizes beyond 4 GiB are right, and their holes are hashed without being read', async () => {
  const dir = scratchDir('assemble');
  writeFileSync(join(dir, 'huge'), 'start');
  truncateSync(join(dir, 'huge'), 2 ** 32 + 5);
  appendFileSync(join(dir, 'huge'), 'end');
  const output = join(dir, 'out');
  const parts: Part[] = [ref(dir, 'huge'), { bytes: Buffer.from('behind') }];
  const result = await ways[0]!.assemble({ parts, output, ...plain });
  const hash = createHash('sha256').update('start');
  for (let mib = 0; mib < 4096; mib++) hash.update(oneMib);
  expect(result.size).toBe(2 ** 32 + 14);
  expect(result.sha256).toBe(hash.update('endbehind').digest('hex'));
  expect(statSync(output).size).toBe(result.size);
  expect(statSync(output).blocks * 512).toBeLessThan(200_000);
});

test.skipIf(!isRoot)('a full disk is said to be one, and the half-written output goes away (needs root)', async () => {
  const dir = scratchDir('assemble');
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', dir]);
  try {
    for (const way of ways) {
      const parts = [{ bytes: Buffer.alloc(8_000_000, 1) }];
      await expect(way.assemble({ parts, output: join(dir, 'out'), ...plain })).rejects.toMatchObject({
        code: 'DISK_FULL',
        errno: 'ENOSPC',
        hint: expect.stringContaining('tsbuild gc'),
      });
      expect(readdirSync(dir)).toEqual([]);
    }
  } finally {
    execFileSync('umount', [dir]);
  }
});

test.skipIf(!isRoot)('root reads files without permissions (needs root)', async () => {
  const dir = scratchDir('assemble');
  writeFileSync(join(dir, 'secret'), 'x');
  chmodSync(join(dir, 'secret'), 0);
  expect((await ways[0]!.assemble({ parts: [ref(dir, 'secret')], output: null, ...plain })).sha256).toBe(
    sha256(Buffer.from('x')),
  );
});

test('hashFiles gives the digests of many files in their order', async () => {
  const dir = scratchDir('hash');
  const names = Array.from({ length: 500 }, (_, i) => `file-${i}`);
  const files = names.map((name, i) => {
    const bytes = randomBytes(i === 77 ? 3_000_000 : i * 3);
    writeFileSync(join(dir, name), bytes);
    return bytes;
  });
  const digests = await hashFiles(names.map((name) => ({ root: dir, path: rawPath(name) })));
  expect(digests).toEqual(files.map((bytes) => sha256(bytes)));
  expect(await hashFiles([])).toEqual([]);
  await expect(hashFiles([{ root: dir, path: rawPath('none') }])).rejects.toMatchObject({
    code: 'READ_FAILED',
    errno: 'ENOENT',
  });
});
