// What a COPY adds to a cache key: everything about the files as they will land, but no times nobody asked for. A changed mode that
// --chmod overrides, a touched file or another name of the source therefore change nothing.
import { createHash, type Hash } from 'node:crypto';
import type { RawPath } from '#native';
import type { DraftEntry } from '#store';
import type { Archive } from './copy-archive.js';
import type { Landing } from './copy-destination.js';
import { digestsOf } from './copy-source.js';
import type { Owner } from './owner.js';

/** A file as it counts in a key. */
export interface CopyInput {
  /** In the image; of an archive that will be unpacked, where it would be as a file. */
  readonly path: RawPath;
  readonly type: DraftEntry['type'] | 'archive';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Hex, of the content or whatever else a file of its type consists of. */
  readonly digest: string;
}

/** What must be read before the key is known. */
export function pendingContent(
  landings: readonly Landing[],
  archives: readonly Archive[],
): { files: number; bytes: number } {
  let files = 0;
  let bytes = 0;
  for (const from of [...landings.map((landing) => landing.from), ...archives.map((archive) => archive.entry)]) {
    if (!from?.content || 'bytes' in from.content || from.tree?.knownDigest(from)) continue;
    files++;
    bytes += from.size;
  }
  return { files, bytes };
}

/** Hex SHA-256 of each landing's content, '' where it has none; reads what is not known. */
export async function contentDigests(landings: readonly Landing[]): Promise<string[]> {
  const read = landings.flatMap(({ draft, from }) => (from && needsReading(draft) ? from : []));
  const digests = await digestsOf(read);
  let next = 0;
  return landings.map(({ draft, from }) => (from && needsReading(draft) ? digests[next++]! : literalDigest(draft)));
}

/**
 * The same from what a commit computed, which the trees that the files came from keep. It has no digest of a sparse file, whose
 * pieces it put together itself: those are read again.
 */
export async function recordDigests(
  landings: readonly Landing[],
  fileDigests: ReadonlyMap<RawPath, string>,
): Promise<string[]> {
  const digests: string[] = [];
  for (const { draft, from } of landings) {
    if (!from || !needsReading(draft)) {
      digests.push(literalDigest(draft));
      continue;
    }
    const digest = fileDigests.get(draft.path) ?? (await digestsOf([from]))[0];
    if (digest === undefined) throw new Error(`the commit computed no digest of ${draft.path}`);
    from.tree?.record(from, digest);
    digests.push(digest);
  }
  return digests;
}

function needsReading(draft: DraftEntry): boolean {
  return draft.content !== undefined && !('bytes' in draft.content);
}

function literalDigest({ content }: DraftEntry): string {
  return content && 'bytes' in content ? sha256(content.bytes) : '';
}

/** Raised whenever records made under the old rules must not be used. */
const keyVersion = 'copy 1';

export function contentKey(
  landings: readonly Landing[],
  digests: readonly string[],
  unpacked: { readonly archives: readonly string[]; readonly dest: string; readonly owner: Owner | null },
): string {
  const hash = createHash('sha256').update(`${keyVersion}\n${JSON.stringify(unpacked)}\n`);
  updateAll(hash, landings, digests);
  return hash.digest('hex');
}

/** In large pieces: one call for each file would cost more than the hashing. */
function updateAll(hash: Hash, landings: readonly Landing[], digests: readonly string[]): void {
  let text = '';
  landings.forEach(({ draft, from }, i) => {
    text += record(draft, digests[i]!);
    if (from?.tree?.timesCount) text += `${draft.mtimeSec}\n`;
    if (text.length < 65_536) return;
    hash.update(text, 'latin1');
    text = '';
  });
  hash.update(text, 'latin1');
}

/** Names can't contain NUL, so that no two lists of entries have the same text. */
function record(draft: DraftEntry, digest: string): string {
  const { path, type, mode, uid, gid, size, devMajor, devMinor, linkTarget, xattrs } = draft;
  const numbers = `${mode} ${uid} ${gid} ${size} ${devMajor} ${devMinor}`;
  return `${path}\0${type} ${numbers} ${digest}\0${linkTarget}\0${xattrs.length === 0 ? '' : attributes(draft)}\n`;
}

function attributes({ xattrs }: DraftEntry): string {
  return xattrs
    .map(({ name, value }) => `${Buffer.from(name).toString('hex')}=${value.toString('hex')}`)
    .sort()
    .join();
}

/** What the key was made of, file by file. @param digests of the landings' contents */
export function* copyInputs(
  landings: readonly Landing[],
  digests: readonly string[],
  archives: readonly Pick<CopyInput, 'path' | 'digest'>[],
): Generator<CopyInput> {
  for (const archive of archives) yield { ...archive, type: 'archive', mode: 0, uid: 0, gid: 0 };
  for (let i = 0; i < landings.length; i++) {
    const { draft } = landings[i]!;
    const { path, type, mode, uid, gid } = draft;
    yield { path, type, mode, uid, gid, digest: substance(draft, digests[i]!) };
  }
}

function substance(draft: DraftEntry, digest: string): string {
  const { type, linkTarget, devMajor, devMinor, xattrs } = draft;
  if (xattrs.length > 0) return sha256(`${digest}${linkTarget}${attributes(draft)}`);
  if (type === 'symlink' || type === 'hardlink') return sha256(linkTarget);
  return type === 'char' || type === 'block' ? sha256(`${devMajor}:${devMinor}`) : digest;
}

function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}
