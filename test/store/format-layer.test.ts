import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FileStat, type RawPath, rawPath, walkTree } from '#native';
import {
  type DraftEntry,
  encodeIndex,
  encodeTar,
  type LayerNode,
  layerTree,
  overlayToDrafts,
  scanTar,
  type TarEntry,
} from '../../store/index.js';
import { assembled } from '../support/assembly.js';
import {
  directoryTree,
  indexTree,
  mountObstacle,
  overlayTree,
  removeKernelTrees,
  withoutNotes,
} from './kernel-tree.js';

const obstacle = mountObstacle();

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'format-layer-'));
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
  removeKernelTrees();
});

function entry(path: string, more: Partial<TarEntry> = {}): TarEntry {
  return {
    path: rawPath(path),
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtimeSec: 1,
    mtimeNsec: 0,
    linkTarget: '' as RawPath,
    devMajor: 0,
    devMinor: 0,
    xattrs: [],
    dataOffset: 512,
    ...more,
  };
}

const folder = (path: string, mode = 0o755): TarEntry => entry(path, { type: 'dir', mode });
const link = (path: string, target: string): TarEntry => entry(path, { type: 'hardlink', linkTarget: rawPath(target) });
const symlink = (path: string, target: string): TarEntry =>
  entry(path, { type: 'symlink', linkTarget: rawPath(target) });

/** 'name', 'dir/', 'dir/!' if opaque, '-name' for a whiteout, with the content of files. */
function outline(entries: readonly TarEntry[]): string[] {
  const lines: string[] = [];
  const visit = (node: LayerNode, path: string): void => {
    if (node.children) lines.push(`${path}/${node.opaque ? '!' : ''}`);
    else lines.push(`${node.type === 'whiteout' ? '-' : ''}${path}${node.size > 0 ? `=${node.size}` : ''}`);
    for (const [name, child] of node.children ?? []) visit(child, path === '' ? name : `${path}/${name}`);
  };
  visit(layerTree(entries).root, '');
  return lines.slice(lines[0] === '/' ? 1 : 0).sort();
}

const readings: [string, TarEntry[], string[]][] = [
  ['the last of equal names', [entry('a', { size: 1 }), entry('a', { size: 2 })], ['a=2']],
  ['directories that nothing describes', [entry('a/b/c')], ['a/', 'a/b/', 'a/b/c']],
  ['a directory again, with its children', [folder('a'), entry('a/b'), folder('a')], ['a/', 'a/b']],
  ['a file in place of a directory and all in it', [folder('a'), entry('a/b/c'), entry('a')], ['a']],
  ['a directory in place of a file as a new one', [entry('a'), folder('a')], ['a/!']],
  [
    'an entry below a symlink as a directory in its place',
    [symlink('a', '/etc'), entry('a/passwd')],
    ['a/!', 'a/passwd'],
  ],
  [
    'a link chain and a write through it',
    [symlink('a', '.'), symlink('a/b', '..'), entry('a/b/x')],
    ['a/!', 'a/b/!', 'a/b/x'],
  ],
  ['a whiteout', [entry('d/.wh.x')], ['-d/x', 'd/']],
  ['a whiteout of a new file as nothing', [entry('.wh.x'), entry('x')], ['x']],
  ['a whiteout after the new file as nothing', [entry('x'), entry('.wh.x')], ['x']],
  ['a whiteout of a new directory as opaque', [entry('.wh.d'), folder('d'), entry('d/a')], ['d/!', 'd/a']],
  ['an opaque marker wherever it comes', [folder('d'), entry('d/a'), entry('d/.wh..wh..opq')], ['d/!', 'd/a']],
  ['the root as opaque', [entry('.wh..wh..opq'), entry('a')], ['/!', 'a']],
  [
    'the files of AUFS as nothing',
    [entry('.wh..wh.aufs'), folder('.wh..wh.plnk'), entry('.wh..wh.plnk/1.2'), entry('a')],
    ['a'],
  ],
  ['a whiteout of a name with dots', [entry('.wh..x')], ['-.x']],
  [
    'hardlinks to what comes before and after',
    [entry('a', { size: 3 }), link('b', 'a'), link('c', 'd'), entry('d', { size: 4 })],
    ['a=3', 'b=3', 'c=4', 'd=4'],
  ],
  [
    'links to links, in any order',
    [link('a', 'b'), link('b', 'c'), link('c', 'd'), entry('d', { size: 5 })],
    ['a=5', 'b=5', 'c=5', 'd=5'],
  ],
  [
    'a hardlink to what its target was then',
    [entry('a', { size: 1 }), link('b', 'a'), entry('a', { size: 2 })],
    ['a=2', 'b=1'],
  ],
  ['a link that was replaced as if it never was', [link('a', 'nowhere'), entry('a', { size: 6 })], ['a=6']],
  ['a hardlink to a symlink', [symlink('a', 'x'), link('b', 'a')], ['a', 'b']],
];

