import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RawPath, rawPath } from '#native';
import {
  type DiffId,
  type DraftEntry,
  encodeIndex,
  encodeTar,
  type Layer,
  openView,
  type RootView,
  scanTar,
  visibleLayers,
} from '../../store/index.js';
import { assembled } from '../support/assembly.js';
import { layerDrafts } from './format-arbitraries.js';
import {
  type KernelFile,
  type KernelTree,
  mountObstacle,
  overlayTree,
  removeKernelTrees,
  withoutNotes,
} from './kernel-tree.js';

const obstacle = mountObstacle();

let dir: string;
let serial = 0;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'format-view-'));
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
  removeKernelTrees();
});

interface StoredLayer extends Layer {
  readonly indexPath: string;
}

function storeLayer(drafts: readonly DraftEntry[]): StoredLayer {
  const base = join(dir, String(serial++));
  const tarPath = `${base}.tar`;
  const indexPath = `${base}.erofs`;
  const { parts, entries, size } = encodeTar(drafts);
  writeFileSync(tarPath, assembled(parts));
  writeFileSync(indexPath, encodeIndex(entries, size)!);
  return { diffId: 'sha256:00' as DiffId, size, tarPath, indexPath };
}

type Shown = Omit<KernelFile, 'nlink'>;

const typeBits = { file: 0o100000, dir: 0o40000, symlink: 0o120000, char: 0o20000, block: 0o60000, fifo: 0o10000 };

/** Everything that the view shows, in the kernel's terms. */
function viewTree(view: RootView): Map<string, Shown> {
  const tree = new Map<string, Shown>();
  const firstNames = new Map<string, string>();
  const visit = (at: RawPath): void => {
    for (const entry of view.list(at)) {
      expect(view.lookup(entry.path, false)).toEqual(entry);
      const inode = entry.type === 'dir' ? entry.path : `${entry.layer}:${entry.inode}`;
      const first = firstNames.get(inode);
      if (first === undefined || entry.path < first) firstNames.set(inode, entry.path);
      tree.set(entry.path, {
        mode: typeBits[entry.type] | entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        size: entry.type === 'symlink' ? entry.linkTarget.length : entry.size,
        mtimeSec: entry.mtimeSec,
        mtimeNsec: entry.mtimeNsec,
        firstName: inode,
        device: `${entry.devMajor}:${entry.devMinor}`,
        target: entry.linkTarget,
        xattrs: Object.fromEntries(entry.xattrs.map(({ name, value }) => [name, value.toString('hex')])),
        content: entry.type === 'file' ? view.read(entry).toString('hex') : '',
      });
      if (entry.type === 'dir') visit(entry.path);
    }
  };
  visit(rawPath(''));
  for (const [path, shown] of tree) tree.set(path, { ...shown, firstName: firstNames.get(shown.firstName)! });
  return tree;
}

