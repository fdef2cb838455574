import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RawPath } from '#native';
import { type DraftEntry, encodeIndex, encodeTar, scanTar } from '../../store/index.js';
import { assembled } from '../support/assembly.js';
import { draftTree } from './format-arbitraries.js';
import { directoryTree, indexTree, type KernelTree, mountObstacle, removeKernelTrees } from './kernel-tree.js';

const obstacle = mountObstacle();
const alpine = join(import.meta.dirname, '../../../shared/bases/alpine/alpine-minirootfs-3.20.3-x86_64.tar.gz');

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'format-index-'));
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
  removeKernelTrees();
});

function writeTar(name: string, drafts: readonly DraftEntry[]): string {
  const path = join(dir, name);
  writeFileSync(path, assembled(encodeTar(drafts).parts));
  return path;
}

function unpack(tar: string): string {
  const root = mkdtempSync(join(dir, 'unpacked-'));
  // Byte order of paths leaves a directory and enters it again; GNU tar would restore its time at the first leaving.
  const options = ['--numeric-owner', '--xattrs', '--xattrs-include=*', '-p', '--delay-directory-restore'];
  execFileSync('tar', [...options, '-C', root, '-xf', tar], { stdio: ['ignore', 'ignore', 'pipe'] });
  return root;
}

/** Directory sizes and the root's own fields belong to the file system that holds them. */
function withoutRoot(tree: KernelTree): KernelTree {
  const copy = new Map(tree);
  copy.delete('');
  return copy;
}

describe.skipIf(obstacle)(`an index, mounted over its tar${obstacle ? ` (${obstacle})` : ''}`, () => {
  test('shows what GNU tar unpacks, for any tree', () => {
    fc.assert(
      fc.property(draftTree, (drafts) => {
        const tar = writeTar('any.tar', drafts);
        const root = unpack(tar);
        const index = encodeIndex(scanTar(tar))!;
        expect(withoutRoot(indexTree(index, tar))).toEqual(withoutRoot(directoryTree(root)));
        rmSync(root, { recursive: true });
      }),
      { numRuns: 60 },
    );
  });

  for (const format of ['v7', 'ustar', 'gnu', 'posix']) {
    test(`shows what GNU tar unpacks from a ${format} tar`, () => {
      const root = mkdtempSync(join(dir, 'tree-'));
      mkdirSync(join(root, 'a/b'), { recursive: true });
      writeFileSync(join(root, 'a/b/file'), 'x'.repeat(5000));
      writeFileSync(join(root, 'a/empty'), '');
      execFileSync('sh', [
        '-c',
        'cd "$1" && ln a/b/file a/hard && ln -s b/file a/soft && chmod 4755 a/empty && touch -d @77.5 a/b',
        'sh',
        root,
      ]);
      if (format !== 'v7') {
        execFileSync('mkfifo', [join(root, 'pipe')]);
        execFileSync('mknod', [join(root, 'null'), 'c', '1', '3']);
      }
      if (format === 'gnu' || format === 'posix') writeFileSync(join(root, 'n'.repeat(200)), 'long');
      const tar = join(dir, `${format}.tar`);
      execFileSync('tar', ['-C', root, `--format=${format}`, '-cf', tar, '.']);
      const unpacked = unpack(tar);
      expect(indexTree(encodeIndex(scanTar(tar))!, tar)).toEqual(directoryTree(unpacked));
    });
  }

  for (const format of ['--format=gnu', '--sparse-version=0.0', '--sparse-version=0.1', '--sparse-version=1.0']) {
    test(`shows sparse files of ${format} with their holes`, () => {
      const root = mkdtempSync(join(dir, 'tree-'));
      execFileSync('sh', [
        '-c',
        `cd "$1" && truncate -s 1M holes && truncate -s 300000 mixed &&
         for i in 0 5 9 20 21 40 60; do printf "data $i" | dd of=mixed bs=4096 seek=$i conv=notrunc status=none; done &&
         head -c 70000 /dev/urandom > dense && printf after > z`,
        'sh',
        root,
      ]);
      const tar = join(dir, 'sparse.tar');
      const options = format.startsWith('--format') ? [format] : ['--format=posix', format];
      execFileSync('tar', ['-C', root, '--sparse', ...options, '-cf', tar, '.']);
      const entries = scanTar(tar);
      expect(entries.filter(({ sparse }) => sparse).map(({ path }) => path)).toEqual(
        expect.arrayContaining(['holes', 'mixed']),
      );
      expect(indexTree(encodeIndex(entries)!, tar)).toEqual(directoryTree(unpack(tar)));
    });
  }

  test.skipIf(!existsSync(alpine))('shows what GNU tar unpacks from an Alpine base', () => {
    const tar = join(dir, 'alpine.tar');
    execFileSync('sh', ['-c', 'gzip -dc "$1" > "$2"', 'sh', alpine, tar]);
    const mounted = indexTree(encodeIndex(scanTar(tar))!, tar);
    expect(mounted.size).toBeGreaterThan(500);
    expect(mounted).toEqual(directoryTree(unpack(tar)));
  });

  test('shows 20,000 files in one directory', () => {
    const drafts = Array.from({ length: 20_000 }, (_, i) => file(`f${String(i).padStart(5, '0')}`, String(i)));
    const tar = writeTar('many.tar', drafts);
    const tree = indexTree(encodeIndex(scanTar(tar))!, tar);
    expect(tree.size).toBe(20_001);
    for (const i of [0, 9999, 19999]) {
      expect(tree.get(`f${String(i).padStart(5, '0')}`)).toMatchObject({
        content: Buffer.from(String(i)).toString('hex'),
      });
    }
  });
});

function file(path: string, text: string): DraftEntry {
  const bytes = Buffer.from(text);
  return {
    path: path as RawPath,
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: bytes.length,
    mtimeSec: 1700000000,
    mtimeNsec: 0,
    linkTarget: '' as RawPath,
    devMajor: 0,
    devMinor: 0,
    xattrs: [],
    content: { bytes },
  };
}
