import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type FileStat, type RawPath, rawPath } from '#native';
import { decodeWalk, encodeWalk } from '../../native/batch-codec.js';
import { applyTree, isRoot, netBindCapability, runBatch, scratchDir, setXattr, ways } from './batch-program.js';

const withXattrs = { xattrs: true };

function byPath(stats: readonly FileStat[], path: string): FileStat {
  const found = stats.find((stat) => stat.path === path);
  if (!found) throw new Error(`no ${path}`);
  return found;
}

for (const way of ways) {
  test(`walk ${way.name} reports what lstat reports of every type of file`, async () => {
    const dir = scratchDir('walk');
    mkdirSync(join(dir, 'sub'), { mode: 0o1777 });
    writeFileSync(join(dir, 'sub/file'), 'hello');
    chmodSync(join(dir, 'sub/file'), 0o4755);
    utimesSync(join(dir, 'sub/file'), 5, 1234567890.5);
    linkSync(join(dir, 'sub/file'), join(dir, 'hardlink'));
    symlinkSync('../no/where', join(dir, 'symlink'));
    execFileSync('mkfifo', [join(dir, 'fifo')]);
    const server = createServer().listen(join(dir, 'socket'));
    const stats = await way.walk(dir, withXattrs);
    expect(stats.map((stat) => [stat.path, stat.type])).toEqual([
      ['', 'dir'],
      ['fifo', 'fifo'],
      ['hardlink', 'file'],
      ['socket', 'socket'],
      ['sub', 'dir'],
      ['sub/file', 'file'],
      ['symlink', 'symlink'],
    ]);
    for (const stat of stats.filter((s) => s.type !== 'socket')) {
      const node = lstatSync(join(dir, stat.path), { bigint: true });
      expect({
        mode: stat.mode,
        ids: [stat.uid, stat.gid, stat.dev, stat.ino, stat.nlink],
        size: stat.size,
        mtime: BigInt(stat.mtimeSec) * 1_000_000_000n + BigInt(stat.mtimeNsec),
        ctime: BigInt(stat.ctimeSec) * 1_000_000_000n + BigInt(stat.ctimeNsec),
      }).toEqual({
        mode: Number(node.mode & 0o7777n),
        ids: [node.uid, node.gid, node.dev, node.ino, node.nlink].map(Number),
        size: Number(node.size),
        mtime: node.mtimeNs,
        ctime: node.ctimeNs,
      });
    }
    server.close(); // only now: it removes the socket and so touches the directory
    expect(byPath(stats, 'symlink').linkTarget).toBe('../no/where');
    expect(byPath(stats, 'hardlink').ino).toBe(byPath(stats, 'sub/file').ino);
  });

  test.skipIf(!isRoot)(`walk ${way.name} reports device numbers (needs root)`, async () => {
    const dir = scratchDir('walk');
    execFileSync('mknod', [join(dir, 'block'), 'b', '259', '70000']);
    execFileSync('mknod', [join(dir, 'whiteout'), 'c', '0', '0']);
    const stats = await way.walk(dir, withXattrs);
    expect(byPath(stats, 'block')).toMatchObject({ type: 'block', rdevMajor: 259, rdevMinor: 70000 });
    expect(byPath(stats, 'whiteout')).toMatchObject({ type: 'char', rdevMajor: 0, rdevMinor: 0 });
  });

  test(`walk ${way.name} sorts by the bytes of the whole path`, async () => {
    const dir = scratchDir('walk');
    for (const path of ['a', 'a-b', 'a.d', 'b', 'Z']) mkdirSync(join(dir, path));
    for (const path of ['a/x', 'a-b/x', 'a.d/x', 'a0', 'é']) writeFileSync(join(dir, path), '');
    const paths = (await way.walk(dir, { xattrs: false })).map((stat) => stat.path);
    expect(paths).toEqual(
      [...paths].sort((a, b) => Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1'))),
    );
    expect(paths).toEqual(['', 'Z', 'a', 'a-b', 'a-b/x', 'a.d', 'a.d/x', 'a/x', 'a0', 'b', rawPath('é')]);
  });
}

test('names of any bytes come back as they are', async () => {
  const dir = scratchDir('walk');
  const names = [
    Buffer.from([0xff, 0xfe]),
    Buffer.from('new\nline'),
    Buffer.from([1, 2, 0x80]),
    Buffer.alloc(255, 0xc3),
  ];
  for (const name of names) writeFileSync(Buffer.concat([Buffer.from(`${dir}/`), name]), '');
  symlinkSync(Buffer.from([0xe9, 0x20]), join(dir, 'link'));
  const stats = await ways[0]!.walk(dir, withXattrs);
  const expected = [...names.map((name) => name.toString('latin1')), 'link', ''].sort();
  expect(stats.map((stat) => stat.path)).toEqual(expected);
  expect(byPath(stats, 'link').linkTarget).toBe('\xe9 ');
});

test.skipIf(!isRoot)(
  'extended attributes of files, directories, symlinks and devices are binary safe (needs root)',
  async () => {
    const dir = scratchDir('walk');
    writeFileSync(join(dir, 'file'), '');
    symlinkSync('file', join(dir, 'link'));
    execFileSync('mknod', [join(dir, 'device'), 'c', '1', '3']);
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    setXattr(join(dir, 'file'), 'security.capability', netBindCapability);
    setXattr(join(dir, 'file'), 'user.bytes', bytes);
    setXattr(join(dir, 'file'), 'user.empty', Buffer.alloc(0));
    setXattr(join(dir, 'file'), 'user.large', Buffer.alloc(2500, 7));
    for (const i of [1, 2, 3]) setXattr(join(dir, 'file'), `user.${'n'.repeat(200)}${i}`, Buffer.from([i]));
    setXattr(dir, 'trusted.overlay.opaque', Buffer.from('y'));
    setXattr(join(dir, 'link'), 'trusted.on-link', Buffer.from('l'));
    setXattr(join(dir, 'device'), 'trusted.on-device', Buffer.from('d'));
    for (const way of ways) {
      const stats = await way.walk(dir, withXattrs);
      expect(byPath(stats, 'file').xattrs).toEqual([
        { name: 'security.capability', value: netBindCapability },
        { name: 'user.bytes', value: bytes },
        { name: 'user.empty', value: Buffer.alloc(0) },
        { name: 'user.large', value: Buffer.alloc(2500, 7) },
        ...[1, 2, 3].map((i) => ({ name: `user.${'n'.repeat(200)}${i}`, value: Buffer.from([i]) })),
      ]);
      expect(byPath(stats, '').xattrs).toEqual([{ name: 'trusted.overlay.opaque', value: Buffer.from('y') }]);
      expect(byPath(stats, 'link').xattrs).toEqual([{ name: 'trusted.on-link', value: Buffer.from('l') }]);
      expect(byPath(stats, 'device').xattrs).toEqual([{ name: 'trusted.on-device', value: Buffer.from('d') }]);
    }
    const bare = await ways[0]!.walk(dir, { xattrs: false });
    expect(bare.every((stat) => stat.xattrs.length === 0)).toBe(true);
  },
);

test('symlinks to directories, loops and sizes beyond 4 GiB are only described', async () => {
  const dir = scratchDir('walk');
  symlinkSync('/', join(dir, 'root'));
  symlinkSync('loop', join(dir, 'loop'));
  symlinkSync('.', join(dir, 'self'));
  writeFileSync(join(dir, 'large'), '');
  truncateSync(join(dir, 'large'), 5 * 2 ** 30 + 1);
  const stats = await ways[0]!.walk(dir, withXattrs);
  expect(stats.map((stat) => stat.path)).toEqual(['', 'large', 'loop', 'root', 'self']);
  expect(byPath(stats, 'large').size).toBe(5 * 2 ** 30 + 1);
});

test('paths longer than PATH_MAX and directories deeper than the open descriptors are walked', async () => {
  const dir = scratchDir('walk');
  const meta = { mode: 0o755, uid: process.getuid!(), gid: process.getgid!(), mtimeSec: 1, mtimeNsec: 0, xattrs: [] };
  const paths = Array.from(
    { length: 200 },
    (_, i) =>
      Array(i + 1)
        .fill('d'.repeat(60))
        .join('/') as RawPath,
  );
  applyTree(
    join(dir, 'deep'),
    paths.map((path) => ({ op: 'dir', path, meta })),
  );
  for (const way of ways) {
    const stats = await way.walk(join(dir, 'deep'), withXattrs);
    expect(stats.map((stat) => stat.path)).toEqual(['', ...paths]);
    expect(stats.slice(1).every((stat) => stat.mtimeSec === 1)).toBe(true);
  }
});

test('a directory that is not there is an error with its path and errno', async () => {
  const missing = join(scratchDir('walk'), 'missing');
  for (const way of ways) {
    await expect(way.walk(missing, withXattrs)).rejects.toMatchObject({
      code: 'WALK_FAILED',
      errno: 'ENOENT',
      message: expect.stringContaining(missing),
    });
  }
});

test('the tree of a file is an error, not an empty list', async () => {
  const file = join(scratchDir('walk'), 'file');
  writeFileSync(file, '');
  await expect(ways[0]!.walk(file, withXattrs)).rejects.toMatchObject({ code: 'WALK_FAILED', errno: 'ENOTDIR' });
});

test('paths too long to be listed without filling the memory are refused', async () => {
  const dir = scratchDir('walk');
  const meta = { mode: 0o755, uid: process.getuid!(), gid: process.getgid!(), mtimeSec: 1, mtimeNsec: 0, xattrs: [] };
  const name = 'n'.repeat(250);
  const paths = Array.from(
    { length: 140 },
    (_, i) =>
      Array(i + 1)
        .fill(name)
        .join('/') as RawPath,
  );
  applyTree(
    join(dir, 'deep'),
    paths.map((path) => ({ op: 'dir', path, meta })),
  );
  await expect(ways[0]!.walk(join(dir, 'deep'), withXattrs)).rejects.toMatchObject({ errno: 'ENAMETOOLONG' });
});

test('a reply cut short is an error, wherever it was cut', () => {
  const dir = scratchDir('walk');
  const reply = runBatch('walk', encodeWalk(dir, withXattrs));
  for (let length = 0; length < reply.length; length += 7) {
    expect(() => decodeWalk(reply.subarray(0, length))).toThrow(expect.objectContaining({ code: 'NATIVE_FAILED' }));
  }
});
