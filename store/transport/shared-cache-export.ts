// Cache records of this store → a layout or a registry, for other stores.
import { createReadStream } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Store } from '../content/handle.js';
import { findLayer } from '../content/layer.js';
import { StoreError } from '../errors.js';
import { descriptorOf } from '../image/images.js';
import { parseReference } from '../image/reference.js';
import type { Layer, Lease } from '../types.js';
import { type Descriptor, type DiffId, mediaTypes } from '../words.js';
import { refName } from './blob-folder.js';
import type { Compression, CompressionChoice } from './compress.js';
import { encodeIndexJson, writeLayout } from './layout-export.js';
import { type OutgoingLayer, prepareLayer } from './outgoing.js';
import { inParallel } from './progress.js';
import type { RegistryOptions } from './registry-access.js';
import { openRegistry, type Registry } from './registry-client.js';
import { hasBlob } from './registry-fetch.js';
import { putManifest, uploadBlob } from './registry-upload.js';
import { cacheConfigType, encodeCacheConfig, encodeCacheManifest, type SharedRecord } from './shared-cache.js';

export type CacheTarget =
  /** `reset`: what the directory held before goes, once the new cache is complete. */
  | { readonly kind: 'local'; readonly dir: string; readonly tag: string; readonly reset: boolean }
  | { readonly kind: 'registry'; readonly ref: string; readonly access: RegistryOptions };

/** An eStargz is another layer, which no key knows. */
export type SharedCompression = CompressionChoice & { readonly compression: Exclude<Compression, 'estargz'> };

interface Outgoing {
  readonly manifest: Buffer;
  readonly config: Buffer;
  readonly layers: readonly OutgoingLayer[];
}

/**
 * Writes the records with their layers; those whose layer is gone are left out.
 *
 * @throws StoreError LAYOUT_DIR_NOT_EMPTY, LAYER_DAMAGED, REGISTRY_*
 */
export async function exportCache(
  store: Store,
  lease: Lease,
  records: readonly SharedRecord[],
  target: CacheTarget,
  choice: SharedCompression,
  signal: AbortSignal,
): Promise<void> {
  const outgoing = await prepare(store, lease, records, choice);
  if (target.kind === 'registry') await sendCache(outgoing, target);
  else await writeCache(outgoing, target, signal);
}

async function prepare(
  store: Store,
  lease: Lease,
  records: readonly SharedRecord[],
  choice: SharedCompression,
): Promise<Outgoing> {
  const found = new Map<DiffId, Layer | null>();
  for (const { diffId } of records) if (diffId !== null) found.set(diffId, findLayer(store, diffId));
  const present = [...found.values()].filter((layer) => layer !== null).sort((a, b) => (a.diffId < b.diffId ? -1 : 1));
  const prepared = new Map<DiffId, OutgoingLayer>();
  // Compressing takes all processors for one layer already; two at once fill the gaps.
  await inParallel(present, 2, async (layer) => {
    prepared.set(layer.diffId, await prepareLayer(store, lease, layer, choice, undefined));
  });
  const layers = present.map(({ diffId }) => prepared.get(diffId)!);
  const kept = records.filter(({ diffId }) => diffId === null || found.get(diffId) != null);
  const config = encodeCacheConfig(
    kept,
    present.map(({ diffId }) => diffId),
  );
  const descriptors = layers.map(({ descriptor }) => descriptor);
  return { manifest: encodeCacheManifest(config, descriptors), config, layers };
}

async function writeCache(
  { manifest, config, layers }: Outgoing,
  { dir, tag, reset }: Extract<CacheTarget, { kind: 'local' }>,
  signal: AbortSignal,
): Promise<void> {
  const root: Descriptor = { ...descriptorOf(manifest, mediaTypes.ociManifest), artifactType: cacheConfigType };
  const entry = { ...root, annotations: { [refName]: tag } };
  const files = layers.map(({ descriptor, path }) => ({ descriptor, path }));
  const index = reset ? () => Promise.resolve(encodeIndexJson([entry])) : undefined;
  await writeLayout(dir, { files, documents: [config, manifest], entry, index, signal });
  if (!reset) return;
  const digests = [root.digest, descriptorOf(config, '').digest, ...files.map(({ descriptor }) => descriptor.digest)];
  const kept = new Set(digests.map((digest) => digest.slice('sha256:'.length)));
  const blobs = join(dir, 'blobs', 'sha256');
  for (const name of await readdir(blobs)) if (!kept.has(name)) await rm(join(blobs, name), { force: true });
}

const layersAtOnce = 3;

async function sendCache(
  { manifest, config, layers }: Outgoing,
  { ref, access }: Extract<CacheTarget, { kind: 'registry' }>,
): Promise<void> {
  const reference = parseReference(ref);
  if (reference.digest !== undefined) {
    throw new StoreError('TAG_NEEDED', {
      message: `${ref} names something by its digest`,
      hint: "write a cache to 'name:tag'; its digest follows from its bytes",
    });
  }
  const registry = await openRegistry(reference, 'push', access);
  try {
    await inParallel(layers, layersAtOnce, ({ descriptor, path }) =>
      sendBlob(registry, descriptor, (start, end) => createReadStream(path, { start, end: end - 1 })),
    );
    await sendBlob(registry, descriptorOf(config, cacheConfigType), (start, end) =>
      Readable.from([config.subarray(start, end)]),
    );
    await putManifest(registry, reference.tag ?? 'latest', manifest, mediaTypes.ociManifest);
  } finally {
    registry.close();
  }
}

async function sendBlob(
  registry: Registry,
  descriptor: Descriptor,
  open: (start: number, end: number) => Readable,
): Promise<void> {
  if (!(await hasBlob(registry, descriptor))) await uploadBlob(registry, { descriptor, open }, null, () => {});
}
