// Files → a layer: drafts are put together to a tar in one read pass, which is then indexed and published.
import { readdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type AssembleResult, assembleTar, type FileStat, type Host, type RawPath } from '#native';
import type { DraftEntry } from '../format/entry.js';
import { encodeIndex } from '../format/index-encode.js';
import { overlayToDrafts } from '../format/overlay-drafts.js';
import { encodeTar } from '../format/tar-encode.js';
import type { CommittedLayer, Layer, Lease } from '../types.js';
import { storeFault } from './faults.js';
import { mountForm } from './form.js';
import type { Store } from './handle.js';
import { publishLayer, stageLayer } from './layer.js';
import { discard } from './trash.js';
import { adoptTree } from './tree.js';
import { sourceFailure } from './unreadable-layer.js';

export interface CommitOptions {
  /** Reads the files; a host's own `assemble` for files that only its user namespace can read. */
  readonly assemble?: Host['assemble'] | undefined;
  /** Report the digest of every file too. */
  readonly fileDigests?: boolean | undefined;
}

/**
 * Stores the layer that consists of `drafts`. The same drafts give the same layer. Whatever is thrown, the store reads as before.
 *
 * @throws StoreError TAR_*, STORE_FULL; SystemError READ_FAILED, FILE_CHANGED
 */
export async function commitDraft(
  store: Store,
  lease: Lease,
  drafts: readonly DraftEntry[],
  options: CommitOptions = {},
): Promise<CommittedLayer> {
  store.requireWritable();
  const stage = stageLayer(store, lease);
  try {
    const { parts, entries, size, fileParts } = encodeTar(drafts);
    const assemble = options.assemble ?? assembleTar;
    const output = join(stage, 'tar');
    const assembling = assemble({ parts, output, heads: true, fileDigests: options.fileDigests ?? false });
    // The index is made while other threads read and hash the files: they have begun by the next turn of the event loop.
    // Neither is left running when the other fails.
    const indexing = nextTurn().then(() => encodeIndex(entries, size));
    await Promise.allSettled([assembling, indexing]);
    const result = await assembling;
    const layer = await publishLayer(store, stage, result, { index: await indexing });
    return { layer, heads: headsByPath(result, fileParts), fileDigests: digestsByPath(result, fileParts) };
  } catch (error) {
    await discard(store, stage);
    const contents = drafts.map(({ content }) => content);
    throw storeFault(await sourceFailure(contents, error), store.dir);
  }
}

/**
 * Stores what a step wrote to `<scratchDir>/upper` as a layer; null if it wrote nothing. The directory is gone afterwards: it
 * became the layer's tree, or is removed in the background.
 */
export async function commitUpper(
  store: Store,
  lease: Lease,
  host: Host,
  scratchDir: string,
): Promise<CommittedLayer | null> {
  const upper = join(scratchDir, 'upper');
  if (isUntouched(upper)) {
    rmdirSync(upper);
    return null;
  }
  const stats = await host.walk(upper, { xattrs: true });
  const drafts = overlayToDrafts(stats, upper);
  if (drafts.length === 0) {
    await discard(store, upper, host);
    return null;
  }
  const committed = await commitDraft(store, lease, drafts, { assemble: (request) => host.assemble(request) });
  if (!(await becomesTree(store, lease, host, committed.layer, stats, upper))) await discard(store, upper, host);
  return committed;
}

/** The cheap answer for steps that wrote nothing; one that only changed the root itself is left to the walk. */
function isUntouched(upper: string): boolean {
  const { mode, uid, gid } = statSync(upper);
  const isPlain = (mode & 0o7777) === 0o755 && uid === process.getuid?.() && gid === process.getgid?.();
  return isPlain && readdirSync(upper).length === 0;
}

/** An upperdir is a tree already, unless it holds what its tar leaves out. */
async function becomesTree(
  store: Store,
  lease: Lease,
  host: Host,
  layer: Layer,
  stats: readonly FileStat[],
  upper: string,
): Promise<boolean> {
  if ((await mountForm(store, host, layer)) === 'index') return false;
  if (stats.some((stat) => stat.type === 'socket')) return false;
  return adoptTree(store, lease, layer.diffId, upper);
}

function headsByPath(result: AssembleResult, fileParts: ReadonlyMap<number, RawPath>): Map<RawPath, Buffer> {
  const heads = new Map<RawPath, Buffer>();
  // Threads hand them in as they come; what is made of them is to be the same each time.
  for (const [part, head] of [...result.heads].sort(([a], [b]) => a - b)) {
    const path = fileParts.get(part);
    if (path !== undefined) heads.set(path, head);
  }
  return heads;
}

function digestsByPath(result: AssembleResult, fileParts: ReadonlyMap<number, RawPath>): Map<RawPath, string> {
  const digests = new Map<RawPath, string>();
  for (const [part, path] of fileParts) {
    const digest = result.fileDigests[part];
    if (digest) digests.set(path, digest);
  }
  return digests;
}
