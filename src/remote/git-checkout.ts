// The files of a commit as a layer: checked out by git, for what attributes, links and submodules mean is git's to say.
import { mkdirSync, realpathSync, rmSync, statSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type FileStat, walkTree } from '#native';
import { commitDraft, findLayer, type Layer, lookupCache, overlayToDrafts, recordCache } from '#store';
import { BuildError, type GitRepository } from '../base/index.js';
import { type Git, openGit } from './git-command.js';
import { findCommit, type GitCommit, unreachable } from './git-commit.js';
import { withRepository } from './git-fetch.js';
import type { RemoteIo } from './remote-io.js';

export interface Checkout {
  /** Null: the commit has no files. */
  readonly layer: Layer | null;
  readonly commit: string;
  /** When the commit was made. */
  readonly committedSec: number;
}

/**
 * The commit's files, owned by root. A commit that is here is not fetched again: then only the ref is asked for, and of
 * a commit named by its id not even that.
 *
 * @throws BuildError GIT_MISSING, GIT_FAILED, GIT_REF_NOT_FOUND, GIT_CHECKSUM_MISMATCH, GIT_SUBDIR_NOT_FOUND, SSH_AGENT_MISSING
 */
export async function checkOut(repository: GitRepository, io: RemoteIo): Promise<Checkout> {
  const git = await openGit(repository, io);
  const found = await findCommit(git, repository);
  const key = cacheKey(git, repository, found);
  const known = lookupCache(io.store, key);
  if (known !== null) {
    const { commit, committedSec } = known.inputs as Pick<Checkout, 'commit' | 'committedSec'>;
    return { layer: known.diffId && findLayer(io.store, known.diffId), commit, committedSec };
  }
  const made = await withRepository(git, found, io, (dir) => makeLayer(git, dir, found, repository, io));
  const { layer, commit, committedSec } = made;
  recordCache(io.store, key, { diffId: layer?.diffId ?? null, inputs: { commit, committedSec } });
  return made;
}

/** With a .git directory, where the files came from is a part of them. */
function cacheKey(git: Git, repository: GitRepository, { object, commit, ref }: GitCommit): string {
  const { subdir, submodules, times } = repository;
  const keeps = keepsGitDir(repository);
  const place = keeps ? [git.remote, object, ref] : [commit ?? object];
  return `git ${JSON.stringify([...place, subdir, submodules, times, keeps])}`;
}

/** Only the top of a repository can have one. */
function keepsGitDir({ keepGitDir, subdir }: GitRepository): boolean {
  return keepGitDir === true && subdir === '';
}

async function makeLayer(
  git: Git,
  bare: string,
  found: GitCommit,
  repository: GitRepository,
  io: RemoteIo,
): Promise<Checkout> {
  const [commit = '', seconds] = await git
    .run(['log', '-1', '--format=%H %ct', found.object], { gitDir: bare })
    .then((line) => line.trim().split(' '));
  const top = io.lease.path('checkout');
  mkdirSync(top, { mode: 0o700 });
  const submodules = repository.submodules && (await hasSubmodules(git, bare, found));
  if (keepsGitDir(repository) || submodules) await cloneInto(git, bare, top, found);
  else await git.run(['read-tree', '--reset', '-u', found.object], { gitDir: bare, workTree: top });
  if (submodules) await updateSubmodules(git, top, io);
  if (!keepsGitDir(repository)) await removeRepositories(top);
  const root = findSubdir(git, top, repository.subdir);
  const committedSec = Number(seconds);
  const stats = await walkTree(root, { xattrs: false });
  const drafts = overlayToDrafts(
    stats.flatMap((stat) => (stat.path === '' ? [] : asCheckedOut(stat, repository, committedSec))),
    root,
  );
  const layer = drafts.length === 0 ? null : (await commitDraft(io.store, io.lease, drafts)).layer;
  await rm(top, { recursive: true });
  return { layer, commit, committedSec };
}

function hasSubmodules(git: Git, bare: string, { object }: GitCommit): Promise<boolean> {
  return git.run(['cat-file', '-e', `${object}:.gitmodules`], { gitDir: bare }).then(
    () => true,
    () => false,
  );
}

/** A repository of its own with just this commit, which names the place that it came from. */
async function cloneInto(git: Git, bare: string, top: string, { object, ref }: GitCommit): Promise<void> {
  const gitDir = join(top, '.git');
  const call = { gitDir, workTree: top };
  const format = object.length === 64 ? 'sha256' : 'sha1';
  await git.run(['init', '--quiet', '--template=', `--object-format=${format}`, '--', top]);
  const into = ref === null || ref === 'HEAD' ? [] : [`:${ref}`];
  const words = ['fetch', '--quiet', '--no-tags', '--update-head-ok', '--depth=1', '--', `file://${bare}`];
  await git.run([...words, `refs/tsbuild/${object}${into.join('')}`], { ...call, protocols: 'file' });
  await git.run(['checkout', '--quiet', '--detach', 'FETCH_HEAD'], call);
  await git.run(['config', 'remote.origin.url', git.remote], call);
  await git.run(['config', 'remote.origin.fetch', '+refs/heads/*:refs/remotes/origin/*'], call);
  await git.run(['reflog', 'expire', '--all', '--expire=now'], call);
  rmSync(join(gitDir, 'FETCH_HEAD'), { force: true });
}

/** Cloned anew for each commit: what is known of a submodule says nothing about where another commit has it. */
async function updateSubmodules(git: Git, top: string, io: RemoteIo): Promise<void> {
  io.onProgress('fetch submodules', 0, null);
  const words = ['submodule', '--quiet', 'update', '--init', '--recursive', '--depth=1'];
  try {
    await git.run(words, { gitDir: join(top, '.git'), workTree: top });
  } catch (error) {
    throw unreachable(git, error);
  }
}

/** The one at the top, and the files in submodules that say where theirs lie. */
async function removeRepositories(dir: string): Promise<void> {
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.name === '.git') await rm(path, { recursive: true });
    else if (entry.isDirectory()) await removeRepositories(path);
  }
}

/** Symlinks in the repository are followed as long as they stay in it. */
function findSubdir({ remote }: Git, top: string, subdir: string): string {
  const root = realpathSync(top);
  try {
    const path = realpathSync(join(root, subdir));
    if ((path === root || path.startsWith(`${root}/`)) && statSync(path).isDirectory()) return path;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'ELOOP') throw error;
  }
  throw new BuildError('GIT_SUBDIR_NOT_FOUND', {
    message: `${remote} has no directory ${subdir} in this commit`,
    hint: 'it is given after the colon of #ref:directory, or as ?subdir=',
  });
}

/** As git makes files under the usual umask, whatever ours is. */
function asCheckedOut(stat: FileStat, { times }: GitRepository, committedSec: number): FileStat {
  const writable = (stat.mode & 0o200) !== 0 ? 0o644 : 0o444;
  const executable = stat.type === 'dir' || (stat.mode & 0o100) !== 0;
  const mode = stat.type === 'symlink' ? 0o777 : executable ? writable | 0o111 : writable;
  const dated = times === 'commit' ? { mtimeSec: committedSec, mtimeNsec: 0 } : {};
  return { ...stat, ...dated, mode, uid: 0, gid: 0, nlink: 1, xattrs: [] };
}
