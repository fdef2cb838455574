// A stored image → a registry: nothing is sent that the registry has.
import { createReadStream } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Readable } from 'node:stream';
import { hashFiles, rawPath } from '#native';
import { blobPath } from '../content/blob.js';
import type { Store } from '../content/handle.js';
import { otherDigest, readFailure } from '../damage.js';
import { StoreError } from '../errors.js';
import { descriptorOf, type MediaTypes } from '../image/images.js';
import type { StoredIndex } from '../image/indexes.js';
import { formatReference, parseReference, type Reference } from '../image/reference.js';
import { listTags } from '../image/tags.js';
import type { Layer, Lease, StoredImage } from '../types.js';
import type { Descriptor, DiffId, Digest } from '../words.js';
import { type Compression, layerTypes } from './compress.js';
import {
  documentsOver,
  knownForms,
  type OutgoingImage,
  type OutgoingLayer,
  type OutgoingManifest,
  prepareExact,
  prepareLayer,
} from './outgoing.js';
import { largestFirst, type OnProgress, type TransferProgress } from './progress.js';
import type { RegistryOptions } from './registry-access.js';
import { openRegistry, type Registry } from './registry-client.js';
import { hasBlob } from './registry-fetch.js';
import { putManifest, startUpload, uploadBlob } from './registry-upload.js';

