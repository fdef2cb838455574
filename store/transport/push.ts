// A stored image → a registry: nothing is sent that the registry has.
import { createReadStream } from 'node:fs';
import { blobPath } from '../content/blob.js';
import type { Store } from '../content/handle.js';
import { StoreError } from '../errors.js';
import { formatReference, parseReference, type Reference } from '../image/reference.js';
import { listTags } from '../image/tags.js';
import type { Layer, Lease, StoredImage } from '../types.js';
import type { Descriptor, DiffId, Digest } from '../words.js';
import { type Compression, layerTypes } from './compress.js';
import { knownForms, manifestOver, prepareLayer } from './outgoing.js';
import { inParallel, type OnProgress, type TransferProgress } from './progress.js';
import type { RegistryOptions } from './registry-access.js';
import { openRegistry, type Registry } from './registry-client.js';
import { hasBlob } from './registry-fetch.js';
import { putManifest, startUpload, uploadBlob } from './registry-upload.js';

export interface PushOptions extends RegistryOptions {
  /** By default whatever the registry has of a layer already, else gzip. */
  readonly compression?: Compression | undefined;
  readonly level?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
}

interface Push {
  readonly store: Store;
  readonly lease: Lease;
  readonly image: StoredImage;
  readonly registry: Registry;
  readonly options: PushOptions;
  /** Repositories of the registry in which a layer may be, for mounting. */
  readonly elsewhere: ReadonlyMap<DiffId, readonly string[]>;
}

const layersAtOnce = 3;

/**
 * Sends an image and gives it the reference's tag there.
 *
 * @returns digest of the manifest there: the image's own if all its layers went in their original form
 * @throws StoreError REGISTRY_*, TAG_NEEDED, LAYER_DAMAGED, CREDENTIALS_INVALID
 */
export async function pushImage(
  store: Store,
  lease: Lease,
  image: StoredImage,
  reference: Reference | string,
  options: PushOptions = {},
): Promise<Digest> {
  const target = typeof reference === 'string' ? parseReference(reference) : reference;
  if (target.tag === undefined || target.digest !== undefined) {
    throw new StoreError('TAG_NEEDED', {
      message: `${formatReference(target)} names an image by its digest`,
      hint: "push to 'name:tag'; its digest follows from its bytes",
    });
  }
  const elsewhere = otherRepositories(store, target);
  const mountFrom = new Set(image.layers.flatMap((layer) => elsewhere.get(layer.diffId) ?? []));
  const registry = await openRegistry(target, 'push', options, [...mountFrom].slice(0, maxMountSources));
  try {
    const push: Push = { store, lease, image, registry, options, elsewhere };
    const placed = new Map<DiffId, Descriptor>();
    const layers = new Map(image.layers.map((layer, i) => [layer.diffId, { layer, i }]));
    await inParallel([...layers.values()], layersAtOnce, async ({ layer, i }) => {
      placed.set(layer.diffId, await placeLayer(push, layer, image.manifest.layers[i]));
    });
    await placeConfig(push);
    const descriptors = image.layers.map(({ diffId }) => placed.get(diffId)!);
    const manifest = await manifestOver(store, image, descriptors);
    await putManifest(registry, target.tag, manifest.bytes, manifest.descriptor.mediaType);
    return manifest.descriptor.digest;
  } finally {
    registry.close();
  }
}

/** Brings one layer there in the first form that costs nothing, or else compressed now. Returns that form. */
async function placeLayer(push: Push, layer: Layer, original: Descriptor | undefined): Promise<Descriptor> {
  const { store, lease, registry, options } = push;
  const report = (state: TransferProgress['state'], form: Descriptor, doneBytes = form.size): void =>
    options.onProgress?.({ digest: form.digest, state, doneBytes, totalBytes: form.size });
  const known = formsToTry(store, layer, original, options.compression);
  for (const form of known) {
    if (!(await hasBlob(registry, form))) continue;
    report('present', form);
    return form;
  }
  const mounted = await mountFirst(push, layer, known);
  if (mounted.form !== null) {
    report('mounted', mounted.form);
    return mounted.form;
  }
  const choice = { compression: options.compression ?? 'gzip', level: options.level };
  const { descriptor, path } = await prepareLayer(store, lease, layer, choice, options.onProgress);
  // Compression is deterministic: another machine may have sent the same blob.
  const isNew = known.every(({ digest }) => digest !== descriptor.digest);
  if (isNew && (await hasBlob(registry, descriptor))) {
    report('present', descriptor);
    return descriptor;
  }
  const open = (start: number, end: number) => createReadStream(path, { start, end: end - 1, highWaterMark: 1 << 18 });
  await uploadBlob(registry, { descriptor, open }, mounted.upload, (bytes) => report('sending', descriptor, bytes));
  report('done', descriptor);
  return descriptor;
}

/** The image's own form first: if all layers keep theirs, the image keeps its digest. */
function formsToTry(
  store: Store,
  layer: Layer,
  original: Descriptor | undefined,
  compression: Compression | undefined,
): Descriptor[] {
  const forms = knownForms(store, layer, compression).reverse();
  const isCompressed = original !== undefined && original.digest !== layer.diffId;
  const fits = compression === undefined ? isCompressed : original?.mediaType === layerTypes[compression];
  const own = original !== undefined && fits ? [original] : [];
  return [...new Map([...own, ...forms].map((form) => [form.digest, form])).values()].slice(0, 4);
}

const maxMountSources = 3;

/** A registry that does not mount answers by starting an ordinary upload, which is then used. */
async function mountFirst(
  push: Push,
  layer: Layer,
  forms: readonly Descriptor[],
): Promise<{ form: Descriptor | null; upload: URL | null }> {
  let upload: URL | null = null;
  for (const from of (push.elsewhere.get(layer.diffId) ?? []).slice(0, maxMountSources)) {
    for (const form of forms) {
      upload = await startUpload(push.registry, form.digest, from);
      if (upload === null) return { form, upload };
    }
  }
  return { form: null, upload };
}

/** By layer: repositories of the same registry that images with that layer are named after in this store. */
function otherRepositories(store: Store, target: Reference): Map<DiffId, string[]> {
  const found = new Map<DiffId, string[]>();
  for (const tag of listTags(store)) {
    const { registry, repository } = parseReference(tag.reference);
    if (registry !== target.registry || repository === target.repository) continue;
    for (const diffId of store.database.image(tag.digest)?.layers ?? []) {
      found.set(diffId, [...new Set([...(found.get(diffId) ?? []), repository])]);
    }
  }
  return found;
}

async function placeConfig({ store, image, registry }: Push): Promise<void> {
  const descriptor = image.manifest.config;
  if (await hasBlob(registry, descriptor)) return;
  const path = blobPath(store, descriptor.digest);
  const open = (start: number, end: number) => createReadStream(path, { start, end: end - 1 });
  await uploadBlob(registry, { descriptor, open }, null, () => {});
}
