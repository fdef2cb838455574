// Which commit a branch, a tag or nothing means, by asking the repository.
import { BuildError, type GitRepository } from '../base/index.js';
import { type Git, GitFailure } from './git-command.js';

export interface GitCommit {
  /** What the ref names: a commit, or the object of an annotated tag. */
  readonly object: string;
  /** The commit itself; null: not known before it is fetched. */
  readonly commit: string | null;
  /** In full, as 'refs/heads/main'; null: it was asked for by its id. */
  readonly ref: string | null;
}

/** @throws BuildError GIT_REF_NOT_FOUND, GIT_CHECKSUM_MISMATCH, GIT_FAILED */
export async function findCommit(git: Git, repository: GitRepository): Promise<GitCommit> {
  const { ref } = repository;
  const found = ref !== null && isFullId(ref) ? { object: ref, commit: null, ref: null } : await askRemote(git, ref);
  requireChecksum(git, repository, found);
  return found;
}

function isFullId(ref: string): boolean {
  return /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(ref);
}

async function askRemote(git: Git, ref: string | null): Promise<GitCommit> {
  const wanted = ref === null ? ['--symref', '--', git.remote, 'HEAD'] : ['--', git.remote, ref, `${ref}^{}`];
  const listed = await git.run(['ls-remote', ...wanted]).catch((error: unknown) => {
    throw unreachable(git, error);
  });
  const ids = new Map<string, string>();
  let branch: string | null = null;
  for (const line of listed.split('\n')) {
    const [id = '', name = ''] = line.split('\t');
    if (id.startsWith('ref: ')) branch = id.slice('ref: '.length);
    else if (isFullId(id)) ids.set(name, id);
  }
  const head = ids.get('HEAD');
  if (ref === null && head !== undefined) return { object: head, commit: head, ref: branch ?? 'HEAD' };
  for (const name of ref === null ? [] : candidates(ref)) {
    const object = ids.get(name);
    if (object !== undefined) return { object, commit: ids.get(`${name}^{}`) ?? object, ref: name };
  }
  throw new BuildError('GIT_REF_NOT_FOUND', {
    message: ref === null ? `${git.remote} has no commits` : `${git.remote} has no branch or tag ${ref}`,
    hint: ref === null ? undefined : 'a commit is named by all 40 digits of its id',
  });
}

/** Whatever 'refs/' makes of it, then branches, then tags. */
function candidates(ref: string): string[] {
  const bare = (prefix: string): string => (ref.startsWith(prefix) ? ref : `${prefix}${ref}`);
  return [bare('refs/'), bare('refs/heads/'), bare('refs/tags/')];
}

function requireChecksum({ remote }: Git, { commit: wanted }: GitRepository, found: GitCommit): void {
  if (wanted === null || found.object.startsWith(wanted) || found.commit?.startsWith(wanted)) return;
  throw new BuildError('GIT_CHECKSUM_MISMATCH', {
    message: `${found.ref ?? 'the commit'} of ${remote} is ${found.commit ?? found.object}, not ${wanted}`,
    hint: 'if it was meant to move, write its new commit; otherwise find out who moved it',
  });
}

export function unreachable(git: Git, error: unknown): unknown {
  if (!(error instanceof GitFailure)) return error;
  return new BuildError('GIT_FAILED', {
    message: `${git.remote} can't be fetched: ${error.message}`,
    hint: hintFor(error.message),
    cause: error,
  });
}

function hintFor(said: string): string {
  if (/could not read (Username|Password)|Authentication failed|\b40[13]\b/.test(said))
    return 'if it is private, give a secret GIT_AUTH_TOKEN with --secret';
  if (/Permission denied|Host key/i.test(said))
    return 'check the keys of the agent, and that the host is the one it should be';
  return 'check the URL, and that this machine can reach it';
}
