// Layer tars that no tool writes on a good day, each beside a plain one that means the same: every form of ours shows what
// GNU tar unpacks from the plain one. A case says where its meaning comes from, if not from "the last of equal names wins".
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Host, openHost } from '#native';
import { importLayer } from '#store';
import { bytesOf, openTemp, tempDir } from './content-samples.js';
import { type KernelTree, mountObstacle, removeKernelTrees, withoutNotes } from './kernel-tree.js';
import { gnuTarTree, layerForms, mapFiles, withoutLinks } from './layer-readers.js';
import {
  archive,
  archiveEnd,
  file,
  folder,
  globalPax,
  gnuLong,
  hardlink,
  header,
  padded,
  pax,
  record,
  sized,
  symlink,
} from './raw-tar.js';

const obstacle = mountObstacle();

let dir: string;
let host: Host;
beforeAll(async () => {
  dir = tempDir();
  if (obstacle === null) host = await openHost();
});
afterAll(async () => {
  if (obstacle === null) await host.close();
  removeKernelTrees();
});

const longName = 'n'.repeat(255);
const deepPath = `${`${'d'.repeat(254)}/`.repeat(16)}${'f'.repeat(15)}`; // 4095 bytes
const binary = 'a=b\n\0\xff%3D';
const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64').replaceAll('=', '');
const sparseRecords = (map: string): Buffer =>
  pax(
    record('GNU.sparse.size', '3000'),
    record('GNU.sparse.numblocks', '2'),
    record('GNU.sparse.map', map),
    record('GNU.sparse.name', 'sparse'),
  );
const sparseContent = `${'\0'.repeat(1024)}${'A'.repeat(512)}${'\0'.repeat(512)}${'B'.repeat(952)}`;
const contiguous = Buffer.concat([sized('f', '7', 4), padded('text')]);

