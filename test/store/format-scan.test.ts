import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeIndex, encodeTar, layerTree, StoreError, scanTar, type TarEntry } from '../../store/index.js';
import { assembled } from '../support/assembly.js';
import { layerDrafts } from './format-arbitraries.js';
import { header, octal, padded, pax, record, sized } from './raw-tar.js';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'format-scan-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function scan(...pieces: readonly (Buffer | string)[]): TarEntry[] {
  const path = join(dir, 'scan.tar');
  writeFileSync(path, Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? padded(piece) : piece))));
  return scanTar(path);
}

const one = (entries: readonly TarEntry[]): TarEntry => {
  expect(entries).toHaveLength(1);
  return entries[0]!;
};

describe('scanTar reads', () => {
  test('an empty file and an empty archive as no members', () => {
    expect(scan(Buffer.alloc(0))).toEqual([]);
    expect(scan(Buffer.alloc(1024))).toEqual([]);
    expect(scan(Buffer.alloc(1024), Buffer.from('whatever follows the end'))).toEqual([]);
  });

  test('prefixes of POSIX, of star, and of Go before 1.8 under the magic of GNU', () => {
    expect(one(scan(header('b', '0', { 345: 'a' }))).path).toBe('a/b');
    expect(one(scan(header('b', '0', { 345: 'a', 476: '12345670123\x0012345670123\0', 508: 'tar\0' }))).path).toBe(
      'a/b',
    );
    expect(one(scan(header('b', '0', { 257: 'ustar  \0', 345: 'dir/sub' }))).path).toBe('dir/sub/b');
    expect(one(scan(header('b', '0', { 257: 'ustar  \0', 345: '14524530400\0' }))).path).toBe('b');
  });

  test('the old format, where a name with a slash is a directory', () => {
    const old = { 257: '\0\0\0\0\0\0\0\0' };
    expect(one(scan(header('d/', '\0', old)))).toMatchObject({ path: 'd', type: 'dir' });
    expect(one(scan(header('f', '\0', old)))).toMatchObject({ path: 'f', type: 'file' });
  });

  test('checksums of signed bytes', () => {
    const block = header('caf\xe9');
    let sum = 8 * 0x20;
    for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += block.readInt8(i);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    expect(one(scan(block)).path).toBe('caf\xe9');
  });

  test('numbers in base 256', () => {
    const fields = { 108: '\x80\0\0\0\xff\xff\xff\xfe', 136: `${'\xff'.repeat(11)}\xfe` };
    expect(one(scan(header('f', '0', fields)))).toMatchObject({ uid: 4294967294, mtimeSec: -2 });
  });

  test('names and links of GNU headers, before those of others', () => {
    const long = 'n'.repeat(150);
    const entries = scan(
      sized('././@LongLink', 'L', 151),
      `${long}\0`,
      sized('././@LongLink', 'K', 151),
      `${'t'.repeat(150)}\0`,
      header('short', '2', { 157: 'target' }),
      header('next', '2', { 157: 'target' }),
    );
    expect(entries.map(({ path, linkTarget }) => [path, linkTarget])).toEqual([
      [long, 't'.repeat(150)],
      ['next', 'target'],
    ]);
  });

  test('extended headers for one member, global ones for all after them', () => {
    const global = record('mtime', '7') + record('path', 'never') + record('SCHILY.xattr.user.g', 'G');
    const entries = scan(
      header('a'),
      sized('global', 'g', global.length),
      global,
      header('b'),
      pax(record('mtime', '8.25'), record('uid', '3000000000'), record('SCHILY.xattr.user.x', 'a=b\n\0')),
      header('c'),
      header('d'),
    );
    expect(entries.map(({ path, mtimeSec, mtimeNsec, uid }) => [path, mtimeSec, mtimeNsec, uid])).toEqual([
      ['a', 1700000000, 0, 0],
      ['b', 7, 0, 0],
      ['c', 8, 250_000_000, 3_000_000_000],
      ['d', 7, 0, 0],
    ]);
    expect(entries[2]!.xattrs.map(({ name, value }) => [name, value.toString('latin1')])).toEqual([
      ['user.g', 'G'],
      ['user.x', 'a=b\n\0'],
    ]);
  });

  test('attributes as libarchive writes them', () => {
    const entry = one(scan(pax(record('LIBARCHIVE.xattr.user.a%3Db', 'aGk')), header('f')));
    expect(entry.xattrs).toEqual([{ name: 'user.a=b', value: Buffer.from('hi') }]);
  });

  test('no content for types that have none, whatever their size says', () => {
    const entries = scan(
      sized('d', '5', 512),
      header('l', '1', { 124: octal(512), 157: 'd/x' }),
      sized('f', '0', 3),
      'abc',
      header('end'),
    );
    expect(entries.map(({ path, size }) => [path, size])).toEqual([
      ['d', 0],
      ['l', 0],
      ['f', 3],
      ['end', 0],
    ]);
  });

  const cleaned: [string, string][] = [
    ['./usr//bin/./x', 'usr/bin/x'],
    ['/abs', 'abs'],
    ['a/../b', 'b'],
    ['..a/b..', '..a/b..'],
    ['C:\\x', 'C:\\x'],
    ['.../x', '.../x'],
  ];
  for (const [name, path] of cleaned) {
    test(`the name ${name} as ${path}`, () => expect(one(scan(header(name))).path).toBe(path));
  }
});

