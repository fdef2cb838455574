import { statfsSync } from 'node:fs';
import type { Store } from './handle.js';

export interface DiskSpace {
  readonly sizeBytes: number;
  /** For whoever is not root. */
  readonly freeBytes: number;
}

/** The filesystem that the store lies on. */
export function diskSpace(store: Pick<Store, 'dir'>): DiskSpace {
  const { blocks, bavail, bsize } = statfsSync(store.dir);
  return { sizeBytes: blocks * bsize, freeBytes: bavail * bsize };
}
