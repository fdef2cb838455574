import { execFileSync } from 'node:child_process';
import { createReadStream, lstatSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import * as nodeTar from 'tar';
import tarStream from 'tar-stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RawPath, rawPath } from '#native';
import { type DraftEntry, encodeTar, scanTar } from '../../store/index.js';
import { assembled } from '../support/assembly.js';
import { draftTree } from './format-arbitraries.js';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'format-tar-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function writeTar(drafts: readonly DraftEntry[]): string {
  const path = join(dir, 'layer.tar');
  writeFileSync(path, assembled(encodeTar(drafts).parts));
  return path;
}

function scanBytes(bytes: Buffer): ReturnType<typeof scanTar> {
  const path = join(dir, 'bytes.tar');
  writeFileSync(path, bytes);
  return scanTar(path);
}

function draft(path: string, more: Partial<DraftEntry> = {}): DraftEntry {
  return {
    path: rawPath(path),
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: more.content && 'bytes' in more.content ? more.content.bytes.length : 0,
    mtimeSec: 1700000000,
    mtimeNsec: 0,
    linkTarget: '' as RawPath,
    devMajor: 0,
    devMinor: 0,
    xattrs: [],
    ...more,
  };
}

describe('encodeTar', () => {
  test('says of each member what scanTar reads back, for any tree', () => {
    fc.assert(
      fc.property(draftTree, (drafts) => {
        const encoded = encodeTar(drafts);
        const bytes = assembled(encoded.parts);
        expect(bytes.length).toBe(encoded.size);
        const scanned = scanBytes(bytes);
        expect(scanned).toEqual(encoded.entries);
        for (const [i, entry] of scanned.entries()) {
          const { content, xattrs, ...meta } = drafts[i]!;
          expect(entry).toMatchObject(meta);
          expect(new Map(entry.xattrs.map((x) => [x.name, x.value.toString('hex')]))).toEqual(
            new Map(xattrs.map((x) => [x.name, x.value.toString('hex')])),
          );
          const data = bytes.subarray(entry.dataOffset, entry.dataOffset + entry.size);
          if (content && 'bytes' in content) expect(data.equals(content.bytes)).toBe(true);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('gives the same bytes for the same drafts in any order', () => {
    fc.assert(
      fc.property(draftTree, fc.infiniteStream(fc.nat()), (drafts, random) => {
        const shuffled = drafts
          .map((d) => ({ d, key: random.next().value as number }))
          .sort((a, b) => a.key - b.key)
          .map(({ d }) => d);
        expect(assembled(encodeTar(shuffled).parts).equals(assembled(encodeTar(drafts).parts))).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test('gives the content of hardlinked names to the first of them', () => {
    const content = { bytes: Buffer.from('hello') };
    const link = (path: string): DraftEntry => draft(path, { type: 'hardlink', linkTarget: rawPath('m') });
    const { entries } = encodeTar([draft('m', { content }), link('z'), link('b')]);
    expect(entries.map(({ path, type, linkTarget, size }) => [path, type, linkTarget, size])).toEqual([
      ['b', 'file', '', 5],
      ['m', 'hardlink', 'b', 0],
      ['z', 'hardlink', 'b', 0],
    ]);
  });

  test('fills the holes of sparse content with zeros', () => {
    const source = join(dir, 'source');
    writeFileSync(source, 'xxABCDE');
    const content = {
      root: dir,
      path: rawPath('source'),
      offset: 2,
      pieces: [
        [3, 2],
        [8, 3],
      ] as const,
    };
    const { parts, entries } = encodeTar([draft('sparse', { content, size: 13 })]);
    const { dataOffset, size } = entries[0]!;
    expect(assembled(parts).toString('latin1', dataOffset, dataOffset + size)).toBe('\0\0\0AB\0\0\0CDE\0\0');
  });

  test('uses ustar alone wherever ustar can say it', () => {
    const long = `${'d'.repeat(100)}/${'n'.repeat(100)}`;
    const { size } = encodeTar([draft(long), draft(`caf\u00e9`), draft('x', { uid: 2097151 })]);
    expect(size).toBe(3 * 512 + 1024);
  });

  test('GNU tar lists every member that Linux can create, with its numbers', () => {
    const deep = `${'d'.repeat(200)}/${'e'.repeat(250)}`;
    const path = writeTar([
      draft(deep, { content: { bytes: Buffer.from('x') } }),
      draft('big', { uid: 4294967294, gid: 2097152 }),
      draft('dir', { type: 'dir', mode: 0o1777 }),
      draft('dir/null', { type: 'char', devMajor: 1, devMinor: 3 }),
      draft('link', { type: 'symlink', linkTarget: 'l'.repeat(300) as RawPath }),
    ]);
    const listing = execFileSync('tar', ['--utc', '--full-time', '-tvf', path], { encoding: 'latin1' });
    expect(listing).toContain(deep);
    expect(listing).toMatch(/4294967294\/2097152 .* big$/m);
    expect(listing).toMatch(/^drwxrwxrwt .* dir\/$/m);
    expect(listing).toMatch(/^crw-r--r-- 0\/0 +1,3 .* dir\/null$/m);
    expect(listing).toContain(`link -> ${'l'.repeat(300)}`);
  });

  test('GNU tar extracts modification times to the nanosecond, before 1970 too', () => {
    const times = [
      [-2, 500_000_000],
      [-1, 1],
      [1700000000, 123456789],
      [2 ** 33 + 7, 0],
    ] as const; // the last needs 34 bits
    const path = writeTar(times.map(([mtimeSec, mtimeNsec], i) => draft(`f${i}`, { mtimeSec, mtimeNsec })));
    execFileSync('tar', ['-C', dir, '-xf', path]);
    for (const [i, [sec, nsec]] of times.entries()) {
      expect(lstatSync(join(dir, `f${i}`), { bigint: true }).mtimeNs).toBe(BigInt(sec) * 1_000_000_000n + BigInt(nsec));
    }
  });

  test('tar-stream and node-tar read the same names, sizes and contents', async () => {
    await fc.assert(
      fc.asyncProperty(draftTree, async (generated) => {
        // Both decode names as UTF-8, and neither takes what is no text.
        const drafts = generated.filter((d) => /^[ -~]*$/.test(d.path + d.linkTarget) && d.uid < 2 ** 21);
        const path = writeTar(drafts);
        const expected = drafts.map((d) => (d.type === 'dir' ? `${d.path}/` : d.path));
        const extract = tarStream.extract();
        const streamed: string[] = [];
        const contents: string[] = [];
        extract.on('entry', (header, stream, next) => {
          streamed.push(header.type === 'directory' ? `${header.name.replace(/\/$/, '')}/` : header.name);
          const chunks: Buffer[] = [];
          stream.on('data', (chunk) => void chunks.push(chunk as Buffer));
          stream.on('end', () => {
            contents.push(Buffer.concat(chunks).toString('hex'));
            next();
          });
        });
        await pipeline(createReadStream(path), extract);
        expect(streamed).toEqual(expected);
        expect(contents).toEqual(
          drafts.map((d) => (d.content && 'bytes' in d.content ? Buffer.from(d.content.bytes).toString('hex') : '')),
        );
        const listed: string[] = [];
        await nodeTar.list({ file: path, onReadEntry: (entry) => void listed.push(entry.path) });
        expect(listed).toEqual(expected);
      }),
      { numRuns: 30 },
    );
  });

  const refused: [string, DraftEntry, string][] = [
    ['a name of 256 bytes', draft('n'.repeat(256)), 'TAR_PATH_INVALID'],
    ['a path of 4096 bytes', draft(`${'d/'.repeat(2048)}x`.slice(0, 4097)), 'TAR_PATH_INVALID'],
    ['an empty symlink', draft('l', { type: 'symlink' }), 'TAR_LINK_INVALID'],
    [
      'attributes beyond 1 MiB',
      draft('f', { xattrs: Array.from({ length: 17 }, (_, i) => ({ name: `user.${i}`, value: Buffer.alloc(65536) })) }),
      'TAR_XATTRS_TOO_LARGE',
    ],
    [
      'a sparse file of a terabyte',
      draft('f', { size: 2 ** 40, content: { root: '/', path: rawPath('x'), offset: 0, pieces: [] } }),
      'TAR_SPARSE_TOO_LARGE',
    ],
  ];
  for (const [what, entry, code] of refused) {
    test(`refuses ${what} with ${code}`, () => {
      expect(() => encodeTar([entry])).toThrow(expect.objectContaining({ code }));
    });
  }
});
