import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ApplyMeta, type ApplyOp, type FileStat, pathBytes, type RawPath, rawPath, walkTree } from '#native';
import { decodeApply, encodeApply } from '../../native/batch-codec.js';
import { nativeFile } from '../../native/locate.js';
import { applyTree, isRoot, netBindCapability, scratchDir } from './batch-program.js';

const ids = { uid: process.getuid!(), gid: process.getgid!() };
const meta: ApplyMeta = { mode: 0o644, ...ids, mtimeSec: 1700000000, mtimeNsec: 5, xattrs: [] };
const dirMeta: ApplyMeta = { ...meta, mode: 0o755 };
const bytes = (text: string): { size: number; content: { bytes: Buffer } } => ({
  size: Buffer.byteLength(text),
  content: { bytes: Buffer.from(text) },
});
const file = (path: string, text = '', more: Partial<ApplyMeta> = {}): ApplyOp => ({
  op: 'file',
  path: rawPath(path),
  meta: { ...meta, ...more },
  ...bytes(text),
});
const dir = (path: string, more: Partial<ApplyMeta> = {}): ApplyOp => ({
  op: 'dir',
  path: rawPath(path),
  meta: { ...dirMeta, ...more },
});

/** What apply can be asked for and walk tells again; content apart. */
function said(stats: readonly FileStat[]): object[] {
  return stats.map(({ path, type, mode, uid, gid, size, mtimeSec, mtimeNsec, linkTarget, xattrs, ...rest }) => ({
    path,
    type,
    ...(type === 'symlink' ? {} : { mode }),
    ...(type === 'file' ? { size } : {}),
    owner: [uid, gid],
    mtime: [mtimeSec, mtimeNsec],
    linkTarget,
    xattrs: xattrs.map(({ name, value }) => [name, value.toString('hex')]),
    device: [rest.rdevMajor, rest.rdevMinor],
  }));
}

test('apply makes directories, files, links and FIFOs with their owner, mode and times', async () => {
  const target = join(scratchDir('apply'), 'tree');
  applyTree(target, [
    dir('', { mode: 0o711 }),
    dir('sub', { mode: 0o1777, mtimeSec: 7, mtimeNsec: 123_456_789 }),
    file('sub/setuid', 'hello', { mode: 0o6755, mtimeSec: -5, mtimeNsec: 0 }),
    dir('sub/closed', { mode: 0 }),
    file('sub/closed/inside', 'x'),
    { op: 'symlink', path: rawPath('sub/symlink'), meta, target: rawPath('/etc/passwd') },
    { op: 'link', path: rawPath('hardlink'), target: rawPath('sub/setuid') },
    { op: 'fifo', path: rawPath('fifo'), meta },
  ]);
  const stats = new Map((await walkTree(target, { xattrs: true })).map((stat) => [stat.path as string, stat]));
  expect([...stats.keys()]).toEqual([
    '',
    'fifo',
    'hardlink',
    'sub',
    'sub/closed',
    'sub/closed/inside',
    'sub/setuid',
    'sub/symlink',
  ]);
  expect(stats.get('')).toMatchObject({ type: 'dir', mode: 0o711, mtimeSec: 1700000000, mtimeNsec: 5 });
  expect(stats.get('sub')).toMatchObject({ mode: 0o1777, mtimeSec: 7, mtimeNsec: 123_456_789 });
  expect(stats.get('sub/closed')).toMatchObject({ mode: 0, mtimeSec: 1700000000 });
  expect(stats.get('sub/setuid')).toMatchObject({ mode: 0o6755, mtimeSec: -5, nlink: 2, size: 5 });
  expect(stats.get('hardlink')!.ino).toBe(stats.get('sub/setuid')!.ino);
  expect(stats.get('sub/symlink')).toMatchObject({ type: 'symlink', linkTarget: '/etc/passwd', mtimeSec: 1700000000 });
  expect(stats.get('fifo')).toMatchObject({ type: 'fifo', mode: 0o644, mtimeSec: 1700000000 });
});

