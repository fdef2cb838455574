// Which tags can't do without an object: for whoever finds it damaged.
import { DamageError } from '../damage.js';
import type { DiffId, Digest } from '../words.js';
import type { Store } from './handle.js';
import { reachFrom } from './image-objects.js';

/**
 * References of the tags that reach an object, and of what clients of `serve` put somewhere without a tag. An image's row tells of
 * its layers where its manifest is lost.
 */
export function neededBy(store: Store): (object: Digest) => readonly string[] {
  const users = new Map<Digest, Set<string>>();
  for (const [reference, digest] of namedDigests(store)) {
    const reached = { layers: new Set<DiffId>(), blobs: new Set<Digest>() };
    try {
      reachFrom(store, digest, reached);
    } catch (error) {
      if (!(error instanceof DamageError)) throw error; // what it leads to can't be known; it is needed itself
    }
    const image = store.database.image(digest);
    const more = image === null ? [] : [image.configDigest, ...image.layers];
    for (const object of [digest, ...more, ...reached.layers, ...reached.blobs]) {
      const known = users.get(object);
      if (known === undefined) users.set(object, new Set([reference]));
      else known.add(reference);
    }
  }
  return (object) => [...(users.get(object) ?? [])];
}

function namedDigests({ database }: Store): (readonly [reference: string, digest: Digest])[] {
  const { repositories } = database;
  const tagged = new Set(database.tags().map(({ digest }) => digest));
  const untagged = repositories.repositories().flatMap((repository) =>
    repositories
      .manifests(repository)
      .filter((digest) => !tagged.has(digest))
      .map((digest) => [`${repository}@${digest}`, digest] as const),
  );
  return [...database.tags().map(({ reference, digest }) => [reference, digest] as const), ...untagged];
}
