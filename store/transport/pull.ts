// A registry's image → the store.
import type { Store } from '../content/handle.js';
import { formatReference, parseReference, type Reference } from '../image/reference.js';
import { type ResolvedImage, resolveImage } from '../image/resolve.js';
import type { Lease, StoredImage } from '../types.js';
import { type Digest, type ImageConfig, mediaTypes } from '../words.js';
import { type ReceiveOptions, receiveImage } from './receive.js';
import { listReferrers, type Referrers } from './referrers.js';
import type { RegistryOptions } from './registry-access.js';
import { openRegistry, type Registry } from './registry-client.js';
import { fetchBlob, fetchDocument, fetchManifest } from './registry-fetch.js';

export interface PullOptions extends ReceiveOptions, RegistryOptions {}

/**
 * Fetches an image; layers that the store has are not fetched. It is not tagged.
 *
 * @throws StoreError REGISTRY_*, PLATFORM_NOT_IN_INDEX, IMAGE_*, BLOB_*, CREDENTIALS_INVALID
 */
export async function pullImage(
  store: Store,
  lease: Lease,
  reference: Reference | string,
  options: PullOptions = {},
): Promise<StoredImage> {
  return withRemote(reference, options, (resolved, registry, name) =>
    receiveImage(store, lease, resolved, name, (layer) => fetchBlob(registry, layer), options),
  );
}

/** The image's documents without its layers; nothing is stored. @throws StoreError as pullImage */
export async function readRemoteConfig(
  reference: Reference | string,
  options: RegistryOptions & Pick<PullOptions, 'platform'>,
): Promise<{ digest: Digest; config: ImageConfig }> {
  return withRemote(reference, options, async ({ digest, config }) => ({ digest, config }));
}

/**
 * What refers to an image, or with a platform to that one of an index.
 *
 * @throws StoreError as pullImage
 */
export async function readReferrers(
  reference: Reference | string,
  options: RegistryOptions & Pick<PullOptions, 'platform'> & { readonly artifactType?: string | undefined },
): Promise<Referrers & { readonly subject: Digest }> {
  const wanted = typeof reference === 'string' ? parseReference(reference) : reference;
  const list = async (registry: Registry, subject: Digest): Promise<Referrers & { subject: Digest }> => ({
    ...(await listReferrers(registry, subject, options.artifactType)),
    subject,
  });
  if (options.platform !== undefined)
    return withRemote(wanted, options, ({ digest }, registry) => list(registry, digest));
  const registry = await openRegistry(wanted, 'pull', options);
  try {
    const root = wanted.digest ?? (await fetchManifest(registry, wanted.tag ?? 'latest')).descriptor.digest;
    return await list(registry, root);
  } finally {
    registry.close();
  }
}

async function withRemote<T>(
  reference: Reference | string,
  options: RegistryOptions & Pick<PullOptions, 'platform'>,
  work: (resolved: ResolvedImage, registry: Registry, name: string) => Promise<T>,
): Promise<T> {
  const wanted = typeof reference === 'string' ? parseReference(reference) : reference;
  const name = formatReference(wanted);
  const registry = await openRegistry(wanted, 'pull', options);
  try {
    const root = await fetchManifest(registry, wanted.digest ?? wanted.tag ?? 'latest');
    const resolved = await resolveImage(root.descriptor, options.platform, name, async (document) => {
      if (document.digest === root.descriptor.digest) return root.bytes;
      if (!isManifestType(document.mediaType)) return fetchDocument(registry, document.digest);
      return (await fetchManifest(registry, document.digest)).bytes;
    });
    return await work(resolved, registry, name);
  } finally {
    registry.close();
  }
}

function isManifestType(mediaType: string): boolean {
  const { ociManifest, ociIndex, dockerManifest, dockerIndex } = mediaTypes;
  return [ociManifest, ociIndex, dockerManifest, dockerIndex].some((type) => type === mediaType);
}