test.skipIf(!isRoot)('apply makes whiteouts, devices, foreign owners and capabilities (needs root)', async () => {
  const target = join(scratchDir('apply'), 'tree');
  const capability = { name: 'security.capability', value: netBindCapability };
  const opaque = { name: 'trusted.overlay.opaque', value: Buffer.from('y') };
  const onLink = { name: 'trusted.note', value: Buffer.from([0, 255]) };
  const skipped = applyTree(target, [
    dir('', { xattrs: [opaque] }),
    { op: 'whiteout', path: rawPath('gone') },
    { op: 'device', path: rawPath('null'), meta: { ...meta, mode: 0o666 }, block: false, major: 1, minor: 3 },
    { op: 'device', path: rawPath('disk'), meta, block: true, major: 259, minor: 70000 },
    file('ping', 'x', { uid: 1000, gid: 2000000, mode: 0o4755, xattrs: [capability] }),
    { op: 'symlink', path: rawPath('link'), meta: { ...meta, uid: 7, xattrs: [onLink] }, target: rawPath('ping') },
  ]);
  expect(skipped).toEqual([]);
  const stats = new Map((await walkTree(target, { xattrs: true })).map((stat) => [stat.path as string, stat]));
  expect(stats.get('')!.xattrs).toEqual([opaque]);
  expect(stats.get('gone')).toMatchObject({ type: 'char', mode: 0, rdevMajor: 0, rdevMinor: 0 });
  expect(stats.get('null')).toMatchObject({ type: 'char', mode: 0o666, rdevMajor: 1, rdevMinor: 3 });
  expect(stats.get('disk')).toMatchObject({ type: 'block', rdevMajor: 259, rdevMinor: 70000 });
  expect(stats.get('ping')).toMatchObject({ uid: 1000, gid: 2000000, mode: 0o4755, xattrs: [capability] });
  expect(stats.get('link')).toMatchObject({ uid: 7, xattrs: [onLink] });
});

test('apply copies content out of a tar and keeps its holes', () => {
  const work = scratchDir('apply');
  const tar = openSync(join(work, 'tar'), 'w');
  const small = Buffer.alloc(5000, 'small');
  const large = Buffer.alloc(900_000, 'large');
  writeSync(tar, small, 0, small.length, 512);
  writeSync(tar, large, 0, large.length, 8192);
  writeSync(tar, large, 0, 1000, 50_000_000);
  closeSync(tar);
  truncateSync(join(work, 'tar'), 90_000_000);
  const part = (path: string, offset: number, size: number): ApplyOp => ({
    op: 'file',
    path: rawPath(path),
    meta,
    size,
    content: { root: work, path: rawPath('tar'), offset },
  });
  const target = join(work, 'tree');
  applyTree(target, [
    dir(''),
    part('small', 512, 5000),
    part('large', 8192, 900_000),
    part('sparse', 8192, 80_000_000),
    part('hole', 60_000_000, 20_000_000),
  ]);
  expect(readFileSync(join(target, 'small')).equals(small)).toBe(true);
  expect(readFileSync(join(target, 'large')).equals(large)).toBe(true);
  const expected = Buffer.alloc(80_000_000);
  large.copy(expected);
  large.copy(expected, 50_000_000 - 8192, 0, 1000);
  expect(readFileSync(join(target, 'sparse')).equals(expected)).toBe(true);
  expect(statSync(join(target, 'hole'))).toMatchObject({ size: 20_000_000, blocks: 0 });
  expect(statSync(join(target, 'sparse')).blocks * 512).toBeLessThan(2_000_000);
});

