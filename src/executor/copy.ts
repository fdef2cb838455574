// COPY and ADD: which files land where, as whom and with which mode, without touching a file system. The result is a
// list of layer entries whose contents still lie where they were.
// Semantics: Dockerfile reference, "COPY" and "ADD", and what BuildKit does where the reference is silent.
import { type RawPath, rawPath } from '#native';
import { bareMeta, type DraftEntry, type RootView } from '#store';
import { BuildError, type IgnoreMatcher, patternMatcher, type Span } from '../base/index.js';
import type { CopyVertex } from '../graph/index.js';
import { type Archive, findArchive, unpackArchive } from './copy-archive.js';
import { requireFit, requireStorable } from './copy-checks.js';
import { type ModeChange, madeDirectoryMode, parseChmod } from './copy-chmod.js';
import { Destination, draftAt, type Landing, type MadeAt, shown } from './copy-destination.js';
import { type CopyInput, contentDigests, contentKey, copyInputs, pendingContent, recordDigests } from './copy-key.js';
import { baseName, joinPath, parentPath } from './copy-links.js';
import { nothingMatched } from './copy-not-found.js';
import {
  type Match,
  matchSource,
  relativePath,
  type Selection,
  selectBelow,
  selectWithParents,
} from './copy-select.js';
import type { SourceEntry, SourceTree } from './copy-source.js';
import { lookupOwner, type Owner } from './owner.js';

export interface CopyIo {
  readonly source: SourceTree;
  /** The files that the instruction adds to. */
  readonly view: RootView;
  /** Time of what the instruction itself makes: directories and heredoc files. */
  readonly made: MadeAt;
  /** A fresh path for what must be unpacked before it can be read. */
  tempPath(name: string): string;
}

export interface CopyPlan {
  /**
   * The layer, in byte order of path; [] if nothing would change. Archives of ADD are decompressed when this is called first.
   * @throws BuildError ADD_ARCHIVE_INVALID, ADD_TOOL_MISSING
   */
  drafts(): Promise<readonly DraftEntry[]>;
  /** The first source of an instruction none of whose wildcards found anything, which may be meant so. */
  readonly unmatched: { readonly pattern: string; readonly at: Span } | null;
  /** What `contentKey` would have to read. When it is much, committing first and `contentKeyFrom` reads it only once. */
  readonly pending: { readonly files: number; readonly bytes: number };
  /** Hex digest of everything that will be in the layer but times. Reads only content whose digest is not known. */
  contentKey(): Promise<string>;
  /**
   * The same from the digests of a commit of `drafts()`, by path in the layer: the key of what was really copied.
   * They are kept, so that the next build need not read these files.
   */
  contentKeyFrom(fileDigests: ReadonlyMap<RawPath, string>): Promise<string>;
  /** What the key was made of, for people, at most a few hundred lines. After `contentKey` or `contentKeyFrom`. */
  inputs(): readonly CopyInput[];
}

/**
 * Decides what the instruction does.
 *
 * @throws BuildError COPY_NOT_FOUND, COPY_DEST_NOT_DIRECTORY, COPY_CONFLICT, COPY_UNSUPPORTED_FILE, COPY_RESERVED_NAME,
 *   CHMOD_INVALID, USER_NOT_FOUND, USER_INVALID, PATTERN_INVALID
 */
export async function planCopy(vertex: CopyVertex, io: CopyIo): Promise<CopyPlan> {
  const step: Step = {
    vertex,
    io,
    owner: vertex.chown === null ? null : lookupOwner(io.view, vertex.chown, vertex.at),
    chmod: vertex.chmod === null ? null : parseChmod(vertex.chmod, vertex.at),
    directoryMode: madeDirectoryMode(vertex.chmod),
    exclude: vertex.exclude.length === 0 ? null : compileExclude(vertex),
    dest: rawPath(vertex.dest.replace(/^\/+/, '').replace(/(^|\/)\.$/, '$1')),
  };
  const tasks = await findTasks(step);
  requireDirectoryForMany(step, tasks);

  // Archives have no part in the key but by their own digest, so that a build that finds its result never unpacks them.
  const unpacked = tasks.flatMap((task) => (task.kind === 'archive' ? task.archive : []));
  const plain = await perform(step, tasks, { unpack: false });
  let drafts: Promise<readonly DraftEntry[]> | null = null;
  let digests: readonly string[] = [];
  const keyOf = async (found: readonly string[]): Promise<string> => {
    digests = found;
    const archives = await io.source.digests(unpacked.map((archive) => archive.entry));
    return contentKey(plain, digests, { archives, dest: unpacked.length > 0 ? vertex.dest : '', owner: step.owner });
  };
  return {
    drafts() {
      drafts ??=
        unpacked.length === 0
          ? Promise.resolve(plain.map((landing) => landing.draft))
          : perform(step, tasks, { unpack: true }).then((all) => all.map((landing) => landing.draft));
      return drafts;
    },
    unmatched: findUnmatched(step, tasks, plain),
    pending: pendingContent(io.source, plain, unpacked),
    contentKey: async () => keyOf(await contentDigests(io.source, plain)),
    contentKeyFrom: (fileDigests) => keyOf(recordDigests(io.source, plain, fileDigests)),
    inputs: () => copyInputs(plain, digests),
  };
}

