// What erofs-utils says of a tar and of our index of it.
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeIndex, scanTar } from '../../store/index.js';
import type { ErofsUtils } from '../support/newer-erofs-utils.js';
import { directoryTree, indexTree, type KernelTree, withoutNotes } from './kernel-tree.js';
import { mapFiles } from './layer-readers.js';

export interface ErofsReadings {
  /** What the kernel shows of our index, and of the one that mkfs.erofs makes. */
  readonly ours: KernelTree;
  readonly theirs: KernelTree;
  /** What fsck.erofs extracts by our index. */
  readonly extracted: KernelTree;
}

/** @throws where fsck.erofs finds our index at fault */
export function erofsReadings(erofs: ErofsUtils, tar: string): ErofsReadings {
  const index = encodeIndex(scanTar(tar), statSync(tar).size)!;
  const path = `${tar}.ours`;
  writeFileSync(path, withoutChecksum(index));
  const root = `${tar}.extracted`;
  erofs.run('fsck.erofs', ['-d1', `--device=${tar}`, `--extract=${root}`, '--xattrs', path]);
  const extracted = directoryTree(root);
  rmSync(root, { recursive: true });

  const theirs = `${tar}.theirs`;
  erofs.run('mkfs.erofs', ['--quiet', '-d0', '--tar=i', '--aufs', theirs, tar]);
  return {
    ours: comparable(indexTree(index, tar)),
    theirs: comparable(indexTree(readFileSync(theirs), tar)),
    extracted: comparable(extracted),
  };
}

/** All whiteouts of an index of ours are one inode. */
function comparable(tree: KernelTree): KernelTree {
  return mapFiles(withoutNotes(tree), (file) => (file.mode === 0o020000 ? { ...file, nlink: 0, firstName: '' } : file));
}

/**
 * Without the superblock's checksum, which only the kernel verifies: fsck.erofs 1.8 counts its length from the block's
 * size less 1024 and crashes where blocks have 512 bytes.
 */
function withoutChecksum(index: Buffer): Buffer {
  const copy = Buffer.from(index);
  copy[1024 + 8] = copy[1024 + 8]! & ~1;
  return copy;
}

/** mkfs.erofs 1.8 takes the fraction of a time for a number of nanoseconds: .5 for 5 of them. */
export function wholeSeconds(tree: KernelTree): KernelTree {
  return mapFiles(tree, (file) => ({ ...file, mtimeNsec: 0 }));
}

/** As fsck.erofs extracts: no times of symlinks, no parts of a second, and the change of owner takes capabilities away again. */
export function asExtracted(tree: KernelTree): KernelTree {
  return mapFiles(tree, (file) => {
    const { 'security.capability': _, ...xattrs } = file.xattrs;
    return { ...file, xattrs, mtimeSec: 0, mtimeNsec: 0 };
  });
}

export interface DumpedInode {
  readonly size: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  /** Without the type. */
  readonly mode: number;
  readonly time: string;
}

/** What dump.erofs says of one file of our index. */
export function dumpInode(erofs: ErofsUtils, tar: string, index: string, path: string): DumpedInode {
  const text = erofs.run('dump.erofs', [`--device=${tar}`, `--path=${join('/', path)}`, index]);
  const number = (name: string): number => Number(new RegExp(`${name}: *(\\d+)`).exec(text)?.[1]);
  return {
    size: number('Size'),
    links: number('Links'),
    uid: number('Uid'),
    gid: number('Gid'),
    mode: Number.parseInt(/Access: (\d+)/.exec(text)?.[1] ?? '', 8),
    time: /Timestamp: (.*)/.exec(text)?.[1] ?? '',
  };
}
