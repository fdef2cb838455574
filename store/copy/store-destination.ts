// A store as the destination of a copy. An image becomes layers. An index is kept with the exact bytes of all it names, since
// it is to be sent on as it came: of images for other machines only these bytes are kept, and layers are made of them when
// somebody wants to run one, or to build on it (unpackImage).
import { createReadStream } from 'node:fs';
import { blobPath, findBlob, putBlob, recordCompression } from '../content/blob.js';
import type { Store } from '../content/handle.js';
import { putManifest } from '../image/images.js';
import { resolveImage } from '../image/resolve.js';
import { tagImage } from '../image/tags.js';
import { inParallel, type OnProgress } from '../transport/progress.js';
import { receiveImage, receiveLayers } from '../transport/receive.js';
import type { Lease } from '../types.js';
import type { Descriptor, ImageConfig } from '../words.js';
import type { CopyPlan, ImageDestination, ImageSource, PlannedManifest, WriteOptions } from './image-source.js';
import { isImage, readPlannedConfig } from './planned-image.js';

export interface StoreDestination {
  readonly store: Store;
  readonly lease: Lease;
  /** Given when all is there; none where the image is to be tagged by somebody else. */
  readonly tag: string | undefined;
  /** Which images of an index are unpacked at once. */
  readonly unpack: (config: ImageConfig) => boolean;
  /** Called with the config of an image that comes alone; what it throws ends the copy. */
  readonly check?: ((config: ImageConfig) => void) | undefined;
}

const blobsAtOnce = 4;

export function storeDestination(place: StoreDestination): ImageDestination {
  const { store, tag } = place;
  return {
    name: tag ?? store.dir,
    holdsIndexes: true,
    wantsCompressed: false,
    async write(plan, source, options) {
      const { root, manifests } = plan;
      if (manifests.length === 1 && manifests[0]!.descriptor.digest === root.descriptor.digest) {
        await writeImage(place, plan, source, options);
      } else {
        await writeIndex(place, plan, source, options);
      }
      if (tag !== undefined) tagImage(store, tag, root.descriptor.digest);
    },
  };
}

async function writeIndex(
  { store, lease, unpack }: StoreDestination,
  { root, documents, manifests, blobs }: CopyPlan,
  source: ImageSource,
  { onProgress, signal }: WriteOptions,
): Promise<void> {
  const tars = new Set<string>();
  const unpacked: { planned: PlannedManifest; bytes: Buffer; config: ImageConfig }[] = [];
  for (const planned of manifests) {
    if (!isImage(planned.manifest)) continue;
    const { bytes, config } = await readPlannedConfig(source, planned);
    const { layers } = planned.manifest;
    const diffIds = config.rootfs.diff_ids;
    // A layer that comes as its tar is stored as that, whoever it is for: nothing is gained by keeping it packed.
    if (!layers.every(({ digest }, i) => digest === diffIds[i]) && !unpack(config)) continue;
    unpacked.push({ planned, bytes, config });
    for (const [i, { digest }] of layers.entries()) if (digest === diffIds[i]) tars.add(digest);
  }
  const kept = blobs.filter(({ digest }) => !tars.has(digest));
  await inParallel(kept, blobsAtOnce, async (blob) => {
    signal?.throwIfAborted();
    await keepBlob(store, lease, blob, source, onProgress);
  });
  for (const { planned, bytes, config } of unpacked) {
    const { layers } = planned.manifest;
    const open = (layer: Descriptor): AsyncIterable<Uint8Array> =>
      tars.has(layer.digest)
        ? source.openBlob(layer)
        : createReadStream(blobPath(store, layer.digest), { highWaterMark: 1 << 20 });
    await receiveLayers(store, lease, config, layers, open, {});
    for (const [i, diffId] of config.rootfs.diff_ids.entries()) {
      if (layers[i]!.digest !== diffId) recordCompression(store, diffId, layers[i]!);
    }
    // One that is here already is no newer than it was.
    const { digest } = planned.descriptor;
    if (findBlob(store, digest) === null || store.database.image(digest) === null)
      await putManifest(store, lease, planned.bytes, bytes);
  }
  for (const { bytes } of [...documents, root]) await putBlob(store, lease, bytes);
}

async function keepBlob(
  store: Store,
  lease: Lease,
  blob: Descriptor,
  source: ImageSource,
  onProgress: OnProgress | undefined,
): Promise<void> {
  const { digest, size } = blob;
  const isPresent = findBlob(store, digest) !== null;
  if (!isPresent) await putBlob(store, lease, source.openBlob(blob), { digest, size });
  onProgress?.({ digest, state: isPresent ? 'present' : 'done', doneBytes: size, totalBytes: size });
}

async function writeImage(
  { store, lease, check }: StoreDestination,
  { root }: CopyPlan,
  source: ImageSource,
  { onProgress }: WriteOptions,
): Promise<void> {
  const { digest } = root.descriptor;
  const resolved = await resolveImage(root.descriptor, undefined, source.name, async (wanted) =>
    wanted.digest === digest ? root.bytes : source.readDocument(wanted),
  );
  await receiveImage(store, lease, resolved, source.name, (layer) => source.openBlob(layer), { onProgress, check });
}
