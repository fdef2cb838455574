// What must be true of a store at any moment, whatever happened to it before: all that it would give out is whole.
import assert from 'node:assert';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeIndex, findBlob, findLayer, listTags, readImage, type Store, scanTar } from '#store';
import { imageComplete } from '../../store/content/image-objects.js';

/** Digests by reference. @throws AssertionError naming what is wrong */
export async function checkStore(store: Store): Promise<Map<string, string>> {
  for (const { diffId } of store.database.layers()) {
    const layer = findLayer(store, diffId);
    if (layer === null) continue;
    assert.equal(await sha256(layer.tarPath), diffId.slice(7), `layer ${diffId} has other bytes`);
    const index = encodeIndex(scanTar(layer.tarPath, layer.size), layer.size);
    if (layer.indexPath === null) continue;
    assert(index?.equals(readFileSync(layer.indexPath)), `the index of layer ${diffId} is not that of its tar`);
  }
  for (const { digest, size } of store.database.blobs()) {
    if (findBlob(store, digest) === null) continue;
    const path = join(store.dir, 'blobs/sha256', digest.slice(7));
    assert.equal(await sha256(path), digest.slice(7), `blob ${digest} (${size} bytes) has other bytes`);
  }
  const tags = new Map<string, string>();
  for (const { reference, digest } of listTags(store)) {
    assert(imageComplete(store, digest), `${reference} is ${digest}, of which parts have no row`);
    const image = store.database.image(digest) === null ? null : await readImage(store, digest);
    for (const layer of image?.config.rootfs.diff_ids ?? [])
      assert(findLayer(store, layer), `${reference} needs layer ${layer}, which is not there`);
    tags.set(reference, digest);
  }
  return tags;
}

/** Names in the directories of what is unfinished or on its way out, when nobody is at work any more. */
export async function leftovers(dir: string): Promise<string[]> {
  const names = (): string[] =>
    ['tmp', 'trash'].flatMap((each) => readdirSync(join(dir, each)).map((name) => `${each}/${name}`));
  for (let tries = 0; tries < 200 && names().length > 0; tries++) await sleep(25);
  return [...names(), ...(existsSync(join(dir, 'quarantine')) ? ['quarantine'] : [])];
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
