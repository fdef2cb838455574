// One layer tar, read in every way there is: ours (mounted by its index, unpacked as a tree, looked up without a mount)
// and umoci's.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host, RawPath } from '#native';
import { encodeIndex, type Layer, openView, parseDiffId, scanTar, treeOps } from '../../store/index.js';
import { contentText, directoryTree, indexTree, type KernelFile, type KernelTree } from './kernel-tree.js';

export interface LayerForms {
  /** Null where no index can say it. */
  readonly index: KernelTree | null;
  readonly tree: KernelTree;
  /** What a lookup without a mount finds, by way of the index where there is one. */
  readonly view: KernelTree;
}

/** @param dir for temporary files */
export async function layerForms(host: Host, tar: string, dir: string): Promise<LayerForms> {
  const scratch = mkdtempSync(join(dir, 'forms-'));
  const entries = scanTar(tar);
  const index = encodeIndex(entries, statSync(tar).size);
  const indexPath = join(scratch, 'index');
  if (index !== null) writeFileSync(indexPath, index);
  const root = join(scratch, 'tree');
  await host.applyTree(root, treeOps(entries, tar));
  return {
    index: index && indexTree(index, tar),
    tree: directoryTree(root),
    view: viewTree([{ tarPath: tar, indexPath: index === null ? null : indexPath }]),
  };
}

/** Without the numbers of links, which the view has no use for: see `withoutLinks`. */
function viewTree(layers: readonly Pick<Layer, 'tarPath' | 'indexPath'>[]): KernelTree {
  const view = openView(
    layers.map((layer) => ({ ...layer, diffId: parseDiffId(`sha256:${'0'.repeat(64)}`), size: 0 })),
  );
  const tree: KernelTree = new Map();
  const visit = (dir: RawPath): void => {
    for (const entry of view.list(dir)) {
      tree.set(entry.path, {
        mode: typeBits[entry.type] | entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        size: entry.type === 'symlink' ? entry.linkTarget.length : entry.size,
        mtimeSec: entry.mtimeSec,
        mtimeNsec: entry.mtimeNsec,
        nlink: 0,
        firstName: '',
        device: `${entry.devMajor}:${entry.devMinor}`,
        target: entry.linkTarget,
        xattrs: Object.fromEntries(entry.xattrs.map(({ name, value }) => [name, value.toString('hex')])),
        content: contentText(view.read(entry)),
      });
      if (entry.type === 'dir') visit(entry.path);
    }
  };
  visit('' as RawPath);
  view.close();
  return tree;
}

const typeBits = {
  file: 0o100000,
  dir: 0o040000,
  symlink: 0o120000,
  char: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
} as const;

export function withoutLinks(tree: KernelTree): KernelTree {
  return mapFiles(tree, (file) => ({ ...file, nlink: 0, firstName: '' }));
}

export function mapFiles(tree: KernelTree, change: (file: KernelFile, path: string) => KernelFile): KernelTree {
  return new Map([...tree].map(([path, file]) => [path, file === 'broken' ? file : change(file, path)]));
}

/** What GNU tar unpacks. */
export function gnuTarTree(tar: string, dir: string): KernelTree {
  const root = mkdtempSync(join(dir, 'gnu-'));
  const options = ['--numeric-owner', '--xattrs', '--xattrs-include=*', '-p', '--delay-directory-restore'];
  execFileSync('tar', [...options, '-C', root, '-xf', tar], { stdio: ['ignore', 'ignore', 'pipe'] });
  return directoryTree(root);
}

/** What umoci makes of an image with these layers, base first. */
export function umociTree(tars: string | readonly string[], dir: string): KernelTree {
  const scratch = mkdtempSync(join(dir, 'umoci-'));
  const image = `${join(scratch, 'layout')}:it`;
  const umoci = (...args: string[]): void => void execFileSync('umoci', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  umoci('init', '--layout', join(scratch, 'layout'));
  umoci('new', '--image', image);
  for (const tar of [tars].flat()) umoci('raw', 'add-layer', '--image', image, tar);
  umoci('raw', 'unpack', '--image', image, join(scratch, 'root'));
  return directoryTree(join(scratch, 'root'));
}