const escapes: [string, ApplyOp[]][] = [
  ['a symlink as parent', [{ op: 'symlink', path: rawPath('up'), meta, target: rawPath('..') }, file('up/x')]],
  [
    'an absolute symlink as parent',
    [{ op: 'symlink', path: rawPath('tmp'), meta, target: rawPath('/tmp') }, file('tmp/x')],
  ],
  ['".." as parent', [file('../x')]],
  ['".." as name', [dir('sub'), dir('sub/..')]],
  ['an absolute path', [file('/x')]],
  ['a hardlink from above', [{ op: 'link', path: rawPath('passwd'), target: rawPath('../../../etc/passwd') }]],
  [
    'a hardlink through a symlink',
    [
      { op: 'symlink', path: rawPath('etc'), meta, target: rawPath('/etc') },
      { op: 'link', path: rawPath('x'), target: rawPath('etc/passwd') },
    ],
  ],
  ['a file over a symlink', [{ op: 'symlink', path: rawPath('x'), meta, target: rawPath('../x') }, file('x')]],
  ['a missing parent', [file('none/x')]],
];
for (const [name, ops] of escapes) {
  test(`apply refuses ${name}`, () => {
    const work = scratchDir('apply');
    expect(() => applyTree(join(work, 'tree'), [dir(''), ...ops])).toThrow(
      expect.objectContaining({ code: 'WRITE_FAILED' }),
    );
    expect(readdirSync(work)).toEqual(['tree']);
  });
}

test.skipIf(!isRoot)(
  'an ordinary user makes own files with attributes and without permissions (needs root to become one)',
  async () => {
    const work = scratchDir('apply');
    chownSync(work, 12345, 12345);
    const own = { uid: 12345, gid: 12345, xattrs: [{ name: 'user.note', value: Buffer.from('n') }] };
    const ops = [dir('', own), dir('closed', { ...own, mode: 0 }), file('closed/file', 'x', { ...own, mode: 0o4444 })];
    const program = process.env.TSBUILD_TEST_BATCH ?? nativeFile('tsbuild-launcher');
    const request = encodeApply(join(work, 'tree'), ops);
    decodeApply(spawnSync(program, ['apply'], { input: request, uid: 12345, gid: 12345 }).stdout);
    expect(
      (await walkTree(join(work, 'tree'), { xattrs: true })).map(({ mode, uid, xattrs }) => [mode, uid, xattrs]),
    ).toEqual([
      [0o755, 12345, own.xattrs],
      [0, 12345, own.xattrs],
      [0o4444, 12345, own.xattrs],
    ]);
  },
);

test('apply refuses a directory that exists', () => {
  const work = scratchDir('apply');
  expect(() => applyTree(work, [])).toThrow(expect.objectContaining({ code: 'WRITE_FAILED', errno: 'EEXIST' }));
});

test('apply says which source is shorter than promised', () => {
  const work = scratchDir('apply');
  writeFileSync(join(work, 'tar'), 'short');
  const content = { root: work, path: rawPath('tar'), offset: 2 };
  expect(() => applyTree(join(work, 'tree'), [{ op: 'file', path: rawPath('x'), meta, size: 4, content }])).toThrow(
    expect.objectContaining({ code: 'FILE_CHANGED', message: expect.stringContaining('tar') }),
  );
});

test.skipIf(!isRoot)(
  'apply in a user namespace leaves out devices and links to them, but makes whiteouts (needs root)',
  () => {
    const work = scratchDir('apply');
    chmodSync(work, 0o777);
    const program = process.env.TSBUILD_TEST_BATCH;
    process.env.TSBUILD_TEST_BATCH = join(work, 'in-userns');
    const real = program ?? nativeFile('tsbuild-launcher');
    writeFileSync(join(work, 'in-userns'), `#!/bin/sh\nexec unshare --user --map-root-user ${real} "$@"\n`, {
      mode: 0o755,
    });
    try {
      const skipped = applyTree(join(work, 'tree'), [
        dir(''),
        { op: 'device', path: rawPath('null'), meta, block: false, major: 1, minor: 3 },
        { op: 'link', path: rawPath('zero'), target: rawPath('null') },
        { op: 'whiteout', path: rawPath('gone') },
      ]);
      expect(skipped).toEqual(['null', 'zero']);
      expect(readdirSync(join(work, 'tree'))).toEqual(['gone']);
    } finally {
      if (program === undefined) delete process.env.TSBUILD_TEST_BATCH;
      else process.env.TSBUILD_TEST_BATCH = program;
    }
  },
);