/** Names of files are not counted by a view. */
function comparable(tree: KernelTree): Map<string, Shown | 'broken'> {
  const shown = new Map<string, Shown | 'broken'>();
  for (const [path, file] of withoutNotes(tree)) {
    if (file === 'broken') {
      shown.set(path, file);
    } else {
      const { nlink: _, ...rest } = file;
      shown.set(path, rest);
    }
  }
  return shown;
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

const folder = (path: string): DraftEntry => draft(path, { type: 'dir', mode: 0o755 });
const link = (path: string, target: string): DraftEntry =>
  draft(path, { type: 'symlink', mode: 0o777, linkTarget: rawPath(target) });
const text = (path: string, content: string): DraftEntry => draft(path, { content: { bytes: Buffer.from(content) } });

describe('a view of a stack of layers', () => {
  for (const userxattr of [false, true]) {
    test.skipIf(obstacle)(
      `is what the kernel's overlay of them shows${userxattr ? ', as mounted in a user namespace' : ''}${obstacle ? ` (${obstacle})` : ''}`,
      () => {
        fc.assert(
          fc.property(fc.array(layerDrafts, { minLength: 1, maxLength: 4 }), (stack) => {
            const layers = stack.map(storeLayer);
            const kernel = overlayTree(
              visibleLayers(layers).map(({ indexPath, tarPath }) => ({
                kind: 'index' as const,
                index: indexPath!,
                tar: tarPath,
              })),
              { userxattr },
            );
            const view = openView(layers);
            expect(viewTree(view)).toEqual(comparable(kernel));
            view.close();
          }),
          { numRuns: 60 },
        );
      },
    );
  }

  test('is the same whether read from indexes or from the tars', () => {
    fc.assert(
      fc.property(fc.array(layerDrafts, { minLength: 1, maxLength: 4 }), (stack) => {
        const layers = stack.map(storeLayer);
        const indexed = openView(layers);
        const scanned = openView(layers.map((layer) => ({ ...layer, indexPath: null })));
        expect(viewTree(scanned)).toEqual(viewTree(indexed));
        indexed.close();
        scanned.close();
      }),
      { numRuns: 60 },
    );
  });

  test.skipIf(obstacle)('hides whiteouts of files that no lower layer has, as the kernel does with the index', () => {
    const layers = [storeLayer([folder('a'), text('a/.wh.gone', ''), text('a/here', 'x'), text('.wh.top', '')])];
    const kernel = overlayTree([{ kind: 'index', index: layers[0]!.indexPath, tar: layers[0]!.tarPath }], {
      userxattr: false,
    });
    expect([...comparable(kernel).keys()].sort()).toEqual(['a', 'a/here']);
    expect([...viewTree(openView(layers)).keys()]).toEqual(['a', 'a/here']);
  });

  test('shows nothing below a layer that empties the root, and neither must a mount of it', () => {
    const layers = [
      storeLayer([text('low', '')]),
      storeLayer([text('.wh..wh..opq', ''), text('mid', '')]),
      storeLayer([text('top', '')]),
    ];
    expect(visibleLayers(layers)).toEqual(layers.slice(1));
    expect([...viewTree(openView(layers)).keys()]).toEqual(['mid', 'top']);
  });

  const stack = (): RootView =>
    openView([
      storeLayer([
        folder('etc'),
        text('etc/passwd', 'root'),
        folder('usr'),
        folder('usr/bin'),
        text('usr/bin/sh', 'shell'),
        link('bin', 'usr/bin'),
        link('abs', '/usr/bin'),
        link('out', '../../../etc/passwd'),
        link('loop', 'loop2'),
        link('loop2', '/loop'),
        link('gone', 'nowhere/at/all'),
        ...Array.from({ length: 41 }, (_, i) => link(`s${i}`, i === 0 ? 'etc' : `s${i - 1}`)),
      ]),
      storeLayer([folder('usr'), folder('usr/bin'), text('usr/bin/env', 'env'), text('etc/.wh.passwd', '')]),
    ]);

  test('finds files through symlinks, which never lead outside', () => {
    const view = stack();
    for (const path of ['bin/sh', 'abs/sh', 'usr/../bin//./sh', '../../abs/../bin/sh']) {
      expect(view.lookup(rawPath(path), true)?.path).toBe('usr/bin/sh');
    }
    expect(view.read(view.lookup(rawPath('bin/sh'), true)!).toString()).toBe('shell');
    expect(view.read(view.lookup(rawPath('bin/sh'), true)!, 2).toString()).toBe('sh');
    expect(view.lookup(rawPath('bin'), false)?.type).toBe('symlink');
    expect(view.lookup(rawPath('bin'), true)).toMatchObject({ type: 'dir', path: 'usr/bin' });
    expect(view.list(rawPath('bin')).map(({ path, layer }) => [path, layer])).toEqual([
      ['usr/bin/env', 1],
      ['usr/bin/sh', 0],
    ]);
    view.close();
  });

  test('finds nothing where there is nothing', () => {
    const view = stack();
    for (const path of ['etc/passwd', 'out', 'gone', 'loop', 'usr/bin/sh/x', 'nowhere/x']) {
      expect(view.lookup(rawPath(path), true)).toBeNull();
    }
    expect(view.list(rawPath('usr/bin/sh'))).toEqual([]);
    expect(view.lookup(rawPath(''), true)).toMatchObject({ type: 'dir', mode: 0o755 });
    expect(openView([]).lookup(rawPath(''), true)).toBeNull();
    view.close();
  });

  test('resolves what exists of a path and keeps the rest', () => {
    const view = stack();
    expect(view.resolve(rawPath('bin/new/../file'))).toBe('usr/bin/file');
    expect(view.resolve(rawPath('out'))).toBe('etc/passwd');
    expect(view.resolve(rawPath('gone/x'))).toBe('nowhere/at/all/x');
    expect(view.resolve(rawPath('../..'))).toBe('');
    expect(view.resolve(rawPath('s39'))).toBe('etc');
    expect(() => view.resolve(rawPath('loop/x'))).toThrow(expect.objectContaining({ code: 'VIEW_SYMLINK_LOOP' }));
    expect(() => view.resolve(rawPath('s40'))).toThrow(expect.objectContaining({ code: 'VIEW_SYMLINK_LOOP' }));
    view.close();
  });

  test('reads sparse files, holes as zeros', () => {
    const root = join(dir, 'sparse');
    mkdirSync(root);
    execFileSync('sh', [
      '-c',
      'cd "$1" && truncate -s 300000 f && for i in 0 9 20; do printf "data $i" | dd of=f bs=4096 seek=$i conv=notrunc status=none; done && tar --sparse --format=posix -cf ../sparse.tar f',
      'sh',
      root,
    ]);
    const tarPath = join(dir, 'sparse.tar');
    const indexPath = join(dir, 'sparse.erofs');
    writeFileSync(indexPath, encodeIndex(scanTar(tarPath))!);
    for (const index of [indexPath, null]) {
      const view = openView([{ diffId: 'sha256:00' as DiffId, size: 0, tarPath, indexPath: index }]);
      const entry = view.lookup(rawPath('f'), true)!;
      expect(view.read(entry).equals(readFileSync(join(root, 'f')))).toBe(true);
      expect(view.read(entry, 40_000).equals(readFileSync(join(root, 'f')).subarray(0, 40_000))).toBe(true);
      view.close();
    }
  });

  test('says of a damaged index that it is damaged, whatever byte is wrong', () => {
    const layer = storeLayer([folder('a'), text('a/b', 'x'), link('c', 'a'), draft('d', { uid: 70_000 })]);
    const good = readFileSync(layer.indexPath);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, flip, cut) => {
        const bad = Buffer.from(cut ? good.subarray(0, at) : good);
        if (!cut) bad[at]! ^= flip;
        writeFileSync(layer.indexPath, bad);
        try {
          const view = openView([layer]);
          for (const entry of view.list(rawPath(''))) view.lookup(entry.path, true);
          view.list(rawPath('a'));
        } catch (error) {
          expect(error).toMatchObject({ code: 'INDEX_DAMAGED' });
        }
      }),
      { numRuns: 2000 },
    );
  });
});
