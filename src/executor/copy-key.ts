// What a COPY adds to a cache key: everything about the files as they will land, but no times nobody asked for. A changed mode that
// --chmod overrides, a touched file or another name of the source therefore change nothing.
import { createHash, type Hash } from 'node:crypto';
import { displayPath, type RawPath } from '#native';
import type { DraftEntry } from '#store';
import type { Archive } from './copy-archive.js';
import type { Landing } from './copy-destination.js';
import { digestsOf } from './copy-source.js';
import type { Owner } from './owner.js';

/** One line of an explanation: a file, or all files of a directory where there are many. */
export interface CopyInput {
  /** Path in the image. */
  readonly path: string;
  /** Octal; '' for a group of files. */
  readonly mode: string;
  readonly files: number;
  /** Hex, of the content or of everything in the group. */
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

/** The same from what a commit computed, which the trees that the files came from keep. */
export function recordDigests(landings: readonly Landing[], fileDigests: ReadonlyMap<RawPath, string>): string[] {
  return landings.map(({ draft, from }) => {
    if (!from || !needsReading(draft)) return literalDigest(draft);
    const digest = fileDigests.get(draft.path);
    if (digest === undefined) throw new Error(`the commit computed no digest of ${draft.path}`);
    from.tree?.record(from, digest);
    return digest;
  });
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

const maxInputs = 400;

export function copyInputs(landings: readonly Landing[], digests: readonly string[]): CopyInput[] {
  const files = landings.flatMap(({ draft }, i) => (draft.type === 'dir' ? [] : { draft, digest: digests[i] ?? '' }));
  if (files.length <= maxInputs) {
    return files.map(({ draft, digest }) => ({
      path: `/${displayPath(draft.path)}`,
      mode: draft.mode.toString(8),
      files: 1,
      digest: digest || sha256(draft.linkTarget),
    }));
  }
  // The deepest level of directories that is still short enough to read.
  for (let depth = 8; ; depth--) {
    const groups = group(files, depth);
    if (groups.size <= maxInputs || depth === 0) {
      return [...groups].map(([path, members]) => {
        const hash = createHash('sha256');
        for (const { draft, digest } of members) hash.update(record(draft, digest), 'latin1');
        return {
          path: `/${displayPath(path as RawPath)}`,
          mode: '',
          files: members.length,
          digest: hash.digest('hex'),
        };
      });
    }
  }
}

interface InputFile {
  readonly draft: DraftEntry;
  readonly digest: string;
}

/** By the first `depth` directories of their paths. */
function group(files: readonly InputFile[], depth: number): Map<string, InputFile[]> {
  const groups = new Map<string, InputFile[]>();
  for (const file of files) {
    const directories = file.draft.path.split('/').slice(0, -1);
    const key = `${directories.slice(0, depth).join('/')}/`;
    const members = groups.get(key);
    if (members) members.push(file);
    else groups.set(key, [file]);
  }
  return groups;
}

function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}
