// A small store with one of everything, for the tests that damage it.
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { type DiffId, type Digest, importLayer, openLease, openStore, putImage, tagImage } from '#store';
import { bytesOf, sampleTar, tempDir } from './content-samples.js';

export interface SampleStore {
  readonly dir: string;
  readonly layers: readonly DiffId[];
  readonly manifest: Digest;
  readonly config: Digest;
}

/** An image of two layers with a name, all of it on the disk. */
export async function makeSampleStore(): Promise<SampleStore> {
  const sample = await addImage(join(tempDir(), 'store'), 'first', 'app:1', 2);
  const store = await openStore(sample.dir);
  store.database.checkpoint(); // nothing of it is left in its log
  await store.close();
  return sample;
}

/** Another image with layers of its own, which takes the name. */
export async function addImage(dir: string, seed: string, name: string, count = 1): Promise<SampleStore> {
  const store = await openStore(dir, { sync: true });
  const lease = await openLease(store, 'test');
  const layers: DiffId[] = [];
  for (let i = 0; i < count; i++) {
    layers.push((await importLayer(store, lease, bytesOf(sampleTar(`${seed} ${i}`).path))).diffId);
  }
  const image = await putImage(store, lease, {
    config: { os: 'linux', architecture: 'amd64', config: {}, rootfs: { type: 'layers', diff_ids: layers } },
  });
  tagImage(store, name, image.digest);
  await lease.release();
  await store.close();
  return { dir, layers, manifest: image.digest, config: image.configDigest };
}

/** The same store at another place, to be damaged. */
export function copyStore({ dir }: Pick<SampleStore, 'dir'>): string {
  const copy = join(tempDir(), 'store');
  cpSync(dir, copy, { recursive: true });
  return copy;
}

export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}