const cases: readonly (readonly [what: string, odd: Buffer, plain: Buffer])[] = [
  // Order and repetition
  [
    'children before their directory',
    archive(file('d/f', 'x'), folder('d', '0000700\0')),
    archive(folder('d', '0000700\0'), file('d/f', 'x')),
  ],
  ['a file twice', archive(file('f', 'old'), file('f', 'new!')), archive(file('f', 'new!'))],
  [
    'a directory twice',
    archive(folder('d'), file('d/f'), folder('d', '0001777\0')),
    archive(folder('d', '0001777\0'), file('d/f')),
  ],
  ['a directory, then a file in its place', archive(folder('d'), file('d/f'), file('d', 'x')), archive(file('d', 'x'))],
  [
    'a file, then a directory in its place',
    archive(file('d', 'x'), folder('d'), file('d/f')),
    archive(folder('d'), file('d/f')),
  ],
  [
    'a directory, a file in its place, and a directory again',
    archive(folder('d'), file('d/old'), file('d', 'x'), folder('d'), file('d/new')),
    archive(folder('d'), file('d/new')),
  ],
  [
    'a symlink, then a directory in its place',
    archive(symlink('d', '/etc'), folder('d'), file('d/f')),
    archive(folder('d'), file('d/f')),
  ],
  [
    'a directory, then a symlink in its place',
    archive(folder('d'), file('d/f'), symlink('d', '/etc')),
    archive(symlink('d', '/etc')),
  ],
  [
    'a hardlink before its file',
    archive(hardlink('a', 'b'), file('b', 'x')),
    archive(file('a', 'x'), hardlink('b', 'a')),
  ],
  [
    'a hardlink whose file is replaced later: it keeps what it was linked to, as link(2) does',
    archive(file('a', 'old'), hardlink('b', 'a'), file('a', 'new')),
    archive(file('b', 'old'), file('a', 'new')),
  ],
  [
    'a hardlink that is replaced',
    archive(file('a', 'x'), hardlink('b', 'a'), file('b', 'y')),
    archive(file('a', 'x'), file('b', 'y')),
  ],
  [
    'a hardlink twice',
    archive(file('a', 'x'), hardlink('b', 'a'), hardlink('b', 'a')),
    archive(file('a', 'x'), hardlink('b', 'a')),
  ],
  [
    'a hardlink to a symlink',
    archive(symlink('a', 'x'), hardlink('b', 'a')),
    archive(symlink('b', 'x'), hardlink('a', 'b')),
  ],
  [
    'a hardlink to a device',
    archive(header('a', '3', { 329: '0000001\0', 337: '0000003\0' }), hardlink('b', 'a')),
    archive(header('b', '3', { 329: '0000001\0', 337: '0000003\0' }), hardlink('a', 'b')),
  ],
  [
    'a hardlink to a pipe',
    archive(header('a', '6'), hardlink('b', 'a')),
    archive(header('b', '6'), hardlink('a', 'b')),
  ],
  [
    'a hardlink by way of an absolute, dotted name',
    archive(file('d/f', 'x'), hardlink('l', '/./d/../d//f')),
    archive(file('d/f', 'x'), hardlink('l', 'd/f')),
  ],
  // Names
  [
    'absolute and dotted names, slashes too many, ".." that stays inside',
    archive(
      file('/abs', '1'),
      file('./dot', '2'),
      file('a//b///c', '3'),
      folder('d/'),
      file('d/e/../f', '4'),
      folder('.//g/./'),
    ),
    archive(
      file('abs', '1'),
      file('dot', '2'),
      folder('a'),
      folder('a/b'),
      file('a/b/c', '3'),
      folder('d'),
      file('d/f', '4'),
      folder('g'),
    ),
  ],
  [
    'the root by its four names',
    archive(folder('./'), folder('/'), folder('.'), folder('a/..'), file('f')),
    archive(file('f')),
  ],
  [
    'a name of 255 bytes',
    archive(gnuLong('L', longName), file('x', '1')),
    archive(pax(record('path', longName)), file('x', '1')),
  ],
  [
    'a path of 4095 bytes',
    archive(gnuLong('L', deepPath), file('x', '1')),
    archive(pax(record('path', deepPath)), file('x', '1')),
  ],
  [
    'a symlink to 4095 bytes',
    archive(gnuLong('K', 't'.repeat(4095)), symlink('l', 'x')),
    archive(pax(record('linkpath', 't'.repeat(4095))), symlink('l', 'x')),
  ],
  [
    'bytes that are no text in names',
    archive(file('\xff\xfe\x01', '1'), symlink('\xe4', '\xc3')),
    archive(file('\xff\xfe\x01', '1'), symlink('\xe4', '\xc3')),
  ],
  [
    'a member name that is a PAX one and a GNU one: the GNU one',
    archive(pax(record('path', 'p')), gnuLong('L', 'g'), file('f', 'x')),
    archive(file('g', 'x')),
  ],
  // The archive itself
  ['no end marker', file('f', 'text'), archive(file('f', 'text'))],
  [
    'one zero block as the end',
    Buffer.concat([file('f', 'text'), archiveEnd.subarray(512)]),
    archive(file('f', 'text')),
  ],
  ['an end without the padding of the last content', file('f', 'text').subarray(0, 516), archive(file('f', 'text'))],
  [
    'rubbish after the end',
    Buffer.concat([archive(file('f', 'text')), Buffer.alloc(700, 'rubbish')]),
    archive(file('f', 'text')),
  ],
  [
    'another archive after the end',
    Buffer.concat([archive(file('f', 'text')), archive(file('g'))]),
    archive(file('f', 'text')),
  ],
  ['a volume label', archive(header('label', 'V'), file('f', 'x')), archive(file('f', 'x'))],
  ['a contiguous file', archive(contiguous), archive(file('f', 'text'))],
  // Numbers
  [
    'times before 1970 in base 256',
    archive(file('f', 'x', { 136: `${'\xff'.repeat(11)}\x9c` })),
    archive(pax(record('mtime', '-100')), file('f', 'x')),
  ],
  [
    'owners in base 256',
    archive(file('f', 'x', { 108: '\x80\0\0\0\xff\xff\xff\xfe', 116: '\x80\0\0\0\0\x30\0\0' })),
    archive(pax(record('uid', '4294967294'), record('gid', String(0x300000))), file('f', 'x')),
  ],
  [
    'numbers without a terminator, and with blanks',
    archive(file('f', 'x', { 100: '  0755 \0', 108: '00000017', 116: '     7 \0' })),
    archive(file('f', 'x', { 100: '0000755\0', 108: '0000017\0', 116: '0000007\0' })),
  ],
  [
    'a size that PAX corrects',
    archive(pax(record('size', '4')), file('f').subarray(0, 512), padded('text')),
    archive(file('f', 'text')),
  ],
  [
    'file types in the mode',
    archive(header('d', '5', { 100: '0040755\0' }), file('f', 'x', { 100: '0104755\0' })),
    archive(folder('d'), file('f', 'x', { 100: '0004755\0' })),
  ],
  [
    'a size of a directory',
    archive(sized('d', '5', 4096, { 100: '0000755\0' }), file('f')),
    archive(folder('d'), file('f')),
  ],
  // Extended headers
  [
    'global headers: their times and owners are those of all that follow, until taken back (POSIX pax)',
    archive(
      globalPax(record('mtime', '55.5'), record('uid', '7'), record('path', 'never')),
      file('a', '1'),
      pax(record('mtime', '66')),
      file('b', '2'),
      pax(record('uid', '')),
      file('c', '3'),
    ),
    archive(
      pax(record('mtime', '55.5'), record('uid', '7')),
      file('a', '1'),
      pax(record('mtime', '66'), record('uid', '7')),
      file('b', '2'),
      pax(record('mtime', '55.5')),
      file('c', '3'),
    ),
  ],
  [
    'attributes of star and libarchive, the former first, with any bytes in them',
    archive(
      pax(
        record('LIBARCHIVE.xattr.user.a', base64('wrong')),
        record('LIBARCHIVE.xattr.user.l%3D', base64(binary)),
        record('SCHILY.xattr.user.a', binary),
      ),
      file('f', 'x'),
    ),
    archive(pax(record('SCHILY.xattr.user.a', binary), record('SCHILY.xattr.user.l%3D', binary)), file('f', 'x')),
  ],
  [
    'attributes of the machine, which no image has',
    archive(
      pax(
        record('SCHILY.xattr.user.overlay.opaque', 'y'),
        record('SCHILY.xattr.trusted.overlay.redirect', '/etc'),
        record('SCHILY.xattr.security.selinux', 's'),
        record('SCHILY.xattr.user.k', 'v'),
      ),
      folder('d'),
    ),
    archive(pax(record('SCHILY.xattr.user.k', 'v')), folder('d')),
  ],
  [
    'records that nobody knows',
    archive(pax(record('comment', 'c'), record('VENDOR.x', binary), record('hdrcharset', 'BINARY')), file('f', 'x')),
    archive(file('f', 'x')),
  ],
  // Sparse files
  [
    'a sparse file in whole blocks',
    archive(
      sparseRecords('1024,512,2048,952'),
      sized('GNUSparse/sparse', '0', 1464),
      padded('A'.repeat(512) + 'B'.repeat(952)),
    ),
    archive(file('sparse', sparseContent)),
  ],
  [
    'a sparse file off the blocks',
    archive(
      sparseRecords('1000,12,2990,10'),
      sized('GNUSparse/sparse', '0', 22),
      padded('C'.repeat(12) + 'D'.repeat(10)),
    ),
    archive(file('sparse', `${'\0'.repeat(1000)}${'C'.repeat(12)}${'\0'.repeat(1978)}${'D'.repeat(10)}`)),
  ],
  [
    'a sparse file that is one hole',
    archive(sparseRecords('3000,0'), sized('GNUSparse/sparse', '0', 0)),
    archive(file('sparse', '\0'.repeat(3000))),
  ],
];

