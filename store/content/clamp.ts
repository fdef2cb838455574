// A layer again, without files that are younger than a given time.
import { basename, dirname } from 'node:path';
import { rawPath } from '#native';
import type { DraftEntry, TarEntry } from '../format/entry.js';
import { scanTar } from '../format/tar-scan.js';
import type { CommittedLayer, Layer, Lease } from '../types.js';
import { commitDraft } from './commit.js';
import type { Store } from './handle.js';

/**
 * Stores the layer whose members are those of `layer`, but none of them younger than `maxSec`; null if none is.
 *
 * @throws StoreError STORE_FULL, …: as commitDraft
 */
export async function clampTimes(
  store: Store,
  lease: Lease,
  layer: Layer,
  maxSec: number,
): Promise<CommittedLayer | null> {
  const entries = scanTar(layer.tarPath, layer.size);
  if (!entries.some((entry) => isYounger(entry, maxSec))) return null;
  const tar = { root: dirname(layer.tarPath), path: rawPath(basename(layer.tarPath)) };
  const drafts = entries.map(({ dataOffset, sparse, ...meta }): DraftEntry => {
    const times = isYounger(meta, maxSec) ? { mtimeSec: maxSec, mtimeNsec: 0 } : {};
    if (meta.type !== 'file' || meta.size === 0) return { ...meta, ...times };
    return { ...meta, ...times, content: { ...tar, offset: dataOffset, ...(sparse && { pieces: sparse.pieces }) } };
  });
  return commitDraft(store, lease, drafts);
}

function isYounger({ mtimeSec, mtimeNsec }: Pick<TarEntry, 'mtimeSec' | 'mtimeNsec'>, maxSec: number): boolean {
  return mtimeSec > maxSec || (mtimeSec === maxSec && mtimeNsec > 0);
}
