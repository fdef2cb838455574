// One image (or an index of images, with all it names) from anywhere to anywhere.
import { StoreError } from '../errors.js';
import { parseImageDocument } from '../image/document.js';
import { descriptorPlatform } from '../image/platform.js';
import { formatPlatform } from '../image/platform-names.js';
import type { Descriptor, Platform } from '../words.js';
import { planCopy } from './copy-plan.js';
import type { Converted, CopyPlan, Document, ImageDestination, ImageSource, WriteOptions } from './image-source.js';

export interface CopyOptions extends WriteOptions {
  /** Called with the layers that the image has, before any is moved. */
  readonly onLayers?: ((layers: readonly Descriptor[]) => void) | undefined;
  /** Which images of an index; by default all of it, byte for byte. */
  readonly platforms?: readonly Platform[] | undefined;
  /** Fails rather than copy the image under another digest. */
  readonly preserveDigests?: boolean | undefined;
  /** The same image in another form: other media types, other compression. */
  readonly convert?: ((plan: CopyPlan, source: ImageSource) => Promise<Converted>) | undefined;
}

/**
 * @returns the document that the image is found by at the destination
 * @throws StoreError COPY_NEEDS_PLATFORM, COPY_CHANGES_DIGEST; those of both ends
 */
export async function copyImage(
  source: ImageSource,
  destination: ImageDestination,
  options: CopyOptions = {},
): Promise<Document> {
  const whole = await planCopy(source, options.platforms ?? null);
  if (!destination.holdsIndexes) requireOneImage(whole, source, destination);
  const complete = (await source.complete?.(whole)) ?? { plan: whole, source };
  const { plan, source: from } = (await options.convert?.(complete.plan, complete.source)) ?? complete;
  if (options.preserveDigests) requireSameDigest(whole, plan, source, destination);
  options.onLayers?.(plan.manifests.flatMap(({ manifest }) => manifest.layers));
  await destination.write(plan, stoppable(from, options.signal), options);
  return plan.root;
}

/** Interrupted, it ends at the next bytes: whoever writes them removes what is unfinished. */
function stoppable(source: ImageSource, signal: AbortSignal | undefined): ImageSource {
  if (signal === undefined) return source;
  return {
    ...source,
    async *openBlob(blob, start) {
      for await (const chunk of source.openBlob(blob, start)) {
        signal.throwIfAborted();
        yield chunk;
      }
    },
  };
}

/** @throws StoreError COPY_NEEDS_PLATFORM */
function requireOneImage({ root }: CopyPlan, source: ImageSource, destination: ImageDestination): void {
  const document = parseImageDocument(root.bytes, source.name, root.descriptor.mediaType);
  if (document.kind === 'manifest') return;
  const offered = document.index.manifests.map(descriptorPlatform).filter((platform) => platform !== null);
  const names = [...new Set(offered.map(formatPlatform))];
  throw new StoreError('COPY_NEEDS_PLATFORM', {
    message: `${source.name} is an index${names.length > 0 ? ` (${names.slice(0, 12).join(', ')})` : ''}; ${destination.name} holds one image for one platform`,
    hint: `say which one: --platform ${names[0] ?? 'os/arch'}; oci-archive: and oci: hold indexes`,
  });
}

/** @throws StoreError COPY_CHANGES_DIGEST */
function requireSameDigest(whole: CopyPlan, plan: CopyPlan, source: ImageSource, destination: ImageDestination): void {
  if (plan.root.descriptor.digest === whole.root.descriptor.digest) return;
  throw new StoreError('COPY_CHANGES_DIGEST', {
    message: `${source.name} would have another digest at ${destination.name}`,
    hint: 'leave out --preserve-digests, or what changes the form: --format and --compression',
  });
}
