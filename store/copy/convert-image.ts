// The same images in another form: with the media types of the other specification, with layers compressed otherwise. Digests
// change, and with them those of the indexes; what is attested about an image names its digest, so that such an image can't
// change its form.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { decompressWithin, openGrowthLimit } from '../content/growth-limit.js';
import { StoreError } from '../errors.js';
import { parseImageDocument } from '../image/document.js';
import { descriptorOf, encodeManifest, isDockerManifest, type MediaTypes } from '../image/images.js';
import { isAttestation } from '../image/platform.js';
import { canonicalJson } from '../image/strict-json.js';
import { type Compression, compressLayer, layerTypes, levelOf } from '../transport/compress.js';
import { ociLayerType } from '../transport/outgoing.js';
import { inParallel, type OnProgress } from '../transport/progress.js';
import { type Descriptor, type DiffId, type Digest, mediaTypes } from '../words.js';
import type { Converted, CopyPlan, Document, ImageSource, MadeBlob, PlannedManifest, Scratch } from './image-source.js';
import { isImage, readPlannedConfig } from './planned-image.js';
import { verified } from './write-blob.js';

export interface Conversion {
  /** Whose names the documents use; by default those that they have. */
  readonly types?: MediaTypes | undefined;
  readonly compression?: Exclude<Compression, 'estargz'> | undefined;
  readonly level?: number | undefined;
  /** Compress again what is compressed that way already. */
  readonly force?: boolean | undefined;
  /** Compress what is not compressed at all, and leave the rest. */
  readonly onlyPlain?: boolean | undefined;
}

/**
 * @returns the plan as it is where nothing has to change
 * @throws StoreError COPY_CHANGES_ATTESTED, COPY_FORMAT, LAYER_COMPRESSION_DAMAGED, LAYER_DIFF_ID_MISMATCH
 */
export async function convertImages(
  plan: CopyPlan,
  source: ImageSource,
  conversion: Conversion,
  scratch: Scratch,
  onProgress: OnProgress | undefined,
): Promise<Converted> {
  const images = plan.manifests.filter(({ manifest }) => isImage(manifest));
  const made = await recompressLayers(images, source, conversion, scratch, onProgress);
  const replaced = new Map<Digest, PlannedManifest>();
  const configs = new Map<Digest, Buffer>();
  for (const image of images) {
    const config = await readPlannedConfig(source, image);
    configs.set(image.manifest.config.digest, config.bytes);
    const converted = convertManifest(image, config.bytes, made, conversion, source.name);
    if (converted.descriptor.digest !== image.descriptor.digest) replaced.set(image.descriptor.digest, converted);
  }
  const root = plan.root;
  const indexes = convertIndexes([...plan.documents, root], replaced, conversion);
  if (replaced.size === 0 && indexes.size === 0) return { plan, source };
  requireNothingAttested(plan, replaced, source);
  const now = (document: Document): Document =>
    replaced.get(document.descriptor.digest) ?? indexes.get(document.descriptor.digest) ?? document;
  const manifests = plan.manifests.map((each) => replaced.get(each.descriptor.digest) ?? each);
  const blobs = new Map<Digest, Descriptor>();
  for (const { manifest } of manifests) {
    for (const blob of [manifest.config, ...manifest.layers]) blobs.set(blob.digest, blob);
  }
  return {
    plan: { root: now(root), documents: plan.documents.map(now), manifests, blobs: [...blobs.values()] },
    source: withMadeBlobs(source, made, configs),
  };
}

