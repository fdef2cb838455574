// COPY and ADD: which files land where, as whom and with which mode, without touching a file system. The result is a
// list of layer entries whose contents still lie where they were.
// Semantics: Dockerfile reference, "COPY" and "ADD", and what BuildKit does where the reference is silent.
import type { RawPath } from '#native';
import type { DraftEntry } from '#store';
import type { Span } from '../base/index.js';
import type { CopyVertex } from '../graph/index.js';
import type { Landing } from './copy-destination.js';
import { type CopyInput, contentDigests, contentKey, copyInputs, pendingContent, recordDigests } from './copy-key.js';
import { baseName, joinPath } from './copy-links.js';
import { perform } from './copy-place.js';
import { digestsOf } from './copy-source.js';
import { type CopyIo, findTasks, openStep, requireDirectoryForMany, type Step, type Task } from './copy-tasks.js';

export interface CopyPlan {
  /**
   * The layer, in byte order of path; [] if nothing would change. Archives of ADD are decompressed when this is called first.
   * @throws BuildError ADD_ARCHIVE_INVALID, ADD_TOOL_MISSING
   */
  drafts(): Promise<readonly DraftEntry[]>;
  /** The first source of an instruction none of whose wildcards found anything, which may be meant so. */
  readonly unmatched: { readonly pattern: string; readonly at: Span } | null;
  /** What `contentKey` would have to read. When it is much, committing first and `contentKeyFrom` reads it only once. */
  readonly pending: { readonly files: number; readonly bytes: number };
  /** Hex digest of everything that will be in the layer but times. Reads only content whose digest is not known. */
  contentKey(): Promise<string>;
  /**
   * The same from the digests of a commit of `drafts()`, by path in the layer: the key of what was really copied.
   * They are kept, so that the next build need not read these files.
   */
  contentKeyFrom(fileDigests: ReadonlyMap<RawPath, string>): Promise<string>;
  /** The files that the key was made of. After `contentKey` or `contentKeyFrom`. */
  inputs(): Iterable<CopyInput>;
}

/**
 * Decides what the instruction does.
 *
 * @throws BuildError COPY_NOT_FOUND, COPY_DEST_NOT_DIRECTORY, COPY_CONFLICT, COPY_UNSUPPORTED_FILE, COPY_RESERVED_NAME,
 *   CHMOD_INVALID, USER_NOT_FOUND, USER_INVALID, PATTERN_INVALID
 */
export async function planCopy(vertex: CopyVertex, io: CopyIo): Promise<CopyPlan> {
  const step = openStep(vertex, io);
  const tasks = await findTasks(step);
  requireDirectoryForMany(step, tasks);

  // Archives have no part in the key but by their own digest, so that a build that finds its result never unpacks them.
  const unpacked = tasks.flatMap((task) => (task.kind === 'archive' ? task.archive : []));
  const plain = await perform(step, tasks, { unpack: false });
  let drafts: Promise<readonly DraftEntry[]> | null = null;
  let digests: readonly string[] = [];
  let archives: readonly string[] = [];
  const keyOf = async (found: readonly string[]): Promise<string> => {
    digests = found;
    archives = await digestsOf(unpacked.map((archive) => archive.entry));
    return contentKey(plain, digests, { archives, dest: unpacked.length > 0 ? vertex.dest : '', owner: step.owner });
  };
  return {
    drafts() {
      drafts ??=
        unpacked.length === 0
          ? Promise.resolve(plain.map((landing) => landing.draft))
          : perform(step, tasks, { unpack: true }).then((all) => all.map((landing) => landing.draft));
      return drafts;
    },
    unmatched: findUnmatched(step, tasks, plain),
    pending: pendingContent(plain, unpacked),
    contentKey: async () => keyOf(await contentDigests(plain)),
    contentKeyFrom: async (fileDigests) => keyOf(await recordDigests(plain, fileDigests)),
    inputs: () =>
      copyInputs(
        plain,
        digests,
        unpacked.map(({ entry }, i) => ({
          path: joinPath(directoryOf(step), baseName(entry.path)),
          digest: archives[i]!,
        })),
      ),
  };
}

function directoryOf({ dest }: Step): RawPath {
  return dest.replace(/\/+$/, '') as RawPath;
}

function findUnmatched(
  { vertex, exclude }: Step,
  tasks: readonly Task[],
  landings: readonly Landing[],
): CopyPlan['unmatched'] {
  const found = tasks.some((task) => task.kind !== 'parents') || landings.some((landing) => landing.from !== null);
  return found || exclude !== null ? null : (vertex.sources[0] ?? null);
}