describe('layerTree takes', () => {
  for (const [what, entries, lines] of readings) {
    test(what, () => expect(outline(entries)).toEqual(lines.sort()));
  }

  test('hardlinks as one inode, with the number of its names', () => {
    const { root } = layerTree([entry('a'), link('b', 'a'), link('d/c', 'a'), entry('b')]);
    expect(root.children!.get('a')).toBe(root.children!.get('d')!.children!.get('c'));
    expect(root.children!.get('a')!.nlink).toBe(2);
    expect(root.nlink).toBe(3);
  });

  test('attributes that belong to images only', () => {
    const names = [
      'user.note',
      'security.capability',
      'trusted.overlay.opaque',
      'user.overlay.redirect',
      'security.selinux',
      'security.ima',
      'system.posix_acl_access',
      'trusted.x',
    ];
    const xattrs = names.map((name) => ({ name, value: Buffer.from('y') }));
    const { root } = layerTree([entry('a', { xattrs }), { ...folder('d'), xattrs }]);
    for (const node of [root.children!.get('a')!, root.children!.get('d')!]) {
      expect(node.xattrs.map(({ name }) => name)).toEqual(['user.note', 'security.capability']);
      expect(node.opaque).toBe(false);
    }
  });

  test('a million opaque markers and long chains of links in linear time', () => {
    const markers = Array.from({ length: 1_000_000 }, (_, i) => entry(`d${i % 1000}/.wh..wh..opq`));
    const chain = Array.from({ length: 100_000 }, (_, i) => link(`l${i}`, `l${i + 1}`));
    const start = performance.now();
    layerTree([...markers, ...chain, entry('l100000')]);
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

const refusals: [string, string, TarEntry[]][] = [
  ['a hardlink to nothing', 'TAR_HARDLINK_TARGET', [link('a', 'b')]],
  ['a hardlink to a directory', 'TAR_HARDLINK_TARGET', [folder('d'), link('a', 'd')]],
  ['a hardlink to a directory that comes later', 'TAR_HARDLINK_TARGET', [link('a', 'd'), folder('d')]],
  ['a hardlink to itself', 'TAR_HARDLINK_TARGET', [link('a', 'a')]],
  ['hardlinks in a circle', 'TAR_HARDLINK_TARGET', [link('a', 'b'), link('b', 'c'), link('c', 'a')]],
  ['a hardlink to a whiteout', 'TAR_HARDLINK_TARGET', [entry('.wh.x'), link('a', 'x')]],
  ['.wh.', 'TAR_WHITEOUT_INVALID', [entry('.wh.')]],
  ['.wh..', 'TAR_WHITEOUT_INVALID', [entry('.wh..')]],
  ['.wh...', 'TAR_WHITEOUT_INVALID', [entry('d/.wh...')]],
  ['.wh.x/y', 'TAR_WHITEOUT_INVALID', [entry('.wh.x/y')]],
  ['the character device 0:0', 'TAR_WHITEOUT_DEVICE', [entry('a', { type: 'char' })]],
];

describe('layerTree refuses', () => {
  for (const [what, code, entries] of refusals) {
    test(`${what}, as ${code}`, () => expect(() => layerTree(entries)).toThrow(expect.objectContaining({ code })));
  }
});

describe('encodeIndex gives up', () => {
  const sparse = (pieces: [number, number][], realSize = 10_000): TarEntry =>
    entry('f', { size: realSize, sparse: { realSize, pieces } });
  const inexpressible: [string, TarEntry][] = [
    ['sparse pieces off the blocks', sparse([[100, 200]])],
    ['a sparse piece that ends off a block before the end', sparse([[0, 100]])],
    ['more pieces than an index should have', sparse([[512, 512]], 2 ** 31)],
    ['an attribute of 64 KiB', entry('f', { xattrs: [{ name: 'user.x', value: Buffer.alloc(65536) }] })],
  ];
  for (const [what, one] of inexpressible) test(`on ${what}`, () => expect(encodeIndex([one])).toBeNull());

  test('on a tar that ends without the padding of its last content', () => {
    expect(encodeIndex([entry('f', { size: 3 })], 515)).toBeNull();
    expect(encodeIndex([entry('f', { size: 3 })], 1024)).not.toBeNull();
  });

  test('on a tar beyond 2 TiB', () => expect(encodeIndex([], 2 ** 41)).toBeNull());
});

function stat(path: string, more: Partial<FileStat> = {}): FileStat {
  return {
    path: rawPath(path),
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtimeSec: 5,
    mtimeNsec: 6,
    ctimeSec: 0,
    ctimeNsec: 0,
    dev: 1,
    ino: 1,
    nlink: 1,
    rdevMajor: 0,
    rdevMinor: 0,
    linkTarget: '' as RawPath,
    xattrs: [],
    ...more,
  };
}

const plainRoot = stat('', { type: 'dir', mode: 0o755 });

describe('overlayToDrafts', () => {
  test('finds nothing in an upperdir that nobody wrote to', () => {
    expect(overlayToDrafts([plainRoot], '/upper')).toEqual([]);
  });

  test('keeps the root only where its mode or owner was changed', () => {
    const drafts = overlayToDrafts([{ ...plainRoot, mode: 0o700 }], '/upper');
    expect(drafts.map(({ path, type, mode }) => [path, type, mode])).toEqual([['', 'dir', 0o700]]);
  });

  test('says what was deleted by markers that are the same in every build', () => {
    const opaque = [{ name: 'user.overlay.opaque', value: Buffer.from('y') }];
    const drafts = overlayToDrafts(
      [
        plainRoot,
        stat('d', { type: 'dir', mode: 0o755, xattrs: opaque }),
        stat('d/gone', { type: 'char', nlink: 2 }),
        stat('zero', { type: 'char', rdevMajor: 1, rdevMinor: 5 }),
      ],
      '/upper',
    );
    expect(drafts.map(({ path, type, mode, mtimeSec }) => [path, type, mode, mtimeSec])).toEqual([
      ['d', 'dir', 0o755, 5],
      ['d/.wh..wh..opq', 'file', 0, 0],
      ['d/.wh.gone', 'file', 0, 0],
      ['zero', 'char', 0o644, 5],
    ]);
  });

  test('links further names of an inode to the first and leaves sockets out', () => {
    const shared = { ino: 7, nlink: 2, size: 9 };
    const drafts = overlayToDrafts(
      [plainRoot, stat('a', shared), stat('b', { type: 'socket' }), stat('c', shared)],
      '/upper',
    );
    expect(drafts.map(({ path, type, linkTarget, size, content }) => [path, type, linkTarget, size, content])).toEqual([
      ['a', 'file', '', 9, { root: '/upper', path: 'a', offset: 0 }],
      ['c', 'hardlink', 'a', 0, undefined],
    ]);
  });

  test('keeps the attributes of images, with capabilities as the root of any container has them', () => {
    const inNamespace = Buffer.from('0100000300040000000000000000000000000000f0000070', 'hex');
    const xattrs = [
      { name: 'security.capability', value: inNamespace },
      { name: 'security.selinux', value: Buffer.from('x') },
      { name: 'trusted.overlay.origin', value: Buffer.alloc(0) },
      { name: 'user.note', value: Buffer.from('y') },
    ];
    const [draft] = overlayToDrafts([stat('ping', { xattrs })], '/upper');
    expect(draft!.xattrs.map(({ name, value }) => [name, value.toString('hex')])).toEqual([
      ['security.capability', '0100000200040000000000000000000000000000'],
      ['user.note', '79'],
    ]);
  });

  test('refuses names that would mean deleted files', () => {
    expect(() => overlayToDrafts([stat('d/.wh.x')], '/upper')).toThrow(
      expect.objectContaining({ code: 'LAYER_NAME_RESERVED' }),
    );
  });

  test('refuses what the overlay recorded as a change of a lower file', () => {
    const xattrs = [{ name: 'trusted.overlay.redirect', value: Buffer.from('/x') }];
    expect(() => overlayToDrafts([stat('d', { type: 'dir', xattrs })], '/upper')).toThrow(
      expect.objectContaining({ code: 'LAYER_OVERLAY_FEATURE' }),
    );
  });

  test.skipIf(obstacle)(
    `gives the layer that, on the ones below, is what the step left${obstacle ? ` (${obstacle})` : ''}`,
    async () => {
      const lower = join(dir, 'lower.tar');
      const base: DraftEntry[] = [
        { ...folder('etc'), mode: 0o755 },
        { ...entry('etc/gone'), size: 4, content: { bytes: Buffer.from('gone') } },
        { ...entry('etc/kept'), size: 4, content: { bytes: Buffer.from('kept') } },
        folder('old'),
        entry('old/a'),
        entry('old/b'),
        folder('turn'),
        entry('turn/inside'),
        entry('file'),
      ];
      writeFileSync(lower, assembled(encodeTar(base).parts));
      const baseIndex = join(dir, 'lower.erofs');
      writeFileSync(baseIndex, encodeIndex(scanTar(lower))!);
      const unpacked = join(dir, 'lower');
      mkdirSync(unpacked);
      execFileSync('tar', ['-C', unpacked, '-p', '-xf', lower]);

      const step = join(dir, 'step');
      for (const name of ['', 'upper', 'work', 'root', 'merged']) mkdirSync(join(step, name));
      const merged = join(step, 'merged.tar');
      execFileSync('unshare', [
        '-m',
        'sh',
        '-ec',
        `cd "$1"
       mount -t overlay -o "lowerdir=$2,upperdir=upper,workdir=work,redirect_dir=off,metacopy=off,index=off" none root
       cd root
       rm etc/gone; echo changed >> etc/kept; touch -d @1234.5 etc/kept
       rm -r old; mkdir old; echo new > old/c
       rm -r turn; echo file > turn
       rm file; mkdir file; mkdir -m 1777 file/sub
       echo x > 'two
lines'; ln 'two
lines' linked; ln linked etc/linked; ln -s /etc/kept soft; mkfifo pipe; mknod null c 1 3
       chmod 4755 linked; chown 1000:70000 soft -h
       head -c 100000 /dev/zero > zeros; truncate -s 1M holes
       cd ..; tar -C root --format=posix --xattrs --numeric-owner -cf "$3" .`,
        'sh',
        step,
        unpacked,
        merged,
      ]);
      const upper = join(step, 'upper');
      const drafts = overlayToDrafts(await walkTree(upper, { xattrs: true }), upper);
      expect(drafts.map(({ path }) => path)).toContain('etc/.wh.gone');

      const { parts, entries, size } = encodeTar(drafts);
      const tar = join(dir, 'step.tar');
      writeFileSync(tar, assembled(parts));
      const index = join(dir, 'step.erofs');
      writeFileSync(index, encodeIndex(entries, size)!);

      // What the step left, as an archive of the finished root tells it; directories that it never touched keep their times.
      const shown = overlayTree(
        [
          { kind: 'index', index: baseIndex, tar: lower },
          { kind: 'index', index, tar },
        ],
        { userxattr: false },
      );
      const left = indexTree(encodeIndex(scanTar(merged))!, merged);
      const plain = (tree: typeof left): unknown =>
        new Map(
          [...withoutNotes(tree)].map(([path, file]) => [path, file === 'broken' ? file : { ...file, nlink: 0 }]),
        );
      expect(plain(shown)).toEqual(plain(left));
      expect(directoryTree(upper).size).toBeGreaterThan(10);
    },
  );
});
