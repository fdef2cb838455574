// Our indexes beside a newer Debian's erofs-utils: the kernel shows of the index that mkfs.erofs makes of a tar what it shows
// of ours, and the checker and the dumper read ours as the kernel does.
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { type DraftEntry, encodeIndex, encodeTar, scanTar } from '../../store/index.js';
import { basesDir } from '../platform/bases.js';
import { assembled } from '../support/assembly.js';
import { newerErofsUtils } from '../support/newer-erofs-utils.js';
import { installed } from '../support/tsbuild.js';
import { tempDir } from './content-samples.js';
import { asExtracted, dumpInode, erofsReadings } from './erofs-oracle.js';
import { layerDrafts } from './format-arbitraries.js';
import { indexTree, mountObstacle, removeKernelTrees, withoutNotes } from './kernel-tree.js';
import { umociTree } from './layer-readers.js';

const tools = newerErofsUtils();
const obstacle = typeof tools === 'string' ? tools : mountObstacle();
const erofs = tools as Exclude<typeof tools, string>;
const numRuns = Number(process.env.TSBUILD_FUZZ_RUNS ?? 20);

afterAll(removeKernelTrees);

/**
 * What mkfs.erofs 1.8 reads as we do. It takes the fraction of a time for a number of nanoseconds, minors from 2^19 on for
 * negative ones, and GNU tar's escapes in names of attributes as they stand; fsck.erofs extracts no attribute from an empty
 * one on.
 */
function understood(draft: DraftEntry): DraftEntry {
  const xattrs = draft.xattrs.filter(({ name, value }) => !/[%=]/.test(name) && value.length > 0);
  return { ...draft, mtimeNsec: 0, devMinor: draft.devMinor & 0x7ffff, xattrs };
}

/** No whiteout of a name that the layer has itself, and no opaque root: mkfs.erofs ends there. */
function withoutDoubles(drafts: readonly DraftEntry[]): DraftEntry[] {
  const names = new Set<string>(drafts.map(({ path }) => path));
  return drafts.filter(({ path }) => {
    const marker = /^(.*\/)?\.wh\.(.*)$/s.exec(path);
    return marker === null || (path !== '.wh..wh..opq' && !names.has(`${marker[1] ?? ''}${marker[2]}`));
  });
}

function writeTar(drafts: readonly DraftEntry[]): string {
  const path = join(tempDir(), 'layer.tar');
  writeFileSync(path, assembled(encodeTar(drafts).parts));
  return path;
}

describe.skipIf(obstacle)(`erofs-utils${obstacle ? ` (skipped: ${obstacle})` : ''}`, () => {
  test('makes an index of any layer that mounts to the same as ours, and extracts the same by ours', () => {
    fc.assert(
      fc.property(layerDrafts, (drafts) => {
        const { ours, theirs, extracted } = erofsReadings(erofs, writeTar(withoutDoubles(drafts).map(understood)));
        expect(theirs).toEqual(ours);
        expect(asExtracted(extracted)).toEqual(asExtracted(ours));
      }),
      { numRuns, endOnFailure: true },
    );
  });

  for (const base of bases()) {
    test(`reads ${relative(basesDir!, base)} as we do, and umoci too`, () => {
      const tar = join(tempDir(), 'layer.tar');
      execFileSync('sh', ['-c', 'gzip -dcf "$1" > "$2"', 'sh', base, tar]);
      const { ours, theirs, extracted } = erofsReadings(erofs, tar);
      expect(ours.size).toBeGreaterThan(0);
      expect(theirs).toEqual(ours);
      expect(asExtracted(extracted)).toEqual(asExtracted(ours));
      if (installed('umoci')) expect(withoutNotes(umociTree(tar, tempDir()))).toEqual(ours);
    });
  }

  test('dumps each inode as the kernel shows it', () => {
    const [drafts] = fc.sample(layerDrafts, { numRuns: 30, seed: 3 }).sort((a, b) => b.length - a.length);
    const tar = writeTar(drafts!);
    const index = `${tar}.index`;
    const bytes = encodeIndex(scanTar(tar), statSync(tar).size)!;
    writeFileSync(index, bytes);
    const tree = indexTree(bytes, tar);
    expect(tree.size).toBeGreaterThan(10);
    for (const [path, file] of tree) {
      if (file === 'broken' || !/^[ -~]*$/.test(path)) continue; // names are arguments here
      const { mode, uid, gid, size, nlink: links } = file;
      const isDir = (mode & 0o170000) === 0o040000;
      const dumped = dumpInode(erofs, tar, index, path);
      expect({ ...dumped, size: isDir ? 0 : dumped.size, time: '' }).toEqual({
        mode: mode & 0o777,
        uid,
        gid,
        size,
        links,
        time: '',
      });
    }
  });
});

/** Layers that others made: tars by themselves, and in OCI layouts; of one machine, unless there is a night for all. */
function bases(): string[] {
  if (basesDir === undefined) return [];
  const files = execFileSync('find', [basesDir, '-type', 'f'], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .filter(isWanted);
  return files.filter((path) => readFileSync(path).subarray(0, 2).equals(Buffer.from('1f8b', 'hex')));
}

const isWanted = (path: string): boolean => process.env.TSBUILD_NIGHTLY !== undefined || /amd64|x86_64/.test(path);
