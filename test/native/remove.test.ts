import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { RawPath } from '#native';
import { encodeRemove } from '../../native/batch-codec.js';
import { nativeFile } from '../../native/locate.js';
import { applyTree, isRoot, scratchDir, ways } from './batch-program.js';

const meta = { mode: 0o755, uid: process.getuid!(), gid: process.getgid!(), mtimeSec: 1, mtimeNsec: 0, xattrs: [] };

for (const way of ways) {
  test(`remove ${way.name} takes everything away and follows no symlink`, async () => {
    const work = scratchDir('remove');
    const outside = join(work, 'outside');
    mkdirSync(join(work, 'tree/a/b'), { recursive: true });
    mkdirSync(outside);
    writeFileSync(join(outside, 'kept'), 'kept');
    writeFileSync(join(work, 'tree/a/b/file'), '');
    writeFileSync(Buffer.concat([Buffer.from(`${work}/tree/a/`), Buffer.from([0xff, 0x0a])]), '');
    execFileSync('mkfifo', [join(work, 'tree/fifo')]);
    symlinkSync(outside, join(work, 'tree/link'));
    symlinkSync(outside, join(work, 'link'));
    await way.remove([join(work, 'tree'), join(work, 'missing'), join(work, 'link')]);
    expect(readdirSync(work)).toEqual(['outside']);
    expect(readFileSync(join(outside, 'kept'), 'utf8')).toBe('kept');
  });

  test(`remove ${way.name} does not mind others that remove the same`, async () => {
    for (let round = 0; round < 20; round++) {
      const tree = join(scratchDir('remove'), 'tree');
      for (let i = 0; i < 30; i++) {
        mkdirSync(join(tree, `${i}/a/b`), { recursive: true });
        writeFileSync(join(tree, `${i}/a/file`), '');
      }
      await Promise.all([1, 2, 3, 4].map(() => way.remove([tree])));
      expect(existsSync(tree)).toBe(false);
    }
  });

  test(`remove ${way.name} goes as deep as directories are nested`, async () => {
    const tree = join(scratchDir('remove'), 'tree');
    const paths = Array.from(
      { length: 1500 },
      (_, i) =>
        Array(i + 1)
          .fill('d')
          .join('/') as RawPath,
    );
    applyTree(
      tree,
      paths.map((path) => ({ op: 'dir', path, meta })),
    );
    await way.remove([tree]);
    expect(existsSync(tree)).toBe(false);
  });
}

test.skipIf(!isRoot)(
  'an ordinary user can remove own directories without permissions (needs root to become one)',
  () => {
    const work = scratchDir('remove');
    mkdirSync(join(work, 'tree/closed/deep'), { recursive: true });
    writeFileSync(join(work, 'tree/closed/deep/file'), '');
    for (const path of ['tree/closed/deep/file', 'tree/closed/deep', 'tree/closed', 'tree', '']) {
      chownSync(join(work, path), 12345, 12345);
    }
    for (const path of ['tree/closed/deep', 'tree/closed', 'tree']) chmodSync(join(work, path), 0o000);
    const program = process.env.TSBUILD_TEST_BATCH ?? nativeFile('tsbuild-launcher');
    const run = spawnSync(program, ['remove'], { input: encodeRemove([join(work, 'tree')]), uid: 12345, gid: 12345 });
    expect(run.error).toBeUndefined();
    expect(readdirSync(work)).toEqual([]);
  },
);

test.skipIf(!isRoot)('what is mounted inside is not emptied (needs root)', async () => {
  const work = scratchDir('remove');
  mkdirSync(join(work, 'tree/mounted'), { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', join(work, 'tree/mounted')]);
  try {
    writeFileSync(join(work, 'tree/mounted/kept'), '');
    for (const way of ways) {
      await expect(way.remove([join(work, 'tree')])).rejects.toMatchObject({
        code: 'REMOVE_FAILED',
        errno: 'EXDEV',
        message: expect.stringContaining(join(work, 'tree/mounted')),
      });
    }
    expect(readdirSync(join(work, 'tree/mounted'))).toEqual(['kept']);
  } finally {
    execFileSync('umount', [join(work, 'tree/mounted')]);
  }
});
