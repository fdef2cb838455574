// File trees as the kernel shows them: unpacked directories, mounted indexes, overlays of layers (see mounted-tree.c).
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LayerMount } from '#native';
import { encodeIndex, type TarEntry } from '../../store/index.js';

export interface KernelFile {
  /** With the type bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly nlink: number;
  /** The first of the paths that are the same inode. */
  readonly firstName: string;
  readonly device: string;
  readonly target: string;
  readonly xattrs: Readonly<Record<string, string>>;
  /** See `contentText`. */
  readonly content: string;
}

/** By path, one character a byte; '' is the root. A file that is listed but can't be opened is 'broken'. */
export type KernelTree = Map<string, KernelFile | 'broken'>;

let tool: string | undefined;
let serial = 0;

function toolPath(): string {
  if (tool === undefined) {
    const path = join(mkdtempSync(join(tmpdir(), 'kernel-tree-')), 'mounted-tree');
    const source = join(dirname(fileURLToPath(import.meta.url)), 'mounted-tree.c');
    execFileSync('cc', ['-O1', '-o', path, source], { stdio: ['ignore', 'ignore', 'pipe'] });
    tool = path;
  }
  return tool;
}

function freshDir(): string {
  const dir = join(dirname(toolPath()), String(serial++));
  mkdirSync(dir);
  return dir;
}

/** Removes what this module left in the temporary directory. */
export function removeKernelTrees(): void {
  if (tool !== undefined) rmSync(dirname(tool), { recursive: true, force: true });
}

export function directoryTree(dir: string): KernelTree {
  return parse(run(['dir', dir]));
}

export function indexTree(index: Buffer, tar: string): KernelTree {
  const path = join(freshDir(), 'index.erofs');
  writeFileSync(path, index);
  return parse(run(['index', freshDir(), path, tar]));
}

/** Base first. */
export function overlayTree(layers: readonly LayerMount[], options: { readonly userxattr: boolean }): KernelTree {
  const pairs = layers.flatMap((layer) => (layer.kind === 'tree' ? ['-', layer.dir] : [layer.index, layer.tar]));
  return parse(run(['overlay', freshDir(), ...(options.userxattr ? ['-u'] : []), ...pairs]));
}

/** Why indexes can't be mounted here; null if they can. */
export function mountObstacle(): string | null {
  if (process.getuid?.() !== 0) return 'needs root';
  try {
    const tar = join(freshDir(), 'empty.tar');
    writeFileSync(tar, Buffer.alloc(1024));
    indexTree(encodeIndex([] as TarEntry[])!, tar);
    return null;
  } catch (error) {
    return `the kernel mounts no file-backed EROFS (${(error as Error).message.split('\n').at(-1)})`;
  }
}

/** Without the root, and without what an overlay or an index notes for itself. */
export function withoutNotes(tree: KernelTree): KernelTree {
  const plain: KernelTree = new Map();
  for (const [path, file] of tree) {
    if (path === '') continue;
    if (file === 'broken') {
      plain.set(path, file);
      continue;
    }
    const xattrs = Object.entries(file.xattrs).filter(([name]) => !/^(user|trusted)\.overlay\./.test(name));
    plain.set(path, { ...file, xattrs: Object.fromEntries(xattrs) });
  }
  return plain;
}

/** In hex; of contents beyond 64 KiB a checksum, in which every word has its place. */
export function contentText(bytes: Buffer): string {
  if (bytes.length <= 65536) return bytes.toString('hex');
  let high = 0;
  let low = 0;
  for (let i = 0; i < bytes.length; i += 4) {
    const word = i + 4 <= bytes.length ? bytes.readUInt32LE(i) : bytes.readUIntLE(i, bytes.length - i);
    low = Math.imul(low ^ word, 16777619);
    high = (Math.imul(high + word, 2654435761) + 1) | 0;
  }
  return `~${hexWord(high)}${hexWord(low)}`;
}

const hexWord = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');

function run(args: readonly string[]): string {
  return execFileSync(toolPath(), args, { encoding: 'latin1', maxBuffer: 2 ** 30, stdio: ['ignore', 'pipe', 'pipe'] });
}

function parse(output: string): KernelTree {
  const tree: KernelTree = new Map();
  const firstNames = new Map<string, string>();
  const lines = output.split('\n').filter((line) => line !== '');
  for (const line of lines) {
    const fields = line.split(' ');
    if (fields[0] === 'broken') {
      tree.set(fromHex(fields[1]!), 'broken');
      continue;
    }
    const path = fromHex(fields[0]!.slice(1));
    const inode = fields[8]!;
    const first = firstNames.get(inode);
    if (first === undefined || path < first) firstNames.set(inode, path);
  }
  for (const line of lines) {
    const [path, mode, uid, gid, size, sec, nsec, nlink, inode, major, minor, target, xattrs, content] =
      line.split(' ');
    if (path === 'broken') continue;
    tree.set(fromHex(path!.slice(1)), {
      mode: Number.parseInt(mode!, 8),
      uid: Number(uid),
      gid: Number(gid),
      size: Number(size),
      mtimeSec: Number(sec),
      mtimeNsec: Number(nsec),
      nlink: Number(nlink),
      firstName: firstNames.get(inode!)!,
      device: `${major}:${minor}`,
      target: fromHex(target!.slice(1)),
      xattrs: parseXattrs(xattrs!.slice(1)),
      content: content!.slice(1),
    });
  }
  return tree;
}

function parseXattrs(text: string): Record<string, string> {
  const pairs = text.split(',').filter((pair) => pair !== '');
  return Object.fromEntries(
    pairs.map((pair): [string, string] => {
      const [name, value] = pair.split('=');
      return [fromHex(name!), value!];
    }),
  );
}

function fromHex(text: string): string {
  return Buffer.from(text, 'hex').toString('latin1');
}