const name = fc
  .oneof(
    fc.constantFrom('a', 'b', 'a-b', 'a.b', '~'),
    fc
      .array(
        fc.integer({ min: 1, max: 255 }).filter((b) => b !== 47),
        { minLength: 1, maxLength: 9 },
      )
      .map((b) => String.fromCharCode(...b)),
  )
  .filter((text) => text !== '.' && text !== '..');
const someMeta = fc.record({
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: isRoot ? fc.constantFrom(0, 1, 1000, 3_000_000_000) : fc.constant(ids.uid),
  gid: isRoot ? fc.constantFrom(0, 5, 65534) : fc.constant(ids.gid),
  mtimeSec: fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 33 }),
  mtimeNsec: fc.integer({ min: 0, max: 999_999_999 }),
  xattrs: fc
    .uniqueArray(
      fc.record({
        name: fc.constantFrom('user.a', 'user.b', 'user.c'),
        value: fc.uint8Array({ maxLength: 60 }).map((b) => Buffer.from(b)),
      }),
      { selector: (x) => x.name, maxLength: 3 },
    )
    .map((list) => list.sort((a, b) => (a.name < b.name ? -1 : 1))),
});
const node = fc.record({
  kind: fc.constantFrom('dir', 'dir', 'file', 'symlink', 'fifo'),
  depth: fc.nat(3),
  name,
  meta: someMeta,
  text: fc.uint8Array({ maxLength: 100 }),
});

test('walk tells of a tree what apply was asked for', async () => {
  const work = scratchDir('apply');
  let run = 0;
  await fc.assert(
    fc.asyncProperty(someMeta, fc.array(node, { maxLength: 25 }), async (rootMeta, nodes) => {
      const target = join(work, `tree-${run++}`);
      const ops = new Map<string, ApplyOp>([['', { op: 'dir', path: '' as RawPath, meta: rootMeta }]]);
      const dirs = [''];
      for (const { kind, depth, name, meta, text } of nodes) {
        const parent = dirs[depth % dirs.length]!;
        const path = (parent ? `${parent}/${name}` : name) as RawPath;
        if (ops.has(path)) continue;
        const bare = { ...meta, xattrs: [] };
        if (kind === 'dir') dirs.push(path);
        if (kind === 'dir') ops.set(path, { op: 'dir', path, meta });
        else if (kind === 'file')
          ops.set(path, { op: 'file', path, meta, size: text.length, content: { bytes: text } });
        else if (kind === 'fifo') ops.set(path, { op: 'fifo', path, meta: bare });
        else
          ops.set(path, {
            op: 'symlink',
            path,
            meta: bare,
            target: (Buffer.from([...text].map((b) => b || 1)).toString('latin1') as RawPath) || ('x' as RawPath),
          });
      }
      applyTree(target, [...ops.values()]);
      const stats = await walkTree(target, { xattrs: true });
      const sorted = [...ops.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
      expect(said(stats)).toEqual(sorted.map(expected));
      for (const op of sorted) {
        if (op.op !== 'file' || !('bytes' in op.content)) continue;
        if (isRoot)
          expect(
            readFileSync(Buffer.concat([Buffer.from(`${target}/`), pathBytes(op.path)])).equals(op.content.bytes),
          ).toBe(true);
      }
    }),
    { numRuns: 100 },
  );
});

function expected(op: ApplyOp): object {
  if (op.op === 'link' || op.op === 'whiteout' || op.op === 'device') throw new Error('not generated');
  return {
    path: op.path,
    type: op.op,
    ...(op.op === 'symlink' ? {} : { mode: op.meta.mode }),
    ...(op.op === 'file' ? { size: op.size } : {}),
    owner: [op.meta.uid, op.meta.gid],
    mtime: [op.meta.mtimeSec, op.meta.mtimeNsec],
    linkTarget: op.op === 'symlink' ? op.target : '',
    xattrs: op.meta.xattrs.map(({ name, value }) => [name, value.toString('hex')]),
    device: [0, 0],
  };
}
