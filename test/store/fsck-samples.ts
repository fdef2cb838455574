// A small store with one of everything, for the tests that damage it.
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { type DiffId, type Digest, importLayer, openLease, openStore, putImage, type Store, tagImage } from '#store';
import { bytesOf, sampleTar, tempDir } from './content-samples.js';

export interface SampleStore {
  readonly dir: string;
  readonly layers: readonly DiffId[];
  readonly manifest: Digest;
  readonly config: Digest;
}

/** An image of two layers with a name, all of it on the disk. */
export async function makeSampleStore(): Promise<SampleStore> {
  const dir = join(tempDir(), 'store');
  const store = await openStore(dir, { sync: true });
  const lease = await openLease(store, 'test');
  const layers: DiffId[] = [];
  for (const seed of ['one', 'two'])
    layers.push((await importLayer(store, lease, bytesOf(sampleTar(seed).path))).diffId);
  const image = await putImage(store, lease, {
    config: { os: 'linux', architecture: 'amd64', config: {}, rootfs: { type: 'layers', diff_ids: layers } },
  });
  tagImage(store, 'app:1', image.digest);
  await lease.release();
  await close(store);
  return { dir, layers, manifest: image.digest, config: image.configDigest };
}

/** The same store at another place, to be damaged. */
export function copyStore({ dir }: Pick<SampleStore, 'dir'>): string {
  const copy = join(tempDir(), 'store');
  cpSync(dir, copy, { recursive: true });
  return copy;
}

/** With all of the database in one file: nothing of it is left in its log. */
async function close(store: Store): Promise<void> {
  store.database.checkpoint();
  await store.close();
}

export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}
