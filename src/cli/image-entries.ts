// The images behind a line of `images`: the one, or those that an index lists.
import { type Digest, type ImageConfig, type ListedImage, type Platform, readIndexed, type Store } from '#store';

export interface ImageEntry {
  readonly digest: Digest;
  readonly configDigest: Digest;
  readonly platform: Platform;
  readonly config: ImageConfig;
  readonly sizeBytes: number;
  /** Kept as it came: nobody has needed its layers yet. */
  readonly packed: boolean;
}

export async function entriesOf(store: Store, { digest, images }: ListedImage): Promise<ImageEntry[]> {
  const entries = await Promise.all((images ?? [digest]).map((each) => readIndexed(store, each)));
  return entries
    .filter((entry) => entry !== null)
    .map(({ digest: own, manifest, config, sizeBytes, packed }) => ({
      digest: own,
      configDigest: manifest.config.digest,
      platform: config,
      config,
      sizeBytes,
      packed,
    }));
}