/** What is compressed otherwise from now on, by the digest it had. */
async function recompressLayers(
  images: readonly PlannedManifest[],
  source: ImageSource,
  { compression, level, force = false, onlyPlain = false }: Conversion,
  scratch: Scratch,
  onProgress: OnProgress | undefined,
): Promise<ReadonlyMap<Digest, MadeBlob>> {
  const made = new Map<Digest, MadeBlob>();
  if (compression === undefined) return made;
  const wanted = new Map<Digest, { layer: Descriptor; diffId: DiffId }>();
  for (const image of images) {
    const { config } = await readPlannedConfig(source, image);
    for (const [i, layer] of image.manifest.layers.entries()) {
      const type = ociLayerType(layer.mediaType);
      const isRight = onlyPlain ? type !== mediaTypes.ociLayer : type === layerTypes[compression];
      if (!isRight || (force && compression !== 'none')) {
        wanted.set(layer.digest, { layer, diffId: config.rootfs.diff_ids[i]! });
      }
    }
  }
  await inParallel([...wanted.values()], 2, async ({ layer, diffId }) => {
    const report = (doneBytes: number, totalBytes: number): void =>
      onProgress?.({ digest: layer.digest, state: 'compressing', doneBytes, totalBytes });
    // With a level, no form that somebody else made will do.
    const own = force && compression !== 'none' ? levelOf({ compression, level }) : level;
    const kept = await source.recompress?.(layer, diffId, { compression, level: own });
    if (kept) {
      made.set(layer.digest, kept);
      return;
    }
    const tarPath = scratch.path('layer');
    const size = await writeTar(source, layer, diffId, tarPath, scratch.maxLayerBytes);
    if (compression === 'none') {
      made.set(layer.digest, { descriptor: { mediaType: mediaTypes.ociLayer, digest: diffId, size }, path: tarPath });
      return;
    }
    const path = scratch.path('compressed');
    const pieces = compressLayer({ diffId, size, tarPath, indexPath: null }, { compression, level }, (done) =>
      report(done, size),
    );
    const blob = await writeHashed(pieces, path);
    await rm(tarPath, { force: true });
    made.set(layer.digest, { descriptor: { mediaType: layerTypes[compression], ...blob }, path });
  });
  return made;
}

/** @returns the size of the tar; @throws StoreError LAYER_DIFF_ID_MISMATCH */
export async function writeTar(
  source: ImageSource,
  layer: Descriptor,
  diffId: DiffId,
  path: string,
  maxLayerBytes: number | undefined,
): Promise<number> {
  const limit = openGrowthLimit(dirname(path), maxLayerBytes);
  const bytes = decompressWithin(limit, verified(source.openBlob(layer), layer, source.name));
  const { digest, size } = await writeHashed(bytes, path);
  if (digest === diffId) return size;
  throw new StoreError('LAYER_DIFF_ID_MISMATCH', {
    message: `the tar of layer ${layer.digest} of ${source.name} hashes to ${digest}, its image's config says ${diffId}`,
    hint: 'the image is damaged at its source',
  });
}

async function writeHashed(
  bytes: AsyncIterable<Uint8Array>,
  path: string,
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const hash = createHash('sha256');
  let size = 0;
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const chunk of bytes) {
      hash.update(chunk);
      size += chunk.length;
      await file.writeFile(chunk);
    }
  } finally {
    await file.close();
  }
  return { digest: `sha256:${hash.digest('hex')}`, size };
}

function convertManifest(
  image: PlannedManifest,
  config: Buffer,
  made: ReadonlyMap<Digest, MadeBlob>,
  { types }: Conversion,
  name: string,
): PlannedManifest {
  const { manifest, descriptor } = image;
  const had: MediaTypes = isDockerManifest({ ...manifest, mediaType: manifest.mediaType ?? descriptor.mediaType })
    ? 'docker'
    : 'oci';
  const layers = manifest.layers.map((layer) => made.get(layer.digest)?.descriptor ?? layer);
  const stays = layers.every(({ digest }, i) => digest === manifest.layers[i]!.digest);
  const fits = layers.every(({ mediaType }) => dockerNames.has(ociLayerType(mediaType)));
  // Where the new compression has no name in Docker's schema, the image becomes one of OCI's.
  const wanted = types ?? (fits ? had : 'oci');
  if (wanted === had && stays) return image;
  if (wanted === 'docker' && !fits) {
    throw new StoreError('COPY_FORMAT', {
      message: `${name} has layers compressed with zstd: Docker's schema 2 has no name for that`,
      hint: 'compress them otherwise: --compression gzip',
    });
  }
  const named = layers.map((layer) => ({ ...layer, mediaType: ociLayerType(layer.mediaType) }));
  const bytes = encodeManifest(config, named, manifest.annotations ?? {}, wanted);
  const mediaType = wanted === 'docker' ? mediaTypes.dockerManifest : mediaTypes.ociManifest;
  const parsed = parseImageDocument(bytes, name, mediaType);
  if (parsed.kind === 'index') throw new Error('a manifest was encoded as an index');
  return {
    descriptor: { ...descriptor, ...descriptorOf(bytes, mediaType) },
    bytes,
    manifest: parsed.manifest,
  };
}

