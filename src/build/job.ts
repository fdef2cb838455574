import { type DiffId, findLayer, type Layer, type Lease, StoreError } from '#store';
import type { BuildGraph } from '../graph/index.js';
import type { LoadedBase } from './bases.js';
import type { BuildIo, BuildRequest } from './request.js';

/** A planned build and what it works with. */
export interface Job {
  readonly graph: BuildGraph;
  readonly request: BuildRequest;
  readonly io: BuildIo;
  readonly lease: Lease;
  readonly bases: ReadonlyMap<string, LoadedBase>;
}

/** A layer that this build found or made before. @throws StoreError LAYER_MISSING */
export function requireLayer({ io }: Job, diffId: DiffId): Layer {
  const layer = findLayer(io.store, diffId);
  if (layer !== null) return layer;
  throw new StoreError('LAYER_MISSING', {
    message: `layer ${diffId} disappeared from the store during the build`,
    hint: 'build again; if this happens twice, check the disk',
  });
}
