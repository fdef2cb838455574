// Where the files lie that INCLUDE names: beside the file that includes them, or in a named context, and never outside
// of its directory – a Buildfile from elsewhere must not show its reader this machine's other files.
import { readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join, posix, relative } from 'node:path';
import { rawPath } from '#native';
import { openView, type RootView } from '#store';
import { BuildError, closest } from '../base/index.js';
import { type Buildfile, type Fragments, parseBuildfile } from '../buildfile/index.js';
import { readTextBeneath, type TextBeneath } from '../context/index.js';
import type { BuildRequest } from './request.js';

/** The request's Buildfile with all that it includes. @throws BuildError as parseBuildfile */
export function parseRequested(request: BuildRequest): Buildfile {
  const syntax = request.buildArgs.get('BUILDKIT_SYNTAX');
  const view = request.fetched && openView(request.fetched.layers);
  try {
    return parseBuildfile(request.buildfile, { syntax, fragments: openFragments(request, view) });
  } finally {
    view?.close();
  }
}

/** A file that may include: `root` holds it and all that it can include from beside it. */
interface Place {
  readonly context: string | null;
  readonly root: string;
  readonly dir: string;
  /** Where the files of a fetched context are read, which has its root at /; null: on this machine. */
  readonly view: RootView | null;
}

function openFragments(request: BuildRequest, view: RootView | null): Fragments {
  const main = mainPlace(request, view);
  const mainId = idOf(null, mainPath(request));
  const places = new Map<string, Place>([[mainId, main]]);
  return {
    main: mainId,
    read: (path, context, by) => {
      const place = context === null ? places.get(by)! : contextPlace(request, context);
      const found = place.view
        ? readTextOfView(place.view, place.dir, path)
        : readTextBeneath(place.root, place.dir, path);
      const name = nameOf(place, path);
      if (found.kind !== 'text') throw refusal(found, { path, name, place });
      const id = idOf(place.context, found.realPath);
      places.set(id, { ...place, dir: dirname(found.realPath) });
      return { file: { name, text: found.text }, id };
    },
  };
}

/** The context's directory if the Buildfile is in it, else the Buildfile's own. */
function mainPlace({ contextDir, buildfilePath, fetched }: BuildRequest, view: RootView | null): Place {
  if (contextDir === null && buildfilePath === null) {
    return { context: null, root: '/', dir: posix.join('/', dirname(fetched?.buildfile ?? '')), view };
  }
  const context = contextDir === null ? null : realOf(contextDir);
  const dir = buildfilePath === null ? (context ?? '/') : realOf(dirname(buildfilePath));
  return { context: null, root: context !== null && isInside(context, dir) ? context : dir, dir, view: null };
}

function mainPath({ buildfilePath, fetched }: BuildRequest): string {
  if (buildfilePath !== null) return realOf(buildfilePath);
  return fetched?.buildfile ? `/${fetched.buildfile}` : '';
}

function nameOf({ dir, view }: Place, path: string): string {
  const full = join(dir, path);
  return (view ? full.slice(1) : relative('.', full)) || basename(path);
}

/** Links in a view stay in it, as `..` does. */
function readTextOfView(view: RootView, dir: string, path: string): TextBeneath {
  const full = posix.join('.', dir.slice(1), path);
  if (path.startsWith('/') || full === '..' || full.startsWith('../')) return { kind: 'outside' };
  const entry = view.lookup(rawPath(full), true);
  if (entry === null) return { kind: 'missing' };
  if (entry.type !== 'file')
    return { kind: 'unreadable', reason: `it is a ${entry.type === 'dir' ? 'directory' : entry.type}` };
  if (entry.size > maxBytes) return { kind: 'unreadable', reason: 'it is larger than 16 MB' };
  const text = view.read(entry).toString('utf8');
  return text.includes('\0')
    ? { kind: 'unreadable', reason: 'it is no text: it contains NUL bytes' }
    : { kind: 'text', text, realPath: `/${entry.path}` };
}

const maxBytes = 16 << 20;

function isInside(root: string, dir: string): boolean {
  return dir === root || dir.startsWith(`${root.replace(/\/$/, '')}/`);
}

function contextPlace({ contexts }: BuildRequest, name: string): Place {
  const context = contexts.get(name);
  if (context?.kind === 'directory') {
    const root = realOf(context.dir);
    return { context: name, root, dir: root, view: null };
  }
  const near = closest(name, contexts.keys());
  throw new BuildError('INCLUDE_CONTEXT', {
    message: context
      ? `the build context ${name} is no directory of this machine, and INCLUDE reads those`
      : `there is no build context ${name}`,
    hint: near && !context ? `did you mean ${near}?` : `give it with --build-context ${name}=DIR`,
  });
}

function refusal(
  found: Exclude<ReturnType<typeof readTextBeneath>, { kind: 'text' }>,
  { path, name, place }: { path: string; name: string; place: Place },
): BuildError {
  switch (found.kind) {
    case 'outside':
      return new BuildError('INCLUDE_OUTSIDE', {
        message: `${path} leads out of ${relative('.', place.root) || 'the current directory'}`,
        hint: 'give its directory with --build-context NAME=DIR, and write INCLUDE --from=NAME PATH',
      });
    case 'missing':
      return new BuildError('INCLUDE_NOT_FOUND', {
        message: `there is no file ${name} to include`,
        hint:
          (place.view ? undefined : nearest(place.root, join(place.dir, path))) ??
          'the path is relative to the file that includes, or to the context in --from',
      });
    case 'unreadable':
      return new BuildError('INCLUDE_UNREADABLE', { message: `${name} can't be included: ${found.reason}` });
  }
}

function nearest(root: string, path: string): string | undefined {
  try {
    if (!isInside(root, realpathSync(dirname(path)))) return undefined;
    const near = closest(basename(path), readdirSync(dirname(path)));
    return near === undefined ? undefined : `did you mean ${near}?`;
  } catch {
    return undefined; // no such directory either
  }
}

function idOf(context: string | null, realPath: string): string {
  return `${context ?? ''}:${realPath}`;
}

/** The path without symlinks; itself where that can't be told. */
function realOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
