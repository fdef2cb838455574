// A fetched context without what its ignore file excludes, as a layer of its own.
import { createHash } from 'node:crypto';
import { type RawPath, rawPath } from '#native';
import {
  commitDraft,
  type DraftEntry,
  findLayer,
  type Layer,
  lookupCache,
  type RootView,
  recordCache,
  type ViewEntry,
} from '#store';
import type { IgnoreMatcher } from '../base/index.js';
import { keepUnignored } from '../context/index.js';
import type { FetchIo } from './remote-io.js';

/** @param view of `layers` */
export async function leaveOut(
  ignore: IgnoreMatcher,
  layers: readonly Layer[],
  view: RootView,
  { io, lease }: Omit<FetchIo, 'request'>,
): Promise<readonly Layer[]> {
  const all = entriesBelow(view, rawPath(''));
  const kept = keepUnignored(all, ignore);
  if (kept.length === all.length) return layers;
  if (kept.length === 0) return [];
  const names = createHash('sha256')
    .update(kept.map(({ path }) => path).join('\0'), 'latin1')
    .digest('hex');
  const key = `context ${layers.map(({ diffId }) => diffId).join()} ${names}`;
  const known = lookupCache(io.store, key)?.diffId ?? null;
  const layer = known === null ? null : findLayer(io.store, known);
  if (layer !== null) return [layer];
  const made = (await commitDraft(io.store, lease, draftsOf(kept))).layer;
  recordCache(io.store, key, { diffId: made.diffId, inputs: {} });
  return [made];
}

function entriesBelow(view: RootView, dir: RawPath): ViewEntry[] {
  const found: ViewEntry[] = [];
  const visit = (at: RawPath): void => {
    for (const entry of view.list(at)) {
      found.push(entry);
      if (entry.type === 'dir') visit(entry.path);
    }
  };
  visit(dir);
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Names of one file stay names of one file. */
function draftsOf(entries: readonly ViewEntry[]): DraftEntry[] {
  const first = new Map<number, RawPath>();
  return entries.map(({ content, layer: _, inode, ...meta }) => {
    const target = meta.type === 'dir' ? undefined : first.get(inode);
    if (target !== undefined) return { ...meta, type: 'hardlink', size: 0, linkTarget: target, xattrs: [] };
    first.set(inode, meta.path);
    return content === null ? meta : { ...meta, content };
  });
}
