// Where the files of COPY and ADD land, one task after the other.
import type { RawPath } from '#native';
import type { Span } from '../base/index.js';
import { unpackArchive } from './copy-archive.js';
import { requireFit, requireStorable } from './copy-checks.js';
import { Destination, draftAt, type Landing } from './copy-destination.js';
import { joinPath, parentPath } from './copy-links.js';
import { nothingMatched } from './copy-not-found.js';
import { type Match, relativePath, type Selection, selectBelow, selectWithParents } from './copy-select.js';
import type { SourceEntry } from './copy-source.js';
import type { Step, Task } from './copy-tasks.js';
import type { Owner } from './owner.js';

/** Everything that the layer has, in byte order of path; archives only made room for unless `unpack`. */
export async function perform(step: Step, tasks: readonly Task[], { unpack }: { unpack: boolean }): Promise<Landing[]> {
  const { vertex, io } = step;
  const to = new Destination(vertex.link ? null : io.view, io.made, vertex.at);
  for (const task of tasks) {
    if (task.kind === 'copy') await copyMatch(step, to, task.match);
    else if (task.kind === 'parents') await copyWithParents(step, to, task.match, task.pattern);
    else {
      const dest = to.resolve(cleanDest(step.dest));
      to.makeDirectory(dest, step.owner ?? rootOwner);
      if (unpack)
        await unpackArchive(task.archive, {
          to,
          dest,
          owner: step.owner,
          tempPath: io.tempPath,
          maxLayerBytes: io.maxLayerBytes,
          at: task.match.at,
        });
    }
  }
  return to.landings();
}

const rootOwner: Owner = { uid: 0, gid: 0 };

function cleanDest(dest: RawPath): RawPath {
  return dest.replace(/\/+$/, '') as RawPath;
}

async function copyMatch(step: Step, to: Destination, match: Match): Promise<void> {
  const { entry } = match;
  const owner = step.owner ?? rootOwner;
  const named = cleanDest(step.dest);
  to.makeDirectory(to.resolve(step.dest.endsWith('/') ? named : parentPath(named)), owner, step.directoryMode);
  let path = to.resolve(named);
  if (entry.type !== 'dir') {
    if (to.lookup(path)?.type === 'dir') path = joinPath(path, match.name);
    to.makeDirectory(parentPath(path), owner, step.directoryMode);
    place(step, to, path, entry, new Map(), match.at);
    return;
  }
  if (to.lookup(path) === null) to.makeDirectory(path, owner, step.directoryMode);
  requireFit(entry, path, to.lookup(path), match.at);
  if (entry.tree === null) throw new Error(`a directory of no tree: ${entry.path}`);
  placeAll(step, to, path, match, await selectBelow(entry.tree, entry.path, step.exclude));
}

async function copyWithParents(step: Step, to: Destination, match: Match, pattern: string): Promise<void> {
  if (match.entry.type !== 'dir') throw nothingMatched(step.io.source, pattern, match.at);
  const selection = await selectWithParents(step.io.source, match.entry.path, pattern, step.exclude, match.at);
  const path = to.resolve(cleanDest(step.dest));
  to.makeDirectory(path, step.owner ?? rootOwner, step.directoryMode);
  placeAll(step, to, path, match, selection);
}

/** Puts what was selected below the match's directory below `dir`. Names of one file stay names of one file. */
function placeAll(step: Step, to: Destination, dir: RawPath, match: Match, { entries, parents }: Selection): void {
  if (entries.length > 0 || to.isPlaced(dir)) dateDirectory(step, to, dir, match.entry);
  const links = new Map<string, number>();
  for (const entry of entries) {
    const path = joinPath(dir, relativePath(match.entry.path, entry));
    if (parents.has(entry) && to.lookup(path)?.type === 'dir') to.changeDirectory(path, { mode: entry.mode });
    else place(step, to, path, entry, links, match.at);
  }
}

/** The directory that a directory's files land in gets the time of that one. A view's root has none. */
function dateDirectory({ vertex, io }: Step, to: Destination, dir: RawPath, from: SourceEntry): void {
  if (dir === '' || (from.path === '' && from.stat === null)) return;
  const { mtimeSec, mtimeNsec } = vertex.epochSec === null ? from : io.made;
  to.changeDirectory(dir, { mtimeSec, mtimeNsec });
}

/** Puts one file or directory at `path`, with its new owner and mode. */
function place(
  step: Step,
  to: Destination,
  path: RawPath,
  entry: SourceEntry,
  links: Map<string, number>,
  at: Span,
): void {
  const { inode } = entry;
  const type = entry.type === 'socket' ? 'file' : entry.type; // an empty file stands for it, as in the field
  requireStorable(entry, path, at);
  requireFit(entry, path, to.lookup(path), at);
  const owner = step.owner ?? (entry.tree?.keepsOwners ? entry : rootOwner);
  const mode = step.chmod && type !== 'symlink' ? step.chmod(entry.mode, type === 'dir') : entry.mode;
  const link = type === 'dir' || inode === null ? 0 : linkNumber(to, links, inode);
  const dated = step.vertex.epochSec === null ? entry : { ...entry, ...step.io.made };
  to.put(draftAt(path, type, dated, owner, mode), link, entry);
}

function linkNumber(to: Destination, links: Map<string, number>, inode: string): number {
  const known = links.get(inode);
  if (known !== undefined) return known;
  const number = to.newLink();
  links.set(inode, number);
  return number;
}
