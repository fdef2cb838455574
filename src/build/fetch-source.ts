// A build as it was asked for → one whose Buildfile is known: a context from elsewhere is fetched first, for the Buildfile
// is in there as a rule.
import type { Readable } from 'node:stream';
import { rawPath } from '#native';
import { openView, type RootView } from '#store';
import { BuildError, type IgnoreMatcher, ignoreMatcher } from '../base/index.js';
import { buildfileNames, findIgnoreFile } from '../context/index.js';
import { fetchContext, headBytes, importContext, isArchive } from './fetch-context.js';
import { leaveOut } from './leave-out.js';
import { contextIo, type FetchIo } from './remote-io.js';
import type { AskedBuild, BuildRequest, BuildSource, FetchedContext, GivenBuildfile, RemoteFiles } from './request.js';
import { shownPlace } from './shown-place.js';

type RemoteSource = Extract<BuildSource, { kind: 'fetched' }>;

/** @throws BuildError BUILDFILE_NOT_FOUND, BUILDFILE_NOT_TEXT, BUILDFILE_AMBIGUOUS, CONTEXT_ARCHIVE_INVALID; whatever fetching throws */
export async function fetchSource(asked: AskedBuild, fetch: Omit<FetchIo, 'request'>): Promise<BuildRequest> {
  const { source, ...request } = asked;
  if (source.kind === 'directory') return { ...request, ...source, fetched: null };
  const { context, given } = await openSource(asked, source, { ...fetch, request });
  const view = openView(context.layers);
  try {
    const found = given ?? readBuildfile(view, source);
    const ignore = findIgnore(view, found);
    const layers = ignore === null ? context.layers : await leaveOut(ignore, context.layers, view, fetch);
    const { buildfile, buildfilePath, inContext } = found;
    const place = source.from.kind === 'stream' ? (source.from.path ?? '-') : shownPlace(source.from);
    const fetched = { ...context, layers, place, buildfile: inContext };
    return { ...request, buildfile, buildfilePath, contextDir: null, fetched };
  } finally {
    view.close();
  }
}

interface FoundBuildfile extends GivenBuildfile {
  /** Its path in the context; null: it is not in there. */
  readonly inContext: string | null;
}

async function openSource(
  { buildArgs }: AskedBuild,
  { from, given, file }: RemoteSource,
  fetch: FetchIo,
): Promise<{ context: FetchedContext; given: FoundBuildfile | null }> {
  const elsewhere = given && { ...given, inContext: null };
  if (from.kind !== 'stream') {
    const context = await fetchContext(withGitDir(from, buildArgs), contextIo(fetch, shownPlace(from)));
    return { context, given: elsewhere };
  }
  const bytes = await readStart(from.stream);
  if (isArchive(bytes.head)) {
    const name = from.path ?? 'the archive on standard input';
    const context = await importContext(bytes.all, name, { store: fetch.io.store, lease: fetch.lease });
    return { context, given: elsewhere };
  }
  if (from.path !== null) throw noArchive(from.path);
  if (given !== null || file !== undefined) throw twoBuildfiles();
  const buildfile = { name: '<stdin>', text: await readText(bytes.all) };
  return { context: { layers: [], epochSec: null }, given: { buildfile, buildfilePath: null, inContext: null } };
}

/** @see Dockerfile reference, "BuildKit built-in build args" */
function withGitDir(from: RemoteFiles, buildArgs: ReadonlyMap<string, string>): RemoteFiles {
  const keeps = /^(1|t|true)$/i.test(buildArgs.get('BUILDKIT_CONTEXT_KEEP_GIT_DIR') ?? '');
  return from.kind === 'git' && keeps ? { ...from, repository: { ...from.repository, keepGitDir: true } } : from;
}

/** What the stream begins with, and all of it. */
async function readStart(stream: Readable): Promise<{ head: Buffer; all: AsyncIterable<Buffer> }> {
  const chunks = stream[Symbol.asyncIterator]();
  const read: Buffer[] = [];
  let size = 0;
  while (size < headBytes) {
    const { done, value } = (await chunks.next()) as IteratorResult<Buffer>;
    if (done) break;
    read.push(value);
    size += value.length;
  }
  const start = Buffer.concat(read);
  const all = (async function* () {
    yield start;
    yield* { [Symbol.asyncIterator]: () => chunks as AsyncIterator<Buffer> };
  })();
  return { head: start.subarray(0, headBytes), all };
}

const maxTextBytes = 16 << 20;

async function readText(chunks: AsyncIterable<Buffer>): Promise<string> {
  const read: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > maxTextBytes) throw notText('what is on standard input');
    read.push(chunk);
  }
  const text = Buffer.concat(read).toString('utf8');
  if (text.includes('\0')) throw notText('what is on standard input');
  return text;
}

function noArchive(path: string): BuildError {
  return new BuildError('CONTEXT_ARCHIVE_INVALID', {
    message: `the context ${path} is neither a directory nor an archive`,
    hint: 'the context is the directory that COPY reads from, such as . ; a Buildfile is named with -f',
  });
}

function twoBuildfiles(): BuildError {
  return new BuildError('BUILDFILE_AMBIGUOUS', {
    message: 'two Buildfiles were given: one on standard input, and one with -f',
    hint: 'leave out -f, or give a directory or an archive as the context',
  });
}

function readBuildfile(view: RootView, { from, file }: RemoteSource): FoundBuildfile {
  // A URL that is no archive is a context of this one file, and its Buildfile.
  const alone = from.kind === 'url' ? ['context'] : [];
  const names = file === undefined ? [...buildfileNames, ...alone] : [file];
  for (const name of names) {
    const entry = view.lookup(rawPath(name.replace(/^(\.?\/)+/, '')), true);
    if (entry?.type !== 'file') continue;
    const text = view.read(entry, maxTextBytes).toString('utf8');
    if (text.includes('\0')) throw notText(name);
    return { buildfile: { name, text }, buildfilePath: null, inContext: entry.path };
  }
  throw new BuildError('BUILDFILE_NOT_FOUND', {
    message:
      file === undefined
        ? `the context holds no ${buildfileNames.slice(0, 2).join(' or ')}`
        : `the context holds no ${file}`,
    hint:
      file === undefined
        ? 'name it with -f'
        : 'the path given with -f is one in the context, or an absolute one of this machine',
  });
}

function notText(name: string): BuildError {
  return new BuildError('BUILDFILE_NOT_TEXT', {
    message: `${name} is no text: it contains NUL bytes, or is larger than 16 MB`,
    hint: 'give a Buildfile as text, or an archive as tar (plain, gzip, bzip2, xz or zstd)',
  });
}

/** As for a directory: the one beside the Buildfile, else that of the context. */
function findIgnore(view: RootView, { buildfilePath, inContext }: FoundBuildfile): IgnoreMatcher | null {
  const beside = buildfilePath === null ? null : findIgnoreFile(null, buildfilePath);
  if (beside !== null) return beside.matcher;
  const own = inContext === null ? [] : [`${inContext}.dockerignore`];
  for (const name of [...own, '.dockerignore', '.containerignore']) {
    const entry = view.lookup(rawPath(name), true);
    if (entry?.type === 'file') return ignoreMatcher(view.read(entry, maxTextBytes).toString('utf8'), name);
  }
  return null;
}
