// Trees: unpacked layers against their tars. Derived and made again on demand, so a wrong one is dropped.
import { randomUUID } from 'node:crypto';
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { Assembly, assembleTar, type ContentRef, type FileStat, type Host, type RawPath } from '#native';
import { whileLocked } from '../content/lease.js';
import * as paths from '../content/paths.js';
import type { LayerRow } from '../content/schema.js';
import { scanTar } from '../format/tar-scan.js';
import { treeOps } from '../format/tree-ops.js';
import { type DiffId, parseDiffId } from '../words.js';
import type { Checking } from './checking.js';
import { type Outcome, type Problem, repaired } from './finding.js';

export async function checkTrees(check: Checking): Promise<void> {
  const { snapshot, store } = check;
  for (const name of snapshot.names.trees) {
    if (!/^[0-9a-f]{64}$/.test(name)) continue; // told as a stray
    const diffId = parseDiffId(`sha256:${name}`);
    if (!snapshot.trees.has(diffId)) {
      add(check, diffId, {
        severity: 'leftover',
        code: 'ORPHANED',
        message: 'a tree that the database does not know',
        remedy: "'tsbuild fsck --repair' and 'tsbuild gc' remove it",
      });
    }
  }
  for (const diffId of snapshot.trees) {
    const row = snapshot.layers.get(diffId);
    if (!existsSync(paths.treeRoot(store.dir, diffId))) {
      if (store.database.hasTree(diffId)) {
        add(check, diffId, {
          severity: 'leftover',
          code: 'MISSING',
          message: 'the tree is missing',
          remedy: 'it is made again when it is needed',
        });
      }
    } else if (row !== undefined && check.readsData(diffId)) {
      await compareTree(check, row);
    }
  }
}

async function compareTree(check: Checking, row: LayerRow): Promise<void> {
  const { diffId } = row;
  const host = await check.host();
  if (host === null) return;
  const trouble = await treeTrouble(host, check.store.dir, row);
  if (trouble === null || !check.store.database.hasTree(diffId)) return;
  if (!existsSync(paths.treeRoot(check.store.dir, diffId))) return; // collected meanwhile
  add(check, diffId, {
    severity: 'problem',
    code: 'DAMAGED',
    message: trouble,
    remedy: "'tsbuild fsck --repair' drops it: it is made again when it is needed",
  });
}

interface Expected {
  readonly type: FileStat['type'];
  readonly mode: number | null;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly size: number;
  readonly linkTarget: string;
  readonly device: readonly [number, number];
  readonly content: ContentRef | null;
}

/** What of the tree is not as its tar says; null if nothing is. */
async function treeTrouble(host: Host, dir: string, { diffId, size }: LayerRow): Promise<string | null> {
  const tar = paths.tarPath(dir, diffId);
  const root = paths.treeRoot(dir, diffId);
  try {
    const expected = expectedFiles(tar, size);
    const stats = await host.walk(root, { xattrs: false });
    const files: [RawPath, number, ContentRef][] = [];
    for (const stat of stats) {
      const want = expected.get(stat.path);
      if (want === undefined) return `${shown(stat.path)} is not in its tar`;
      const trouble = statTrouble(stat, want);
      if (trouble !== null) return `${shown(stat.path)}: ${trouble}`;
      expected.delete(stat.path);
      if (want.content !== null) files.push([stat.path, want.size, want.content]);
    }
    const [lost] = expected.keys();
    if (lost !== undefined) return `${shown(lost)} is missing`;
    return await contentTrouble(host, root, files);
  } catch (error) {
    return (error as Error).message;
  }
}

function expectedFiles(tar: string, size: number): Map<string, Expected> {
  const files = new Map<string, Expected>();
  for (const op of treeOps(scanTar(tar, size), tar)) {
    if (op.op === 'link') {
      files.set(op.path, { ...files.get(op.target)!, content: null });
      continue;
    }
    const meta = op.op === 'whiteout' ? null : op.meta;
    files.set(op.path, {
      type: op.op === 'whiteout' ? 'char' : op.op === 'device' ? (op.block ? 'block' : 'char') : op.op,
      mode: meta === null || op.op === 'symlink' ? null : meta.mode,
      uid: meta?.uid ?? null,
      gid: meta?.gid ?? null,
      size: op.op === 'file' ? op.size : 0,
      linkTarget: op.op === 'symlink' ? op.target : '',
      device: op.op === 'device' ? [op.major, op.minor] : [0, 0],
      content: op.op === 'file' && op.size > 0 ? op.content : null,
    });
  }
  return files;
}

function statTrouble(stat: FileStat, want: Expected): string | null {
  if (stat.type !== want.type) return `a ${stat.type} instead of a ${want.type}`;
  if (want.mode !== null && stat.mode !== want.mode) return `mode ${octal(stat.mode)} instead of ${octal(want.mode)}`;
  if (want.uid !== null && (stat.uid !== want.uid || stat.gid !== want.gid)) {
    return `owner ${stat.uid}:${stat.gid} instead of ${want.uid}:${want.gid}`;
  }
  if (stat.type === 'file' && stat.size !== want.size) return `${stat.size} bytes instead of ${want.size}`;
  if (stat.linkTarget !== want.linkTarget) return 'another target';
  const [major, minor] = want.device;
  const isDevice = stat.type === 'char' || stat.type === 'block';
  return isDevice && (stat.rdevMajor !== major || stat.rdevMinor !== minor) ? 'another device' : null;
}

/** Files of the tree by the digests of their bytes against those in the tar. */
async function contentTrouble(
  host: Host,
  root: string,
  files: readonly (readonly [path: RawPath, size: number, content: ContentRef])[],
): Promise<string | null> {
  const tarParts = new Assembly();
  const treeParts = new Assembly();
  const paths: RawPath[] = [];
  for (const [path, size, content] of files) {
    if (!('root' in content) || content.pieces !== undefined) continue; // sparse: its size was compared
    tarParts.file(content.root, content.path, content.offset, size);
    treeParts.file(root, path, 0, size);
    paths.push(path);
  }
  if (paths.length === 0) return null;
  const request = { output: null, heads: false, fileDigests: true };
  const [tar, tree] = await Promise.all([
    assembleTar({ ...request, parts: tarParts }),
    host.assemble({ ...request, parts: treeParts }),
  ]);
  const wrong = tree.fileDigests.findIndex((digest, i) => digest !== tar.fileDigests[i]);
  return wrong < 0 ? null : `the bytes of ${shown(paths[wrong]!)} are not those in its tar`;
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

function shown(path: string): string {
  return path === '' ? 'its root directory' : path;
}

function add(
  { add: report, snapshot, store }: Checking,
  diffId: DiffId,
  problem: Pick<Problem, 'severity' | 'code' | 'message' | 'remedy'>,
): void {
  report({
    ...problem,
    kind: 'tree',
    object: diffId,
    path: paths.treeDir(store.dir, diffId).slice(store.dir.length + 1),
    neededBy: snapshot.neededBy(diffId),
    repair: () => dropTree(store, diffId),
  });
}

async function dropTree({ dir, database }: Checking['store'], diffId: DiffId): Promise<Outcome> {
  await whileLocked(dir, 'exclusive', () => {
    const tree = paths.treeDir(dir, diffId);
    if (existsSync(tree)) renameSync(tree, join(paths.trashDir(dir), randomUUID()));
    database.deleteTree(diffId);
  });
  return repaired('dropped: it is made again when it is needed');
}
