// A command's name → the file that execve(2) would be given, looked up in the merged root as the kernel would.
import { type RawPath, rawPath } from '#native';
import { type RootView, StoreError, type ViewEntry } from '#store';

/** The command of a step, and what surrounds it. */
export interface ProgramRequest {
  /** argv[0]. */
  readonly program: string;
  /** Value of PATH in the step's environment. */
  readonly searchPath: string;
  readonly cwd: string;
  /** Where mounts of the step lie over the root: what is there can't be known from the layers. */
  readonly hidden?: readonly string[];
}

export interface FoundProgram {
  /** Absolute, as it was named or found on PATH. */
  readonly name: string;
  /** Its place with all symlinks resolved. */
  readonly path: RawPath;
  readonly entry: ViewEntry;
}

/** 'hidden': the answer lies beneath a mount, so only the step itself will know. */
export type Search =
  | { readonly kind: 'found'; readonly program: FoundProgram }
  | { readonly kind: 'hidden' }
  /** `unusable`: what the name led to although it can't be executed (a directory, no permission). */
  | { readonly kind: 'missing'; readonly unusable: FoundProgram | null };

/** Like execvp(3): a name with a slash is a path, any other is searched on PATH; files without permission are passed over. */
export function findProgram(view: RootView, request: ProgramRequest): Search {
  let unusable: FoundProgram | null = null;
  for (const name of candidates(request)) {
    const search = locate(view, request, name);
    if (search.kind !== 'missing') {
      if (search.kind === 'hidden' || isExecutable(search.program.entry)) return search;
      unusable ??= search.program;
    }
  }
  return { kind: 'missing', unusable };
}

/** One path, whatever kind of file it leads to. */
export function locate(view: RootView, request: Pick<ProgramRequest, 'cwd' | 'hidden'>, name: string): Search {
  const missing: Search = { kind: 'missing', unusable: null };
  const absolute = name.startsWith('/') ? name : `${request.cwd}/${name}`;
  try {
    const path = view.resolve(pathInRoot(view, absolute));
    const mounts = [...alwaysHidden, ...(request.hidden ?? [])];
    if (mounts.some((mount) => isBeneath(path, view.resolve(pathInRoot(view, mount))))) return { kind: 'hidden' };
    const entry = view.lookup(path, true);
    return entry === null ? missing : { kind: 'found', program: { name: absolute, path, entry } };
  } catch (error) {
    if (error instanceof StoreError && error.code === 'VIEW_SYMLINK_LOOP') return missing;
    throw error;
  }
}

/** Every name in the directories of PATH, for suggestions. */
export function* namesOnPath(view: RootView, request: ProgramRequest): Iterable<string> {
  for (const dir of request.searchPath.split(':')) {
    const search = locate(view, request, dir);
    if (search.kind !== 'found') continue;
    for (const child of view.list(search.program.path)) yield child.path.slice(child.path.lastIndexOf('/') + 1);
  }
}

export function isExecutable(entry: ViewEntry): boolean {
  return entry.type === 'file' && (entry.mode & 0o111) !== 0;
}

function candidates({ program, searchPath }: ProgramRequest): string[] {
  if (program === '') return [];
  if (program.includes('/')) return [program];
  return searchPath.split(':').map((dir) => `${dir === '' ? '.' : dir}/${program}`); // an empty element is the directory one is in
}

/** A path text → RawPath. '..' means the parent of where the symlinks before it lead, as for the kernel. */
function pathInRoot(view: RootView, text: string): RawPath {
  let path = '';
  for (const name of rawPath(text).split('/')) {
    if (name === '' || name === '.') continue;
    if (name === '..') path = parent(view.resolve(path as RawPath));
    else path = path === '' ? name : `${path}/${name}`;
  }
  return path as RawPath;
}

function parent(path: RawPath): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

function isBeneath(path: RawPath, directory: RawPath): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

/** Every step has its own of these. */
const alwaysHidden = ['/proc', '/sys', '/dev'];