/** Directories that no member describes are from 1970 with us; with others from the time they are made. */
function withImpliedTimes(tree: KernelTree, ours: KernelTree): KernelTree {
  return mapFiles(tree, (each, path) => {
    const our = ours.get(path);
    const isImplied = our !== undefined && our !== 'broken' && (our.mode & 0o170000) === 0o040000 && our.mtimeSec === 0;
    return isImplied ? { ...each, mtimeSec: 0, mtimeNsec: 0 } : each;
  });
}

describe.skipIf(obstacle)(`a layer with${obstacle ? ` (skipped: ${obstacle})` : ''}`, () => {
  for (const [what, odd, plain] of cases) {
    test(what, async () => {
      const tar = join(tempDir(), 'odd.tar');
      writeFileSync(tar, odd);
      const plainTar = join(tempDir(), 'plain.tar');
      writeFileSync(plainTar, plain);
      const { store, lease } = await openTemp();
      const { tarPath } = await importLayer(store, lease, bytesOf(tar));
      expect(readFileSync(tarPath).equals(odd)).toBe(true);
      const { index, tree, view } = await layerForms(host, tarPath, dir);
      const meant = withoutNotes(gnuTarTree(plainTar, dir));
      const plainTree = withoutNotes(tree);
      if (index !== null) expect(withoutNotes(index)).toEqual(plainTree);
      expect(view).toEqual(withoutLinks(plainTree));
      expect(withImpliedTimes(meant, plainTree)).toEqual(plainTree);
    });
  }
});
