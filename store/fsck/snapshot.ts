// The store's rows and names of one moment, seen while nobody gives or takes a name.
import { existsSync, readdirSync } from 'node:fs';
import type { Store } from '../content/handle.js';
import { whileLocked } from '../content/lease.js';
import { neededBy } from '../content/needed-by.js';
import * as paths from '../content/paths.js';
import type { BlobRow, ImageRow, LayerRow, TagRow } from '../content/schema.js';
import type { DiffId, Digest } from '../words.js';

export interface Snapshot {
  readonly layers: ReadonlyMap<DiffId, LayerRow>;
  readonly blobs: ReadonlyMap<Digest, BlobRow>;
  readonly trees: ReadonlySet<DiffId>;
  readonly images: readonly ImageRow[];
  readonly tags: readonly TagRow[];
  /** Names in the directories of that name. */
  readonly names: Readonly<Record<'layers' | 'blobs' | 'trees' | 'tags', readonly string[]>>;
  /** What an earlier boot left unflushed: not believed until it is read. */
  readonly unflushed: ReadonlySet<string>;
  /** References of the tags that reach an object. */
  neededBy(object: Digest): readonly string[];
}

export async function takeSnapshot(store: Store): Promise<Snapshot> {
  const { database, dir } = store;
  const take = (): Snapshot =>
    database.transaction(() => {
      const tags = database.tags();
      const unflushed = database.unflushed('earlier');
      return {
        layers: new Map(database.layers().map((row) => [row.diffId, row])),
        blobs: new Map(database.blobs().map((row) => [row.digest, row])),
        trees: new Set(database.trees()),
        images: database.images(),
        tags,
        names: {
          layers: namesIn(paths.layersDir(dir)),
          blobs: namesIn(paths.blobsDir(dir)),
          trees: namesIn(paths.treesDir(dir)),
          tags: namesIn(paths.tagsDir(dir)),
        },
        unflushed: new Set<string>([...unflushed.layers, ...unflushed.blobs].map(([key]) => key)),
        neededBy: neededBy(store),
      };
    });
  // Without the file nobody has written to the store since it came here: a copy, on a read-only filesystem perhaps.
  return existsSync(paths.lockPath(dir)) ? whileLocked(dir, 'exclusive', take) : take();
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []; // told by the check of directories
    throw error;
  }
}