const sparsePax = (...records: readonly string[]): Buffer => pax(...records, record('GNU.sparse.size', '10'));

const refusals: [string, string, () => unknown][] = [
  ['a file that is no tar', 'TAR_CHECKSUM', () => scan(Buffer.alloc(2048, 'not a tar '))],
  ['half a block', 'TAR_TRUNCATED', () => scan(header('f').subarray(0, 256))],
  ['content that is cut off', 'TAR_TRUNCATED', () => scan(sized('f', '0', 513), 'x')],
  ['a size of 8 EiB', 'TAR_HEADER_INVALID', () => scan(header('f', '0', { 124: `\x80${'\x7f'.repeat(11)}` }))],
  ['a negative size', 'TAR_HEADER_INVALID', () => scan(header('f', '0', { 124: '\xff'.repeat(12) }))],
  ['a negative size of an extension', 'TAR_HEADER_INVALID', () => scan(header('x', 'L', { 124: '\xff'.repeat(12) }))],
  ['digits that are none', 'TAR_HEADER_INVALID', () => scan(header('f', '0', { 100: '00abc\0' }))],
  ['an owner that no file can have', 'TAR_HEADER_INVALID', () => scan(pax(record('uid', '4294967295')), header('f'))],
  ['a device number beyond Linux', 'TAR_HEADER_INVALID', () => scan(header('d', '3', { 329: '0010000\0' }))],
  ['a zero block inside', 'TAR_HEADER_INVALID', () => scan(header('a'), Buffer.alloc(512), header('b'))],
  ['an extended header of 1 GiB', 'TAR_HEADER_INVALID', () => scan(sized('p', 'x', 2 ** 30), 'x')],
  ['an extended header with no member', 'TAR_TRUNCATED', () => scan(pax(record('mtime', '1')))],
  ['a record with a wrong length', 'TAR_PAX_INVALID', () => scan(pax('99 path=x\n'), header('f'))],
  ['a record of length 0', 'TAR_PAX_INVALID', () => scan(pax('0 path=x\n'), header('f'))],
  ['a record without a key', 'TAR_PAX_INVALID', () => scan(pax(record('', 'x')), header('f'))],
  ['an attribute without a name', 'TAR_PAX_INVALID', () => scan(pax(record('SCHILY.xattr.', 'x')), header('f'))],
  ['a size that is no number', 'TAR_HEADER_INVALID', () => scan(pax(record('size', '-1')), header('f'))],
  ['a time that is no number', 'TAR_HEADER_INVALID', () => scan(pax(record('mtime', 'now')), header('f'))],
  ['../x', 'TAR_PATH_ESCAPES', () => scan(header('../x'))],
  ['a/../../b', 'TAR_PATH_ESCAPES', () => scan(header('a/../../b'))],
  ['/../x', 'TAR_PATH_ESCAPES', () => scan(header('/../x'))],
  ['a hardlink to outside', 'TAR_PATH_ESCAPES', () => scan(header('l', '1', { 157: '../../etc/passwd' }))],
  ['an empty name', 'TAR_PATH_INVALID', () => scan(header(''))],
  ['a NUL in a name', 'TAR_PATH_INVALID', () => scan(pax(record('path', 'a\0b')), header('f'))],
  ['a name of 256 bytes', 'TAR_PATH_INVALID', () => scan(pax(record('path', 'n'.repeat(256))), header('f'))],
  ['a path of 4097 bytes', 'TAR_PATH_INVALID', () => scan(pax(record('path', `${'d/'.repeat(2048)}x`)), header('f'))],
  ['a symlink to nothing', 'TAR_LINK_INVALID', () => scan(header('l', '2'))],
  ['a NUL in a symlink', 'TAR_LINK_INVALID', () => scan(pax(record('linkpath', 'a\0b')), header('l', '2'))],
  ['the root as a symlink', 'TAR_ROOT_INVALID', () => scan(header('./', '2', { 157: '/etc' }))],
  ['the root as a file', 'TAR_ROOT_INVALID', () => scan(header('.'))],
  ['a member of an unknown type', 'TAR_TYPE_UNSUPPORTED', () => scan(header('m', 'M'))],
  ['a sparse map without a size', 'TAR_SPARSE_INVALID', () => scan(pax(record('GNU.sparse.map', '0,1')), header('f'))],
  [
    'sparse pieces that overlap',
    'TAR_SPARSE_INVALID',
    () => scan(sparsePax(record('GNU.sparse.map', '0,5,4,2')), header('f')),
  ],
  [
    'sparse pieces beyond the end',
    'TAR_SPARSE_INVALID',
    () => scan(sparsePax(record('GNU.sparse.map', '8,3')), header('f')),
  ],
  [
    'a sparse map of half a piece',
    'TAR_SPARSE_INVALID',
    () => scan(sparsePax(record('GNU.sparse.map', '8')), header('f')),
  ],
  [
    'more sparse data than there is',
    'TAR_HEADER_INVALID',
    () => scan(sparsePax(record('GNU.sparse.map', '0,9')), header('f')),
  ],
  [
    'a sparse map in the data that has no end',
    'TAR_SPARSE_INVALID',
    () =>
      scan(
        pax(record('GNU.sparse.major', '1'), record('GNU.sparse.minor', '0'), record('GNU.sparse.realsize', '9')),
        sized('f', '0', 512),
        '99\n1\n',
      ),
  ],
  [
    'a sparse map of a billion pieces',
    'TAR_SPARSE_INVALID',
    () =>
      scan(
        pax(record('GNU.sparse.major', '1'), record('GNU.sparse.minor', '0'), record('GNU.sparse.realsize', '9')),
        sized('f', '0', 512),
        '1000000000\n',
      ),
  ],
];

