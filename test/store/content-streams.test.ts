// Compressed streams as writers of layers make them beyond the plain ones: in pieces, filled up, with tables of contents.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { importLayer, scanTar } from '#store';
import { openTemp } from './content-samples.js';
import { archive, archiveEnd, file, folder, padded, sized } from './raw-tar.js';

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const compress = (command: string, bytes: Uint8Array): Buffer =>
  execFileSync('sh', ['-c', command], { input: bytes, maxBuffer: 1 << 28 });
const zstd = (bytes: Uint8Array): Buffer => compress('zstd -qc', bytes);

/** A frame that decoders pass over. @see RFC 8878, 3.1.2 */
function skippable(data: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184d2a50, 0);
  head.writeUInt32LE(data.length, 4);
  return Buffer.concat([head, data]);
}

async function* pieces(bytes: Uint8Array, size = 70_000): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

async function imported(bytes: Uint8Array): Promise<{ tar: Buffer; diffId: string; paths: string[] }> {
  const { store, lease } = await openTemp();
  const { tarPath, diffId } = await importLayer(store, lease, pieces(bytes));
  return { tar: readFileSync(tarPath), diffId, paths: scanTar(tarPath).map(({ path }) => path) };
}

const members = [folder('etc'), file('etc/motd', 'hello\n'), file('large', 'x'.repeat(300_000))];
const tar = archive(...members);

/** Each member of the tar compressed by itself, as writers do who want to fetch files one by one. */
const byMember = (one: (bytes: Buffer) => Buffer): Buffer => Buffer.concat([...members, archiveEnd].map(one));

const streams: readonly (readonly [what: string, stream: () => Buffer])[] = [
  ['gzip, a member for each file', () => byMember((bytes) => gzipSync(bytes))],
  ['gzip with empty members', () => Buffer.concat([gzipSync(''), gzipSync(tar), gzipSync('')])],
  ['zstd, a frame for each file', () => byMember(zstd)],
  [
    'zstd with empty and skippable frames',
    () =>
      Buffer.concat([skippable(Buffer.from('first')), zstd(Buffer.alloc(0)), zstd(tar), skippable(Buffer.alloc(0))]),
  ],
  [
    'zstd:chunked: frames for each file, then its manifest and its footer in skippable frames',
    () => {
      const manifest = skippable(
        zstd(Buffer.from(JSON.stringify({ version: 1, entries: [{ type: 'dir', name: 'etc/' }] }))),
      );
      const footer = Buffer.alloc(64);
      footer.write('GNUlInUx', 56);
      return Buffer.concat([byMember(zstd), manifest, skippable(footer)]);
    },
  ],
  [
    'xz in two streams',
    () => Buffer.concat([compress('xz -c', tar.subarray(0, 1024)), compress('xz -c', tar.subarray(1024))]),
  ],
  [
    'bzip2 in two streams',
    () => Buffer.concat([compress('bzip2 -c', tar.subarray(0, 1024)), compress('bzip2 -c', tar.subarray(1024))]),
  ],
];

describe('the tar comes out of', () => {
  for (const [what, stream] of streams) {
    test(what, async () => {
      const { tar: kept, diffId, paths } = await imported(stream());
      expect(diffId).toBe(sha256(tar));
      expect(kept.equals(tar)).toBe(true);
      expect(paths).toEqual(['etc', 'etc/motd', 'large']);
    });
  }

  for (const command of ['cat', 'gzip -c', 'zstd -qc', 'zstd -qc --no-check', 'xz -c', 'bzip2 -c']) {
    test(`${command}, where the tar is a whole number of MiB`, async () => {
      const size = (2 << 20) - 1536;
      const whole = archive(sized('f', '0', size), padded('y'.repeat(size)));
      expect(whole.length).toBe(2 << 20);
      expect((await imported(compress(command, whole))).diffId).toBe(sha256(whole));
    });
  }
});

test('an eStargz layer is a plain one: its table of contents and its landmarks stay files, as other engines unpack them', async () => {
  const toc = JSON.stringify({ version: 1, entries: [{ name: 'etc/', type: 'dir' }] });
  const stargz = [...members, file('.no.prefetch.landmark', '\x0f'), file('stargz.index.json', toc), archiveEnd];
  const footer = gzipSync(''); // there with an extra field; a member without content in any case
  const { diffId, paths } = await imported(Buffer.concat([...stargz.map((part) => gzipSync(part)), footer]));
  expect(diffId).toBe(sha256(Buffer.concat(stargz)));
  expect(paths).toEqual(['etc', 'etc/motd', 'large', '.no.prefetch.landmark', 'stargz.index.json']);
});

const damaged: readonly (readonly [what: string, stream: () => Buffer])[] = [
  ['a second gzip member that is cut off', () => Buffer.concat([gzipSync(tar), gzipSync(tar).subarray(0, 40)])],
  ['a second zstd frame that is cut off', () => Buffer.concat([zstd(tar), zstd(tar).subarray(0, 20)])],
  ['zstd and rubbish', () => Buffer.concat([zstd(tar), Buffer.from('rubbish')])],
  [
    'a skippable frame longer than the stream',
    () => Buffer.concat([zstd(tar), skippable(Buffer.alloc(900)).subarray(0, 100)]),
  ],
  ['xz that takes 512 MiB of memory to read', () => compress('xz -c --lzma2=dict=512MiB', tar)],
];

describe('refused is', () => {
  for (const [what, stream] of damaged) {
    test(what, async () => {
      await expect(imported(stream())).rejects.toMatchObject({ code: 'LAYER_COMPRESSION_DAMAGED' });
    });
  }
});
