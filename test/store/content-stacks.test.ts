// A layer of deletions over another, in any order of its members: what an overlay of our forms shows is what umoci makes.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Host, type LayerMount, openHost } from '#native';
import { encodeIndex, scanTar, treeOps } from '../../store/index.js';
import { installed } from '../support/tsbuild.js';
import { tempDir } from './content-samples.js';
import { type KernelTree, mountObstacle, overlayTree, removeKernelTrees, withoutNotes } from './kernel-tree.js';
import { mapFiles, umociTree } from './layer-readers.js';
import { archive, file, folder, symlink } from './raw-tar.js';

const obstacle = mountObstacle() ?? (installed('umoci') ? null : 'no umoci');

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

const lower = archive(
  folder('d'),
  file('d/a', 'old a'),
  folder('d/sub'),
  file('d/sub/x', 'old x'),
  file('f', 'old f'),
  folder('e'),
  file('e/y', 'old y'),
  symlink('l', 'd'),
);

const uppers: readonly (readonly [what: string, upper: Buffer])[] = [
  ['whiteouts of a file and of a directory', archive(folder('d'), file('d/.wh.a'), file('.wh.e'))],
  ['a whiteout of what was never there', archive(file('.wh.never'), folder('d'), file('d/.wh.never'))],
  ['an opaque directory, marked first', archive(folder('d'), file('d/.wh..wh..opq'), file('d/new', 'n'))],
  ['an opaque directory, marked after its files', archive(folder('d'), file('d/new', 'n'), file('d/.wh..wh..opq'))],
  ['a whiteout, then a file of the name', archive(file('.wh.f'), file('f', 'new'))],
  ['a directory in place of a file', archive(folder('f'), file('f/in', 'x'))],
  ['a file in place of a directory', archive(file('d', 'x'))],
  ['a directory in place of a symlink', archive(folder('l'), file('l/in', 'x'))],
];

async function layerForms(tar: Buffer): Promise<{ path: string; index: LayerMount; tree: LayerMount }> {
  const scratch = mkdtempSync(join(dir, 'layer-'));
  const path = join(scratch, 'tar');
  writeFileSync(path, tar);
  const index = join(scratch, 'index');
  writeFileSync(index, encodeIndex(scanTar(path))!);
  await host.applyTree(join(scratch, 'tree'), treeOps(scanTar(path), path));
  return { path, index: { kind: 'index', index, tar: path }, tree: { kind: 'tree', dir: join(scratch, 'tree') } };
}

/** An overlay counts no links of directories that it merges. */
function comparable(tree: KernelTree): KernelTree {
  return mapFiles(withoutNotes(tree), (each) => ((each.mode & 0o170000) === 0o040000 ? { ...each, nlink: 0 } : each));
}

describe.skipIf(obstacle)(`over a layer${obstacle ? ` (skipped: ${obstacle})` : ''}`, () => {
  for (const [what, upper] of uppers) {
    test(what, async () => {
      const stack = [await layerForms(lower), await layerForms(upper)];
      const expected = comparable(
        umociTree(
          stack.map(({ path }) => path),
          dir,
        ),
      );
      for (const form of ['index', 'tree'] as const) {
        const mounts = stack.map((layer) => layer[form]);
        expect(comparable(overlayTree(mounts, { userxattr: form === 'tree' }))).toEqual(expected);
      }
    });
  }
});
