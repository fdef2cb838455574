// What one COPY or ADD has to do: its sources found, its flags read.
import { type RawPath, rawPath } from '#native';
import { bareMeta, type RootView } from '#store';
import { BuildError, errorAt, type IgnoreMatcher, patternMatcher, type Span } from '../base/index.js';
import type { CopySource, CopyVertex, RemoteSource } from '../graph/index.js';
import { type Archive, findArchive } from './copy-archive.js';
import { type ModeChange, madeDirectoryMode, parseChmod } from './copy-chmod.js';
import { type MadeAt, shown } from './copy-destination.js';
import { baseName } from './copy-links.js';
import { type Match, matchSource } from './copy-select.js';
import type { SourceEntry, SourceTree } from './copy-source.js';
import { lookupOwner, type Owner } from './owner.js';

export interface CopyIo {
  /** What paths are paths in. */
  readonly source: SourceTree;
  /** What lies elsewhere, fetched: a tree that holds one file, or all files of a commit. */
  remote(source: RemoteSource): Promise<SourceTree>;
  /** The files that the instruction adds to. */
  readonly view: RootView;
  /** Time of what the instruction itself makes: directories and heredoc files. */
  readonly made: MadeAt;
  /** A fresh path for what must be unpacked before it can be read. */
  tempPath(name: string): string;
  /** How large archives may get when they are unpacked; see the store's options. */
  readonly maxLayerBytes?: number | undefined;
}

export interface Step {
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

export type Task =
  | { readonly kind: 'copy'; readonly match: Match }
  | { readonly kind: 'archive'; readonly match: Match; readonly archive: Archive }
  /** COPY --parents: a pattern below a pivot directory. */
  | { readonly kind: 'parents'; readonly match: Match; readonly pattern: string };

/** @throws BuildError CHMOD_INVALID, USER_NOT_FOUND, USER_INVALID, PATTERN_INVALID */
export function openStep(vertex: CopyVertex, io: CopyIo): Step {
  return {
    vertex,
    io,
    owner: vertex.chown === null ? null : lookupOwner(io.view, vertex.chown, vertex.at),
    chmod: vertex.chmod === null ? null : parseChmod(vertex.chmod, vertex.at),
    directoryMode: madeDirectoryMode(vertex.chmod),
    exclude: vertex.exclude.length === 0 ? null : compileExclude(vertex),
    dest: rawPath(vertex.dest.replace(/^\/+/, '').replace(/(^|\/)\.$/, '$1')),
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

/** @throws BuildError COPY_NOT_FOUND, PATTERN_INVALID, ADD_TOOL_MISSING, CONTEXT_CHANGED */
export async function findTasks(step: Step): Promise<Task[]> {
  const { vertex, io, exclude } = step;
  const tasks: Task[] = [];
  for (const source of vertex.sources) {
    const { pattern, at, remote } = source;
    if (remote !== null) {
      tasks.push(...(await remoteTasks(step, source, remote)));
      continue;
    }
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

/** One file, which is unpacked only if ADD says so, or a directory's content. */
async function remoteTasks({ vertex, io, exclude }: Step, source: CopySource, remote: RemoteSource): Promise<Task[]> {
  const { at } = source;
  const tree = await fetched(io, remote, at);
  const name = rawPath(remote.kind === 'file' ? remote.name : '');
  const entry = tree.lookup(name);
  if (entry === null) throw new Error(`${tree.name} has no ${name}`);
  if (remote.kind === 'file' && exclude?.ignores(remote.name)) return [];
  const match: Match = { entry, name, wild: false, at };
  const archive = remote.kind === 'file' && vertex.unpack === true ? await findArchive(tree, entry, at) : null;
  return [archive ? { kind: 'archive', match, archive } : { kind: 'copy', match }];
}

async function fetched(io: CopyIo, remote: RemoteSource, at: Span): Promise<SourceTree> {
  try {
    return await io.remote(remote);
  } catch (error) {
    throw errorAt(error, at);
  }
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
    tree: null,
    stat: null,
  };
  return { entry, name: path, wild: false, at: vertex.at };
}

/**
 * @throws BuildError COPY_DEST_NOT_DIRECTORY
 * @see Dockerfile reference, COPY "Destination": several sources need a directory that ends with '/'
 */
export function requireDirectoryForMany({ vertex, io, dest }: Step, tasks: readonly Task[]): void {
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