export interface PushOptions extends RegistryOptions {
  /** By default whatever the registry has of a layer already, else gzip. */
  readonly compression?: Compression | undefined;
  readonly level?: number | undefined;
  /** Layers that stay in any form that the registry has of them, whatever compression the others get. */
  readonly keep?: ReadonlySet<DiffId> | undefined;
  /** Whose names the manifest uses; by default the image's own, or OCI's where that can't stay. */
  readonly types?: MediaTypes | undefined;
  /** Further ones of its manifest, which gives it another digest. */
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  /** How many layers are moved at once. */
  readonly jobs?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** What a registry has of an image now. */
export type SentImage = Pick<OutgoingImage, 'manifest' | 'config'>;

/** Brings one layer there, and says in which form. `original` is what the image's manifest says of it. */
type Place = (push: Push, layer: Layer, original: Descriptor) => Promise<Placed>;

type Placed = Pick<OutgoingLayer, 'descriptor' | 'diffId'>;

interface Push {
  readonly store: Store;
  readonly lease: Lease;
  readonly registry: Registry;
  readonly options: PushOptions;
  /** Repositories of the registry in which a layer may be, for mounting. */
  readonly elsewhere: ReadonlyMap<DiffId, readonly string[]>;
}

const layersAtOnce = 3;

/**
 * Sends an image and gives it the reference's tag there; with a digest in place of a tag, none.
 *
 * @returns its documents as they are there: the image's own if all its layers went in their original form
 * @throws StoreError REGISTRY_*, LAYER_DAMAGED, CREDENTIALS_INVALID
 */
export async function pushImage(
  store: Store,
  lease: Lease,
  image: StoredImage,
  reference: Reference | string,
  options: PushOptions = {},
): Promise<SentImage> {
  const target = typeof reference === 'string' ? parseReference(reference) : reference;
  return withRegistry(store, lease, [image], target, options, (push) => sendImage(push, image, target, placeLayer));
}

/**
 * Sends an index of images with everything it names, byte for byte, and gives it the reference's tag.
 *
 * @throws StoreError as pushImage; LAYER_FORM_MISSING
 */
export async function pushIndex(
  store: Store,
  lease: Lease,
  index: StoredIndex,
  reference: Reference | string,
  options: RegistryOptions & Pick<PushOptions, 'onProgress' | 'jobs'> = {},
): Promise<OutgoingManifest> {
  const target = typeof reference === 'string' ? parseReference(reference) : reference;
  return withRegistry(store, lease, index.images, target, options, async (push) => {
    const { tag: _, ...byDigest } = target;
    for (const image of index.images) await sendImage(push, image, byDigest, placeExactly);
    for (const { bytes, descriptor, blobs } of index.others) {
      for (const blob of blobs) await placeBlob(push, blob);
      await putManifest(push.registry, descriptor.digest, bytes, descriptor.mediaType);
    }
    const { bytes, descriptor } = index;
    await putManifest(push.registry, target.tag ?? descriptor.digest, bytes, descriptor.mediaType);
    return { bytes, descriptor };
  });
}

async function withRegistry<T>(
  store: Store,
  lease: Lease,
  images: readonly StoredImage[],
  target: Reference,
  options: PushOptions,
  work: (push: Push) => Promise<T>,
): Promise<T> {
  if (target.digest !== undefined) {
    throw new StoreError('TAG_NEEDED', {
      message: `${formatReference(target)} names an image by its digest`,
      hint: "push to 'name:tag'; its digest follows from its bytes",
    });
  }
  const elsewhere = otherRepositories(store, target);
  const mountFrom = new Set(
    images.flatMap(({ layers }) => layers.flatMap((layer) => elsewhere.get(layer.diffId) ?? [])),
  );
  const registry = await openRegistry(target, 'push', options, [...mountFrom].slice(0, maxMountSources));
  try {
    return await work({ store, lease, registry, options, elsewhere });
  } finally {
    registry.close();
  }
}

/** A reference without a tag: the manifest is there by its digest only. */
async function sendImage(push: Push, image: StoredImage, target: Reference, place: Place): Promise<SentImage> {
  const placed = new Map<DiffId, Placed>();
  const layers = new Map(image.layers.map((layer, i) => [layer.diffId, { layer, i }]));
  const { types, annotations, jobs = layersAtOnce } = push.options;
  await largestFirst(
    [...layers.values()],
    jobs,
    ({ layer }) => layer.size,
    async ({ layer, i }) => {
      placed.set(layer.diffId, await place(push, layer, image.manifest.layers[i]!));
    },
  );
  const forms = image.layers.map(({ diffId }) => placed.get(diffId)!);
  const { manifest, config } = await documentsOver(push.store, image, forms, types, annotations);
  await placeBytes(push, config);
  await putManifest(
    push.registry,
    target.tag ?? manifest.descriptor.digest,
    manifest.bytes,
    manifest.descriptor.mediaType,
  );
  return { manifest, config };
}

/** In the first form that costs nothing, or else compressed now. */
async function placeLayer(push: Push, layer: Layer, original: Descriptor): Promise<Placed> {
  const { store, lease, registry, options } = push;
  const { diffId } = layer;
  const report = reporter(push);
  const anyKind = options.types === 'docker' ? 'gzip' : undefined; // Docker has no name for the others
  const compression = options.keep?.has(diffId) ? anyKind : options.compression;
  const choice = { compression: options.compression ?? 'gzip', level: options.level };
  // The forms that are known don't tell an eStargz, or a level.
  const anyForm = compression !== 'estargz' && (compression === undefined || options.level === undefined);
  const known = anyForm ? formsToTry(store, layer, original, compression) : [];
  for (const descriptor of known) {
    if (!(await hasBlob(registry, descriptor))) continue;
    report('present', descriptor);
    return { descriptor, diffId };
  }
  const mounted = await mountFirst(push, layer, known);
  if (mounted.form !== null) {
    report('mounted', mounted.form);
    return { descriptor: mounted.form, diffId };
  }
  const prepared = await prepareLayer(store, lease, layer, choice, options.onProgress);
  // Compression is deterministic: another machine may have sent the same blob.
  const isNew = known.every(({ digest }) => digest !== prepared.descriptor.digest);
  if (isNew && (await hasBlob(registry, prepared.descriptor))) {
    report('present', prepared.descriptor);
    return prepared;
  }
  await upload(push, prepared, mounted.upload);
  return prepared;
}

/** In the form that its manifest names, and no other. */
async function placeExactly(push: Push, layer: Layer, original: Descriptor): Promise<Placed> {
  const { store, lease, registry, options } = push;
  const report = reporter(push);
  const placed = { descriptor: original, diffId: layer.diffId };
  if (await hasBlob(registry, original)) {
    report('present', original);
    return placed;
  }
  const mounted = await mountFirst(push, layer, [original]);
  if (mounted.form !== null) {
    report('mounted', original);
    return placed;
  }
  await upload(push, await prepareExact(store, lease, layer, original, options.onProgress), mounted.upload);
  return placed;
}

type Report = (state: TransferProgress['state'], form: Descriptor, doneBytes?: number) => void;

function reporter({ options }: Push): Report {
  return (state, { digest, size }, doneBytes = size) =>
    options.onProgress?.({ digest, state, doneBytes, totalBytes: size });
}

async function upload(push: Push, { descriptor, path }: OutgoingLayer, started: URL | null): Promise<void> {
  const report = reporter(push);
  const open = (start: number, end: number) => createReadStream(path, { start, end: end - 1, highWaterMark: 1 << 18 });
  try {
    await uploadBlob(push.registry, { descriptor, open }, started, (bytes) => report('sending', descriptor, bytes));
  } catch (error) {
    throw await uploadFailure(descriptor.digest, path, error);
  }
  report('done', descriptor);
}

/** A registry that does not take a digest is right, if the bytes here are not those any more. */
async function uploadFailure(digest: Digest, path: string, error: unknown): Promise<unknown> {
  if (!(error instanceof StoreError) || !error.message.includes('DIGEST_INVALID'))
    return readFailure('blob', digest, error);
  const [found] = await hashFiles([{ root: dirname(path), path: rawPath(basename(path)) }]);
  return `sha256:${found}` === digest ? error : otherDigest('blob', digest, `sha256:${found}`);
}

/** The image's own form first: if all layers keep theirs, the image keeps its digest. */
function formsToTry(
  store: Store,
  layer: Layer,
  original: Descriptor,
  compression: Compression | undefined,
): Descriptor[] {
  const forms = knownForms(store, layer, compression).reverse();
  const isCompressed = original.digest !== layer.diffId;
  const own = (compression === undefined ? isCompressed : original.mediaType === layerTypes[compression])
    ? [original]
    : [];
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

/** A document. */
async function placeBytes(push: Push, bytes: Buffer): Promise<void> {
  const descriptor = descriptorOf(bytes, '');
  if (await hasBlob(push.registry, descriptor)) return;
  const open = (start: number, end: number) => Readable.from([bytes.subarray(start, end)], { objectMode: false });
  await uploadBlob(push.registry, { descriptor, open }, null, () => {});
}

/** A blob of the store. */
async function placeBlob(push: Push, descriptor: Descriptor): Promise<void> {
  if (await hasBlob(push.registry, descriptor)) return;
  const path = blobPath(push.store, descriptor.digest);
  await upload(push, { descriptor, path, diffId: descriptor.digest as DiffId }, null);
}
