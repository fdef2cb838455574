// Repositories fetched before, in cache/git of the store: for each URL a bare one that grows by what is asked of it.
//
//   <sha256 of the URL>/       the repository; commits that were fetched are named refs/tsbuild/<id>, so that they stay
//   <sha256 of the URL>.lock   flocked by who fetches or reads
//   known_hosts                keys of ssh servers, as they were first seen
//
// Shallow as long as that is enough. Whoever holds the lock may remove a repository; it is used under the lock only.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FileLock, lockFile } from '#native';
import { type Git, GitFailure } from './git-command.js';
import { type GitCommit, unreachable } from './git-commit.js';
import type { RemoteIo } from './remote-io.js';

/** Beyond so many the longest unused go. */
const maxRepositories = 32;

/** Calls `use` with a bare repository that has the commit. @throws BuildError GIT_FAILED */
export async function withRepository<T>(
  git: Git,
  commit: GitCommit,
  io: RemoteIo,
  use: (dir: string) => Promise<T>,
): Promise<T> {
  const parent = join(io.store.dir, 'cache', 'git');
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  const dir = join(parent, createHash('sha256').update(git.remote).digest('hex').slice(0, 32));
  const lock = await waitForLock(`${dir}.lock`, io.signal);
  try {
    for (const name of ['index.lock', 'shallow.lock']) rmSync(join(dir, name), { force: true }); // of a git that was killed
    await fetchCommit(git, dir, commit, io);
    utimesSync(dir, new Date(), new Date()); // used last
    await dropOldest(parent);
    return await use(dir);
  } finally {
    lock.close();
  }
}

async function waitForLock(path: string, signal: AbortSignal): Promise<FileLock> {
  for (;;) {
    signal.throwIfAborted();
    const lock = await lockFile(path, 'exclusive', false);
    if (lock !== null) return lock;
    await sleep(50);
  }
}

async function fetchCommit(git: Git, dir: string, { object, ref }: GitCommit, io: RemoteIo): Promise<void> {
  const call = { gitDir: dir };
  if (!existsSync(join(dir, 'HEAD'))) await initialise(git, dir, object);
  const name = `refs/tsbuild/${object}`;
  const has = (what: string): Promise<boolean> =>
    git.run(['cat-file', '-e', what], call).then(
      () => true,
      () => false,
    );
  io.signal.throwIfAborted();
  if (await has(`${name}^{tree}`)) return;
  io.onProgress(`fetch ${object.slice(0, 12)}`, 0, null);
  const fetch = (words: readonly string[]): Promise<string> =>
    git.run(['fetch', '--quiet', '--no-tags', '--no-write-fetch-head', ...words], call);
  try {
    await fetch(['--depth=1', '--', 'origin', `+${object}:${name}`]).catch(async (error: unknown) => {
      if (!(error instanceof GitFailure)) throw error;
      // The server doesn't know of depths, or gives commits by their refs only.
      const refs = ref === null || ref === 'HEAD' ? '+refs/*:refs/remote/*' : `+${ref}:${name}`;
      const deep = existsSync(join(dir, 'shallow')) ? ['--unshallow'] : [];
      await fetch([...deep, '--', 'origin', refs]);
      await git.run(['update-ref', '--no-deref', name, object], call);
    });
  } catch (error) {
    throw unreachable(git, error);
  }
}

/** A commit's id tells by its length how objects are hashed. */
async function initialise(git: Git, dir: string, id: string): Promise<void> {
  rmSync(dir, { recursive: true, force: true });
  const format = id.length === 64 ? 'sha256' : 'sha1';
  await git.run(['init', '--quiet', '--bare', '--template=', `--object-format=${format}`, '--', dir]);
  await git.run(['config', 'remote.origin.url', git.remote], { gitDir: dir });
}

async function dropOldest(parent: string): Promise<void> {
  const repositories = readdirSync(parent, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const used = (name: string): number => statSync(join(parent, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const byUse = repositories.map(({ name }) => ({ name, usedMs: used(name) })).sort((a, b) => b.usedMs - a.usedMs);
  for (const { name } of byUse.slice(maxRepositories)) {
    const lock = await lockFile(join(parent, `${name}.lock`), 'exclusive', false);
    if (lock === null) continue;
    rmSync(join(parent, name), { recursive: true, force: true });
    lock.close();
  }
}
