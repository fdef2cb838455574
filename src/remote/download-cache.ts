// What was downloaded before, in cache/downloads of the store.
//
//   body/<sha256>       the bytes, named by their digest
//   url/<sha256>.json   {digest, etag, lastModified}: what a URL gave the last time; the name is the digest of the URL and
//                       of what it was asked with, so that nothing of either can be read here
//
// Everything gets its name by a rename or a link and never changes. Bodies are linked into the lease of who uses them:
// anyone may remove anything here at any time. A body that was written before this boot may not have reached the disk
// and is read once more before it counts.
import { createHash, randomUUID } from 'node:crypto';
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { uptime } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { hashFiles, rawPath } from '#native';
import type { Lease, Store } from '#store';

/** What a URL gave, and how to ask whether it still does. */
export interface KnownAnswer {
  readonly digest: string;
  readonly etag: string | null;
  /** As the server wrote it. */
  readonly lastModified: string | null;
}

export interface DownloadCache {
  answer(url: string, authorization: string | undefined): KnownAnswer | null;
  remember(url: string, authorization: string | undefined, answer: KnownAnswer): void;
  /** The body with this SHA-256 (hex), as a file of the lease; null if there is none. */
  take(digest: string): Promise<string | null>;
  /** Keeps a file of the lease, which stays where it is. */
  keep(path: string, digest: string): void;
}

/** Beyond so much the longest unused bodies go; the newest stays however large it is. */
const maxBytes = 2 * 2 ** 30;
const maxAnswers = 4096;

export function openDownloadCache(store: Store, lease: Lease): DownloadCache {
  const dir = join(store.dir, 'cache', 'downloads');
  const body = (digest: string): string => join(dir, 'body', digest);
  const answerFile = (url: string, authorization = ''): string => {
    const name = createHash('sha256')
      .update(JSON.stringify([url, authorization]))
      .digest('hex');
    return join(dir, 'url', `${name}.json`);
  };
  return {
    answer(url, authorization) {
      const answer = readAnswer(answerFile(url, authorization));
      return answer !== null && statSync(body(answer.digest), { throwIfNoEntry: false }) ? answer : null;
    },
    remember(url, authorization, answer) {
      const path = answerFile(url, authorization);
      makeDirectory(dirname(path));
      const temp = `${path}.${randomUUID()}`;
      writeFileSync(temp, JSON.stringify(answer), { mode: 0o600 });
      renameSync(temp, path);
      dropOldest(dirname(path), { files: maxAnswers, bytes: Number.POSITIVE_INFINITY });
    },
    async take(digest) {
      const path = lease.path('download');
      if (!tryLink(body(digest), path)) return null;
      if (!(await isIntact(path, digest))) {
        rmSync(body(digest), { force: true });
        rmSync(path);
        return null;
      }
      utimesSync(path, new Date(), new Date()); // used last
      return path;
    },
    keep(path, digest) {
      makeDirectory(join(dir, 'body'));
      tryLink(path, body(digest));
      dropOldest(join(dir, 'body'), { files: Number.POSITIVE_INFINITY, bytes: maxBytes });
    },
  };
}

function makeDirectory(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
}

function readAnswer(path: string): KnownAnswer | null {
  try {
    const { digest, etag, lastModified } = JSON.parse(readFileSync(path, 'utf8')) as KnownAnswer;
    return /^[0-9a-f]{64}$/.test(digest) ? { digest, etag, lastModified } : null;
  } catch {
    return null; // none, or one that was cut off: it is a cache
  }
}

/** False if the file is not there, or another is at the new name. */
function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EEXIST') return false;
    throw error;
  }
}

async function isIntact(path: string, digest: string): Promise<boolean> {
  const bootMs = Date.now() - uptime() * 1000;
  if (statSync(path).mtimeMs > bootMs) return true;
  const [found] = await hashFiles([{ root: dirname(path), path: rawPath(basename(path)) }]);
  return found === digest;
}

function dropOldest(dir: string, most: { readonly files: number; readonly bytes: number }): void {
  const files = readdirSync(dir).flatMap((name) => {
    const path = join(dir, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat === undefined ? [] : { path, size: stat.size, usedMs: stat.mtimeMs };
  });
  let bytes = 0;
  files
    .sort((a, b) => b.usedMs - a.usedMs)
    .forEach(({ path, size }, i) => {
      bytes += size;
      if (i > 0 && (i >= most.files || bytes > most.bytes)) rmSync(path, { force: true });
    });
}
