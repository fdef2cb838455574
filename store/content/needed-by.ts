// Which tags can't do without an object: for whoever finds it damaged.
import type { DiffId, Digest } from '../words.js';
import type { Store } from './handle.js';
import { reachFrom } from './image-objects.js';
import type { TagRow } from './schema.js';

/** References of the tags that reach an object. An image's row tells of its layers where its manifest is lost. */
export function neededBy(
  store: Store,
  tags: readonly TagRow[] = store.database.tags(),
): (object: Digest) => readonly string[] {
  const users = new Map<Digest, string[]>();
  for (const { reference, digest } of tags) {
    const reached = { layers: new Set<DiffId>(), blobs: new Set<Digest>() };
    reachFrom(store, digest, reached);
    const image = store.database.image(digest);
    const more = image === null ? [] : [image.configDigest, ...image.layers];
    for (const object of new Set([digest, ...more, ...reached.layers, ...reached.blobs])) {
      users.set(object, [...(users.get(object) ?? []), reference]);
    }
  }
  return (object) => users.get(object) ?? [];
}
