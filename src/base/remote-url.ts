// Places elsewhere, as people write them: URLs of files, and of git repositories with what is wanted of them.
// Forms: those of `docker buildx build` for contexts and of the Dockerfile reference for ADD.
import { BuildError } from './errors.js';

/** What is wanted of a git repository. */
export interface GitRepository {
  /** As git takes it: the URL without query and fragment, credentials in it included. */
  readonly remote: string;
  /** Branch, tag, full ref or commit; null: the repository's default branch. */
  readonly ref: string | null;
  /** Relative to the repository's top; '' is all of it. */
  readonly subdir: string;
  /** What the commit's id must begin with. */
  readonly commit: string | null;
  /** Null: whoever asks decides. */
  readonly keepGitDir: boolean | null;
  readonly submodules: boolean;
  /** Which time files get: that of their commit, or of the moment they were checked out. */
  readonly times: 'commit' | 'checkout';
}

export function isHttpUrl(text: string): boolean {
  return /^https?:\/\//i.test(text);
}

/**
 * Null where the text means no git repository. Over HTTP it has to end with '.git'; ssh:// and git:// say so themselves,
 * and so does user@host:path.
 *
 * @throws BuildError GIT_URL_INVALID
 */
export function parseGitUrl(text: string): GitRepository | null {
  const [withQuery = '', ...fragments] = text.split('#');
  const mark = withQuery.indexOf('?');
  const remote = mark < 0 ? withQuery : withQuery.slice(0, mark);
  if (!isGitRemote(remote)) return null;
  const fragment = decode(fragments.join('#'), text);
  const colon = fragment.indexOf(':');
  const asked = {
    ref: colon < 0 ? fragment : fragment.slice(0, colon),
    subdir: colon < 0 ? '' : fragment.slice(colon + 1),
  };
  const query = readQuery(mark < 0 ? '' : withQuery.slice(mark + 1), text);
  const checksum = query.get('checksum') ?? query.get('commit');
  const commit = checksum === undefined ? null : requireCommit(checksum, text);
  const ref = agree('ref', [asked.ref, query.get('ref'), fullRef('heads', query), fullRef('tags', query)], text);
  const subdir = agree('subdir', [asked.subdir, query.get('subdir')], text);
  if (ref !== null) requirePlainRef(ref, text);
  return {
    remote,
    ref: ref ?? commit,
    subdir: cleanSubdir(subdir ?? '', text),
    commit,
    keepGitDir: query.has('keep-git-dir') ? isTrue('keep-git-dir', query, text) : null,
    submodules: query.has('submodules') ? isTrue('submodules', query, text) : true,
    times: timesOf(query.get('mtime') ?? 'checkout', text),
  };
}

/** The URL for people to read: nothing in it opens a door. The user of ssh is a part of the place. */
export function withoutCredentials(url: string): string {
  const shown = /^ssh:/i.test(url)
    ? url.replace(/^(ssh:\/\/[^/?#:@]*):[^/?#]*@/i, '$1@')
    : url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, '$1');
  return shown.replace(/\?[^#]*/, '?…');
}

/** @throws BuildError GIT_URL_INVALID */
export function requireCommit(text: string, url: string): string {
  if (/^[0-9a-f]{1,64}$/i.test(text)) return text.toLowerCase();
  throw invalid(
    url,
    `${JSON.stringify(text)} is no commit`,
    'a commit is written in hexadecimal digits, as git log prints it',
  );
}

function isGitRemote(remote: string): boolean {
  const scheme = /^([a-z0-9]+):\/\//i.exec(remote)?.[1]?.toLowerCase();
  if (scheme === undefined) return /^[a-z0-9_][a-z0-9_-]*@[a-z0-9][a-z0-9.-]*:[^/]?./i.test(remote);
  if (scheme === 'ssh' || scheme === 'git') return true;
  return (scheme === 'http' || scheme === 'https') && /^[^/]*\/\/[^/]+\/.*\.git$/i.test(remote);
}

const keys = ['ref', 'tag', 'branch', 'subdir', 'checksum', 'commit', 'keep-git-dir', 'submodules', 'mtime'];
const switches = new Set(['keep-git-dir', 'submodules']);

function readQuery(text: string, url: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const field of text === '' ? [] : text.split('&')) {
    const [name = '', ...rest] = field.split('=');
    const key = decode(name, url);
    const value = decode(rest.join('=').replaceAll('+', ' '), url);
    if (!keys.includes(key)) throw invalid(url, `there is no query ${key}`, `what may stand there: ${keys.join(', ')}`);
    if (found.has(key)) throw invalid(url, `${key} is given twice`);
    if (value === '' && !switches.has(key)) throw invalid(url, `${key} has no value`);
    found.set(key, value);
  }
  if (found.has('tag') && found.has('branch'))
    throw invalid(url, 'a branch and a tag are given', 'leave out one of the two');
  return found;
}

function fullRef(kind: 'heads' | 'tags', query: ReadonlyMap<string, string>): string | undefined {
  const name = query.get(kind === 'heads' ? 'branch' : 'tag');
  if (name === undefined) return undefined;
  return name.startsWith(`refs/${kind}/`) ? name : `refs/${kind}/${name}`;
}

/** The one value that was given, however often; null: none. */
function agree(what: string, values: readonly (string | undefined)[], url: string): string | null {
  const [first = null, ...others] = new Set(values.filter((value) => value !== undefined && value !== ''));
  if (others.length === 0) return first ?? null;
  throw invalid(url, `it says two different things for ${what}: ${first} and ${others[0]}`);
}

/** @see git-check-ref-format(1) */
function requirePlainRef(ref: string, url: string): void {
  const odd = /[\0-\x20\x7f~^:?*[\\]|\.\.|@\{|\/\/|^[-/.]|[/.]$/;
  if (odd.test(ref)) throw invalid(url, `${JSON.stringify(ref)} can be no branch or tag`);
}

function cleanSubdir(subdir: string, url: string): string {
  const names = subdir.split('/').filter((name) => name !== '' && name !== '.');
  if (names.includes('..')) throw invalid(url, `the directory ${subdir} leads out of the repository`);
  return names.join('/');
}

function isTrue(key: string, query: ReadonlyMap<string, string>, url: string): boolean {
  const value = query.get(key) ?? '';
  if (['', '1', 't', 'true'].includes(value.toLowerCase())) return true;
  if (['0', 'f', 'false'].includes(value.toLowerCase())) return false;
  throw invalid(url, `${key} is true or false, not ${JSON.stringify(value)}`);
}

function timesOf(value: string, url: string): GitRepository['times'] {
  if (value === 'commit' || value === 'checkout') return value;
  throw invalid(url, `mtime is commit or checkout, not ${JSON.stringify(value)}`);
}

function decode(text: string, url: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid(url, `${text} is no URL encoding`);
  }
}

function invalid(url: string, problem: string, hint?: string): BuildError {
  return new BuildError('GIT_URL_INVALID', { message: `${withoutCredentials(url)}: ${problem}`, hint });
}