describe('scanTar refuses', () => {
  for (const [what, code, run] of refusals) {
    test(`${what}, as ${code}`, () => expect(run).toThrow(expect.objectContaining({ code })));
  }

  test('what mutation makes of real tars with coded errors only, and at once', () => {
    const seeds = [...gnuTars(), ...fc.sample(layerDrafts, { numRuns: 8, seed: 7 }).map(ownTar)];
    const mutation = fc.oneof(
      fc.record({ kind: fc.constant('byte' as const), at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) }),
      fc.record({ kind: fc.constant('digit' as const), at: fc.nat(), value: fc.integer({ min: 0x30, max: 0x39 }) }),
      fc.record({ kind: fc.constant('cut' as const), at: fc.nat(), value: fc.constant(0) }),
      fc.record({ kind: fc.constant('swap' as const), at: fc.nat(), value: fc.nat(40) }),
      fc.record({ kind: fc.constant('repeat' as const), at: fc.nat(), value: fc.nat(40) }),
    );
    fc.assert(
      fc.property(fc.nat(), fc.array(mutation, { minLength: 1, maxLength: 4 }), fc.boolean(), (seed, steps, repair) => {
        let tar = Buffer.from(seeds[seed % seeds.length]!);
        for (const { kind, at, value } of steps) tar = mutate(tar, kind, at, value);
        if (repair) fixChecksums(tar);
        const path = join(dir, 'mutated.tar');
        writeFileSync(path, tar);
        const start = performance.now();
        try {
          const entries = scanTar(path);
          layerTree(entries);
          encodeIndex(entries);
        } catch (error) {
          if (!(error instanceof StoreError)) throw error;
          expect(error.code).toMatch(/^TAR_[A-Z_]+$/);
        }
        expect(performance.now() - start).toBeLessThan(2000);
      }),
      { numRuns: Number(process.env.TSBUILD_FUZZ_RUNS ?? 3000) },
    );
  });
});

function gnuTars(): Buffer[] {
  const root = join(dir, 'seed');
  mkdirSync(join(root, 'sub'), { recursive: true });
  writeFileSync(join(root, 'sub', 'n'.repeat(120)), 'content');
  execFileSync('sh', [
    '-c',
    'cd "$1" && truncate -s 100000 s && printf x | dd of=s seek=50000 bs=1 conv=notrunc status=none && ln -s x sub/l && ln s sub/h',
    'sh',
    root,
  ]);
  return ['--format=gnu', '--sparse-version=0.0', '--sparse-version=0.1', '--sparse-version=1.0'].map((format) => {
    const path = join(dir, 'seed.tar');
    const options = format.startsWith('--format') ? [format] : ['--format=posix', format];
    execFileSync('tar', ['-C', root, '-b', '1', '--sparse', ...options, '-cf', path, '.'], { stdio: 'ignore' });
    return readFileSync(path);
  });
}

function ownTar(drafts: Parameters<typeof encodeTar>[0]): Buffer {
  return assembled(encodeTar(drafts).parts);
}

function mutate(tar: Buffer, kind: string, at: number, value: number): Buffer<ArrayBuffer> {
  const place = at % Math.max(1, tar.length);
  const blocks = Math.max(1, Math.floor(tar.length / 512));
  const from = (at % blocks) * 512;
  const to = (value % blocks) * 512;
  const copy = Buffer.from(tar);
  if (kind === 'cut') return Buffer.from(tar.subarray(0, place));
  if (kind === 'swap') {
    tar.copy(copy, from, to, to + 512);
    tar.copy(copy, to, from, from + 512);
  } else if (kind === 'repeat') {
    return Buffer.concat([tar.subarray(0, from), tar.subarray(to, to + 512), tar.subarray(from)]);
  } else if (place < copy.length) {
    copy[place] = value;
  }
  return copy;
}

/** So that mutations reach what lies behind the checksum. */
function fixChecksums(tar: Buffer): void {
  for (let at = 0; at + 512 <= tar.length; at += 512) {
    if (tar.toString('latin1', at + 257, at + 262) !== 'ustar') continue;
    let sum = 8 * 0x20;
    for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += tar[at + i]!;
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
  }
}
