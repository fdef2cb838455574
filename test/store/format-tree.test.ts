import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Host, type LayerMount, openHost } from '#native';
import { type DraftEntry, encodeIndex, encodeTar, scanTar, treeOps } from '../../store/index.js';
import { assembled } from '../support/assembly.js';
import { layerDrafts } from './format-arbitraries.js';
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
let host: Host;
let serial = 0;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'format-tree-'));
  if (obstacle === null) host = await openHost();
});
afterAll(async () => {
  if (obstacle === null) await host.close();
  rmSync(dir, { recursive: true, force: true });
  removeKernelTrees();
});

async function bothForms(drafts: readonly DraftEntry[]): Promise<{ index: LayerMount; tree: LayerMount }> {
  const base = join(dir, String(serial++));
  const tar = `${base}.tar`;
  const index = `${base}.erofs`;
  const { parts } = encodeTar(drafts);
  writeFileSync(tar, assembled(parts));
  const entries = scanTar(tar);
  writeFileSync(index, encodeIndex(entries)!);
  await host.applyTree(base, treeOps(entries, tar));
  return { index: { kind: 'index', index, tar }, tree: { kind: 'tree', dir: base } };
}

describe.skipIf(obstacle)(`a layer as a tree${obstacle ? ` (${obstacle})` : ''}`, () => {
  test('shows in an overlay what its index shows', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(layerDrafts, { minLength: 1, maxLength: 3 }), async (stack) => {
        const forms = [];
        for (const drafts of stack) forms.push(await bothForms(drafts));
        const options = { userxattr: true };
        const trees = overlayTree(
          forms.map(({ tree }) => tree),
          options,
        );
        const indexes = overlayTree(
          forms.map(({ index }) => index),
          options,
        );
        expect(withoutNotes(trees)).toEqual(withoutNotes(indexes));
      }),
      { numRuns: 30 },
    );
  });

  for (const version of ['0.0', '0.1', '1.0']) {
    test(`has sparse files of version ${version} with their holes`, async () => {
      const root = join(dir, `sparse-${version}`);
      mkdirSync(root);
      execFileSync('sh', [
        '-c',
        `cd "$1" && truncate -s 1M holes && truncate -s 300000 mixed &&
         for i in 0 9 20 21; do printf "data $i" | dd of=mixed bs=4096 seek=$i conv=notrunc status=none; done &&
         cp --sparse=never mixed dense`,
        'sh',
        root,
      ]);
      const tar = join(dir, `sparse-${version}.tar`);
      execFileSync('tar', ['-C', root, '--sparse', '--format=posix', `--sparse-version=${version}`, '-cf', tar, '.']);
      const entries = scanTar(tar);
      const tree = join(dir, `sparse-${version}-tree`);
      await host.applyTree(tree, treeOps(entries, tar));
      expect(directoryTree(tree)).toEqual(indexTree(encodeIndex(entries)!, tar));
      expect(Number(execFileSync('du', ['-k', join(tree, 'holes')], { encoding: 'utf8' }).split('\t')[0])).toBeLessThan(
        64,
      );
    });
  }
});
