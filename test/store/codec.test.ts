// The compressions of layers: what goes in comes out, and nothing but engine and level decides the bytes.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { type Codec, codecEngines, openDecoder, openEncoder } from '#native';
import { decompress } from '../../store/content/decompress.js';
import { sampleTar, tempDir } from './content-samples.js';

/** Digest of what each engine makes of `sample` at the usual level. Another version of an engine may make other bytes. */
const known: Readonly<Record<string, string>> = {
  'gzip by libdeflate 1.14': '8fb0a2ffebb4fb7deb872c7379b8f3767d13c337d04ffe690b0e362f4427ae2d',
  'zstd by libzstd 1.5.4': 'fc9c2f62cf349cb365c8e35b268adae7715150ea2a356a5972be1aee8e085722',
};

/** Words of base64 in an order that repeats never: they compress by a third. */
const sample = ((): Buffer => {
  const words = Array.from({ length: 4096 }, (_, i) => createHash('md5').update(`${i}`).digest('base64'));
  let state = 1;
  const parts = Array.from({ length: 40_000 }, () => {
    state = (state * 48271) % 0x7fffffff;
    return words[state & 4095];
  });
  return Buffer.from(parts.join(''));
})();

for (const [codec, level] of [
  ['gzip', 2],
  ['zstd', 3],
] as const) {
  test(`${codec} gives the bytes that its engine is known to give`, async () => {
    const engine = `${codec} by ${codecEngines()[codec]}`;
    const bytes = await encodeWhole(codec, level, sample);
    if (known[engine] !== undefined) expect(sha256(bytes)).toBe(known[engine]);
    expect(execFileSync(codec, ['-dc'], { input: bytes, maxBuffer: 1 << 28 }).equals(sample)).toBe(true);
    expect((await collect(decompress(cut(bytes, [70_000])))).equals(sample)).toBe(true);
  });
}

test('zstd with a window of 128 MiB is read, with a larger one refused', async () => {
  const zstd = (flag: string) => execFileSync('zstd', ['-qc', '--ultra', flag], { input: sample, maxBuffer: 1 << 28 });
  expect((await collect(decompress(cut(zstd('--long=27'), [70_000])))).equals(sample)).toBe(true);
  await expect(collect(decompress(cut(zstd('--long=30'), [70_000])))).rejects.toMatchObject({
    code: 'LAYER_COMPRESSION_DAMAGED',
    message: expect.stringContaining('requires too much memory'),
  });
});

let haveIsal = false;
beforeAll(async () => {
  const decoder = await openDecoder('gzip');
  haveIsal = decoder !== null;
  decoder?.close();
});

test('gzip members in any number, of any size and kind, cut anywhere, are one stream', async () => {
  const member = fc.record({
    by: fc.constantFrom('ours', 'zlib'),
    level: fc.integer({ min: 0, max: 9 }),
    start: fc.nat(1000),
    // Around the window and the chunks, and tiny.
    size: fc.oneof(fc.nat(20), fc.integer({ min: 32_700, max: 33_000 }), fc.nat(300_000)),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(member, { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 5 }),
      fc.nat(600),
      async (members, cuts, padding) => {
        const plain: Buffer[] = [];
        const packed: Buffer[] = [];
        for (const { by, level, start, size } of members) {
          const piece = sample.subarray(start, start + size);
          plain.push(piece);
          packed.push(by === 'zlib' ? gzipSync(piece, { level }) : await encodeWhole('gzip', level, piece));
        }
        const stream = Buffer.concat([...packed, Buffer.alloc(padding)]);
        expect((await collect(decompress(cut(stream, cuts)))).equals(Buffer.concat(plain))).toBe(true);
      },
    ),
    { numRuns: 60 },
  );
});

test('a damaged gzip stream is refused, or was no damage: never other bytes, whoever inflates', async () => {
  const plain = sample.subarray(0, 100_000);
  const good = Buffer.concat([gzipSync(plain.subarray(0, 60_000)), gzipSync(plain.subarray(60_000))]);
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: good.length - 1 }),
      fc.integer({ min: 1, max: 255 }),
      async (at, flip) => {
        const bad = Buffer.from(good);
        bad[at] = bad[at]! ^ flip;
        const found = await collect(decompress(cut(bad, [5000]))).catch((error: { code: string }) => error.code);
        const zlib = ((): Buffer | null => {
          try {
            return gunzipSync(bad);
          } catch {
            return null;
          }
        })();
        if (typeof found === 'string') expect([found, zlib]).toEqual(['LAYER_COMPRESSION_DAMAGED', null]);
        // One may mind a reserved bit of a header that the other does not look at.
        else expect((zlib ?? plain).equals(found)).toBe(true);
      },
    ),
    { numRuns: 300 },
  );
});

test('a gzip stream that ends early is refused wherever it ends', async () => {
  const good = gzipSync(sample.subarray(0, 3000));
  for (let end = 3; end < good.length; end++) {
    await expect(collect(decompress(cut(good.subarray(0, end), [100])))).rejects.toMatchObject({
      code: 'LAYER_COMPRESSION_DAMAGED',
    });
  }
});

for (const codec of ['gzip', 'zstd'] as const satisfies Codec[]) {
  test(`layers as ${codec} are the same bytes on one processor as on all`, () => {
    const dir = tempDir();
    const tar = sampleTar('cores', 13);
    const cli = [process.execPath, join(import.meta.dirname, '../../dist/main.cjs')];
    const env = { ...process.env, TSBUILD_STORE: join(dir, 'store') };
    const save = (name: string, before: readonly string[]): string => {
      const [program = '', ...words] = [...before, ...cli, 'save', '-o', join(dir, name), 'cores:1'];
      execFileSync(program, [...words, '--format', 'oci-archive', '--compression', codec], { env, stdio: 'pipe' });
      return sha256(readFileSync(join(dir, name)));
    };
    const forget = (): void => {
      execFileSync('rm', ['-rf', join(dir, 'store')]);
      execFileSync(cli[0]!, [cli[1]!, 'import', tar.path, '-t', 'cores:1', '--platform', 'linux/amd64'], {
        env,
        stdio: 'pipe',
      });
    };
    forget();
    const processor = /(\d+)/.exec(
      execFileSync('taskset', ['-cp', `${process.pid}`])
        .toString()
        .split(':')[1]!,
    )![1]!;
    const one = save('one', ['taskset', '-c', processor]);
    forget();
    expect(save('all', ['env', 'UV_THREADPOOL_SIZE=16'])).toBe(one);
  });
}

test('the version names the engines, and ISA-L inflates where it is installed', () => {
  const output = execFileSync(process.execPath, [join(import.meta.dirname, '../../dist/main.cjs'), 'version']);
  expect(output.toString()).toContain(`gzip: ${codecEngines().gzip}\nzstd: ${codecEngines().zstd}\n`);
  const library = execFileSync('sh', ['-c', 'ldconfig -p || /sbin/ldconfig -p']).toString().includes('libisal.so.2');
  expect(haveIsal).toBe(library);
});

async function encodeWhole(codec: Codec, level: number, bytes: Buffer): Promise<Buffer> {
  const { bound, encode } = await openEncoder(codec, level);
  return encode(bytes, Buffer.alloc(bound(bytes.length)));
}

async function* cut(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