function compileExclude({ exclude, at }: CopyVertex): IgnoreMatcher {
  try {
    return patternMatcher(exclude);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    throw new BuildError('PATTERN_INVALID', {
      message: `--exclude: ${error.message}`,
      hint: error.hint,
      at,
      cause: error,
    });
  }
}

interface Step {
  readonly vertex: CopyVertex;
  readonly io: CopyIo;
  /** Null: as in the source. */
  readonly owner: Owner | null;
  readonly chmod: ModeChange | null;
  /** Of directories that are missing on the way to the destination. */
  readonly directoryMode: number;
  readonly exclude: IgnoreMatcher | null;
  /** Relative to the image's root; a trailing '/' is kept. */
  readonly dest: RawPath;
}

type Task =
  | { readonly kind: 'copy'; readonly match: Match }
  | { readonly kind: 'archive'; readonly match: Match; readonly archive: Archive }
  /** COPY --parents: a pattern below a pivot directory. */
  | { readonly kind: 'parents'; readonly match: Match; readonly pattern: string };

async function findTasks(step: Step): Promise<Task[]> {
  const { vertex, io, exclude } = step;
  const tasks: Task[] = [];
  for (const { pattern, at } of vertex.sources) {
    if (vertex.parents) {
      const pivot = pattern.indexOf('/./');
      const top = pivot < 0 ? '' : pattern.slice(0, pivot);
      const rest = pivot < 0 ? pattern : pattern.slice(pivot + 3);
      for (const match of matchSource(io.source, top, at)) tasks.push({ kind: 'parents', match, pattern: rest });
      continue;
    }
    for (const match of matchSource(io.source, pattern, at)) {
      // Of a directory, patterns exclude what is in it.
      if (exclude?.ignores(shown(match.name).slice(1)) && match.entry.type !== 'dir') continue;
      const archive =
        vertex.instruction === 'ADD' && vertex.unpack !== false ? await findArchive(io.source, match.entry, at) : null;
      tasks.push(archive ? { kind: 'archive', match, archive } : { kind: 'copy', match });
    }
  }
  for (const { name, content } of vertex.inline) {
    tasks.push({ kind: 'copy', match: inlineMatch(name, content, step) });
  }
  return tasks;
}

/** A heredoc, as a file of that name. */
function inlineMatch(name: string, content: string, { vertex, io }: Step): Match {
  const bytes = Buffer.from(content);
  const path = baseName(rawPath(name));
  const entry: SourceEntry = {
    ...bareMeta,
    ...io.made,
    path,
    type: 'file',
    mode: 0o644,
    size: bytes.length,
    content: bytes.length > 0 ? { bytes } : null,
    inode: null,
    stat: null,
  };
  return { entry, name: path, wild: false, at: vertex.at };
}

function findUnmatched(
  { vertex, exclude }: Step,
  tasks: readonly Task[],
  landings: readonly Landing[],
): CopyPlan['unmatched'] {
  const found = tasks.some((task) => task.kind !== 'parents') || landings.some((landing) => landing.from !== null);
  return found || exclude !== null ? null : (vertex.sources[0] ?? null);
}

/** @see Dockerfile reference, COPY "Destination": several sources need a directory that ends with '/' */
function requireDirectoryForMany({ vertex, io, dest }: Step, tasks: readonly Task[]): void {
  if (vertex.parents || dest === '' || dest.endsWith('/')) return;
  const named = vertex.sources.length + vertex.inline.length;
  if (named <= 1) {
    // One wildcard: directories merge into one, files would overwrite each other.
    if (tasks.filter((task) => task.kind === 'copy' && task.match.entry.type !== 'dir').length <= 1) return;
    const known = vertex.link ? null : io.view.lookup(dest, true);
    if (known?.type === 'dir') return;
  }
  throw new BuildError('COPY_DEST_NOT_DIRECTORY', {
    message: `${vertex.instruction} with several sources needs a directory as destination`,
    hint: `end it with a slash: ${vertex.dest}/`,
    at: vertex.at,
  });
}

async function perform(step: Step, tasks: readonly Task[], { unpack }: { unpack: boolean }): Promise<Landing[]> {
  const { vertex, io } = step;
  const to = new Destination(vertex.link ? null : io.view, io.made, vertex.at);
  for (const task of tasks) {
    if (task.kind === 'copy') await copyMatch(step, to, task.match);
    else if (task.kind === 'parents') await copyWithParents(step, to, task.match, task.pattern);
    else {
      const dest = to.resolve(cleanDest(step.dest));
      to.makeDirectory(dest, step.owner ?? rootOwner);
      if (unpack)
        await unpackArchive(task.archive, { to, dest, owner: step.owner, tempPath: io.tempPath, at: task.match.at });
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
  placeAll(step, to, path, match, await selectBelow(step.io.source, entry.path, step.exclude));
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
  const owner = step.owner ?? (step.io.source.keepsOwners ? entry : rootOwner);
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
