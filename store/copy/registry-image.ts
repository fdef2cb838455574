// An image in a registry, as source and as destination of a copy.
import { Readable } from 'node:stream';
import { StoreError } from '../errors.js';
import { formatReference, type Reference } from '../image/reference.js';
import { inParallel } from '../transport/progress.js';
import type { RegistryOptions } from '../transport/registry-access.js';
import { openRegistry, type Registry } from '../transport/registry-client.js';
import { fetchBlob, fetchDocument, fetchManifest, hasBlob } from '../transport/registry-fetch.js';
import { putManifest, startUpload, uploadBlob } from '../transport/registry-upload.js';
import { type Descriptor, mediaTypes } from '../words.js';
import type { CopyPlan, ImageDestination, ImageSource, WriteOptions } from './image-source.js';
import { verified } from './write-blob.js';

const blobsAtOnce = 4;
const maxMountSources = 3;

/** @throws StoreError REGISTRY_*, CREDENTIALS_INVALID */
export async function openRegistrySource(reference: Reference, options: RegistryOptions): Promise<ImageSource> {
  const name = formatReference(reference);
  const registry = await openRegistry(reference, 'pull', options);
  return {
    name,
    root: () => fetchManifest(registry, reference.digest ?? reference.tag ?? 'latest'),
    readDocument: async ({ digest, mediaType }) =>
      manifestTypes.has(mediaType) ? (await fetchManifest(registry, digest)).bytes : fetchDocument(registry, digest),
    openBlob: (blob, start) => fetchBlob(registry, blob, start),
    repositoriesAt: (place) => (place === reference.registry ? [reference.repository] : []),
    close: async () => registry.close(),
  };
}

const manifestTypes: ReadonlySet<string> = new Set([
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  mediaTypes.dockerManifest,
  mediaTypes.dockerIndex,
]);

/** Blobs go first, then the documents that name them, then the tag. @throws StoreError TAG_NEEDED */
export function registryDestination(reference: Reference, options: RegistryOptions): ImageDestination {
  const name = formatReference(reference);
  const { tag } = reference;
  if (tag === undefined || reference.digest !== undefined) {
    throw new StoreError('TAG_NEEDED', {
      message: `${name} names an image by its digest`,
      hint: "copy to 'name:tag'; its digest follows from its bytes",
    });
  }
  return {
    name,
    holdsIndexes: true,
    wantsCompressed: true,
    async write(plan, source, writeOptions) {
      const near = source.repositoriesAt(reference.registry).filter((from) => from !== reference.repository);
      const mountFrom = near.slice(0, maxMountSources);
      const registry = await openRegistry(reference, 'push', options, mountFrom);
      try {
        await inParallel(plan.blobs, blobsAtOnce, (blob) => send(registry, blob, source, mountFrom, writeOptions));
        for (const { descriptor, bytes } of plan.documents) {
          await putManifest(registry, descriptor.digest, bytes, descriptor.mediaType);
        }
        await putManifest(registry, tag, plan.root.bytes, mediaTypeOf(plan));
      } finally {
        registry.close();
      }
    },
  };
}

/** A manifest that does not say its type is known by how it was announced. */
function mediaTypeOf({ root }: CopyPlan): string {
  const { mediaType } = JSON.parse(root.bytes.toString('utf8')) as { mediaType?: string };
  return mediaType ?? root.descriptor.mediaType;
}

async function send(
  registry: Registry,
  blob: Descriptor,
  source: ImageSource,
  mountFrom: readonly string[],
  { onProgress, signal }: WriteOptions,
): Promise<void> {
  signal?.throwIfAborted();
  const { digest, size } = blob;
  const report = (state: 'present' | 'mounted' | 'sending' | 'done', doneBytes: number): void =>
    onProgress?.({ digest, state, doneBytes, totalBytes: size });
  if (await hasBlob(registry, blob)) return report('present', size);
  let upload: URL | null = null;
  for (const from of mountFrom) {
    upload = await startUpload(registry, digest, from);
    if (upload === null) return report('mounted', size);
  }
  const open = continued(source, blob, signal);
  await uploadBlob(registry, { descriptor: blob, open: open.part }, upload, (bytes) => report('sending', bytes));
  await open.close();
  report('done', size);
}

/** Pieces of a blob that are asked for one after the other come from one stream; only after a failure a new one is begun. */
function continued(
  source: ImageSource,
  blob: Descriptor,
  signal: AbortSignal | undefined,
): { part(start: number, end: number): Readable; close(): Promise<void> } {
  let position = -1;
  let chunks: AsyncIterator<Uint8Array> | null = null;
  let left: Uint8Array | null = null;
  const startAt = async (start: number): Promise<void> => {
    await chunks?.return?.();
    left = null;
    position = start;
    // What is sent from its start on is checked; the registry checks the rest.
    const bytes = start === 0 ? verified(source.openBlob(blob), blob, source.name) : source.openBlob(blob, start);
    chunks = bytes[Symbol.asyncIterator]();
  };
  const next = async (): Promise<Uint8Array | null> => {
    const { value, done } = await chunks!.next();
    return done ? null : value;
  };
  async function* pieces(start: number, end: number): AsyncGenerator<Uint8Array> {
    if (position !== start || chunks === null) await startAt(start);
    while (position < end) {
      signal?.throwIfAborted();
      const chunk: Uint8Array | null = left ?? (await next());
      left = null;
      if (chunk === null) return;
      const fits = chunk.subarray(0, end - position);
      if (fits.length < chunk.length) left = chunk.subarray(fits.length);
      position += fits.length;
      // The last bytes are let go when the whole is known to be right.
      if (position === blob.size) await next();
      yield fits;
    }
  }
  return {
    part: (start, end) => Readable.from(pieces(start, end), { objectMode: false }),
    close: async () => void (await chunks?.return?.()),
  };
}
