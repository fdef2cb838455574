// What the words of COPY and ADD name: paths, URLs, git repositories.
import { posix } from 'node:path';
import { BuildError, errorAt, type GitRepository, isHttpUrl, parseGitUrl, requireCommit } from '../base/index.js';
import type { CopyInstruction, Word } from '../buildfile/index.js';
import type { CopySource, RemoteSource } from './types.js';

/** @param text the word with its variables expanded @throws BuildError ARGUMENTS_INVALID, FLAG_INVALID, GIT_URL_INVALID, VARIABLE_INVALID */
export function planSources(copy: CopyInstruction, text: (word: Word) => string): CopySource[] {
  const checksum = copy.checksum ? text(copy.checksum) || null : null;
  const sources = copy.sources.map((word): CopySource => {
    const pattern = text(word);
    return { pattern, at: word.at, remote: remoteOf(copy, pattern, checksum, word) };
  });
  if (checksum !== null) requireOneRemote(copy, sources);
  return sources;
}

function remoteOf(copy: CopyInstruction, text: string, checksum: string | null, word: Word): RemoteSource | null {
  const repository = parsedAt(word, () => parseGitUrl(text));
  if (repository === null && !isHttpUrl(text)) return null;
  if (copy.keyword === 'COPY') {
    throw new BuildError('ARGUMENTS_INVALID', {
      message: `COPY can not take ${repository ? 'a git repository' : 'a URL'}`,
      hint: 'it copies files of the build context, of a stage or of an image; ADD takes what lies elsewhere',
      at: word.at,
    });
  }
  if (repository) return { kind: 'git', repository: withFlags(copy, repository, checksum, text) };
  return { kind: 'file', url: text, name: fileName(text), sha256: checksum === null ? null : sha256Of(copy, checksum) };
}

function withFlags(copy: CopyInstruction, asked: GitRepository, checksum: string | null, url: string): GitRepository {
  const commit = checksum === null ? asked.commit : parsedAt(copy.checksum!, () => requireCommit(checksum, url));
  return { ...asked, commit, keepGitDir: copy.keepGitDir?.on ?? asked.keepGitDir };
}

/** As the path ends; a URL without one gives a file that says so. */
function fileName(url: string): string {
  const path = URL.canParse(url) ? new URL(url).pathname : '';
  const name = posix.basename(path);
  try {
    return decodeURIComponent(name).split('/').at(-1) || '__unnamed__';
  } catch {
    return name;
  }
}

function sha256Of({ checksum }: CopyInstruction, text: string): string {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(text)?.[1];
  if (hex !== undefined) return hex;
  throw new BuildError('FLAG_INVALID', {
    message: `--checksum of a URL is sha256: and 64 hexadecimal digits, not ${JSON.stringify(text)}`,
    hint: 'sha256sum FILE prints them',
    at: checksum!.at,
  });
}

/** @see Dockerfile reference, "ADD --checksum" */
function requireOneRemote(copy: CopyInstruction, sources: readonly CopySource[]): void {
  const { at } = copy.checksum!;
  if (sources.length + copy.inline.length !== 1) {
    throw new BuildError('FLAG_INVALID', {
      message: '--checksum is for one source',
      hint: 'give each source an ADD of its own',
      at,
    });
  }
  if (sources[0]?.remote) return;
  throw new BuildError('FLAG_INVALID', {
    message: '--checksum is for URLs and git repositories',
    hint: 'files of the build context need none: leave it out',
    at,
  });
}

function parsedAt<T>(word: Word, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw errorAt(error, word.at);
  }
}
