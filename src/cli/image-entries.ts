// The images behind a line of `images`: the one, or those that an index lists.
import {
  type Digest,
  type ImageConfig,
  type ListedImage,
  type Platform,
  parseImageDocument,
  readIndexed,
  type Store,
  storeDocuments,
} from '#store';

export interface ImageEntry {
  readonly digest: Digest;
  readonly configDigest: Digest;
  readonly platform: Platform;
  readonly config: ImageConfig;
  readonly sizeBytes: number;
  /** Kept as it came: nobody has needed its layers yet. */
  readonly packed: boolean;
}

export async function entriesOf(store: Store, listed: ListedImage): Promise<ImageEntry[]> {
  const platforms = listed.images === null ? new Map() : await platformsIn(store, listed.digest);
  const entries = await Promise.all((listed.images ?? [listed.digest]).map((each) => readIndexed(store, each)));
  return entries
    .filter((entry) => entry !== null)
    .map(({ digest, manifest, config, sizeBytes, packed }) => ({
      digest,
      configDigest: manifest.config.digest,
      platform: platforms.get(digest) ?? config,
      config,
      sizeBytes,
      packed,
    }));
}

/** What an index says of its images goes before what they say themselves. */
async function platformsIn(store: Store, digest: Digest): Promise<Map<Digest, Platform>> {
  const { bytes } = await storeDocuments(store, digest, digest).root();
  const document = parseImageDocument(bytes, digest);
  if (document.kind === 'manifest') return new Map();
  return new Map(
    document.index.manifests.flatMap((entry) => (entry.platform === undefined ? [] : [[entry.digest, entry.platform]])),
  );
}