const dockerNames: ReadonlySet<string> = new Set([mediaTypes.ociLayer, mediaTypes.ociLayerGzip]);

/** Indexes whose own type or whose entries change, by the digest they had. `documents` has parts before wholes. */
function convertIndexes(
  documents: readonly Document[],
  replaced: ReadonlyMap<Digest, Document>,
  { types }: Conversion,
): Map<Digest, Document> {
  const indexes = new Map<Digest, Document>();
  for (const { descriptor, bytes } of documents) {
    const parsed = parseImageDocument(bytes, descriptor.digest, descriptor.mediaType);
    if (parsed.kind === 'manifest') continue;
    const { index } = parsed;
    const had = index.mediaType ?? descriptor.mediaType;
    const mediaType = types === undefined ? had : types === 'docker' ? mediaTypes.dockerIndex : mediaTypes.ociIndex;
    const manifests = index.manifests.map((entry) => {
      const now = (replaced.get(entry.digest) ?? indexes.get(entry.digest))?.descriptor;
      return now === undefined ? entry : { ...entry, mediaType: now.mediaType, digest: now.digest, size: now.size };
    });
    if (mediaType === had && manifests.every(({ digest }, i) => digest === index.manifests[i]!.digest)) continue;
    const newBytes = canonicalJson({ ...index, mediaType, manifests });
    indexes.set(descriptor.digest, {
      descriptor: { ...descriptor, ...descriptorOf(newBytes, mediaType) },
      bytes: newBytes,
    });
  }
  return indexes;
}

/** @throws StoreError COPY_CHANGES_ATTESTED */
function requireNothingAttested(
  { root, documents }: CopyPlan,
  replaced: ReadonlyMap<Digest, Document>,
  source: ImageSource,
): void {
  const attested = [root, ...documents].flatMap(({ descriptor, bytes }) => {
    const parsed = parseImageDocument(bytes, descriptor.digest, descriptor.mediaType);
    return parsed.kind === 'index' ? parsed.index.manifests.filter(isAttestation) : [];
  });
  const isChanged = ({ annotations }: Descriptor): boolean => {
    const about = annotations?.['vnd.docker.reference.digest'];
    return about === undefined || replaced.has(about as Digest);
  };
  if (!attested.some(isChanged)) return;
  throw new StoreError('COPY_CHANGES_ATTESTED', {
    message: `${source.name} has attestations, which name its exact bytes: in another form it would not be the image that they are about`,
    hint: 'copy it as it is, or one image of it without them: --platform os/arch',
  });
}

function withMadeBlobs(
  source: ImageSource,
  made: ReadonlyMap<Digest, MadeBlob>,
  configs: ReadonlyMap<Digest, Buffer>,
): ImageSource {
  const paths = new Map([...made.values()].map(({ descriptor, path }) => [descriptor.digest, path]));
  return {
    ...source,
    readDocument: async (wanted) => configs.get(wanted.digest) ?? source.readDocument(wanted),
    openBlob(blob, start = 0) {
      const path = paths.get(blob.digest);
      return path === undefined
        ? source.openBlob(blob, start)
        : createReadStream(path, { start, highWaterMark: 1 << 20 });
    },
  };
}
