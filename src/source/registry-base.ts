// An image by name: the one that the store has for the platform, else the registry's.
import {
  type Digest,
  familiarName,
  formatReference,
  indexedImages,
  type Lease,
  lookupCache,
  type Platform,
  parseReference,
  pullImage,
  readImage,
  recordCache,
  resolveTag,
  type Store,
  type StoredImage,
  StoreError,
  tagImage,
  unpackImage,
} from '#store';
import { BuildError } from '../base/index.js';
import { formatPlatform, normalPlatform, samePlatform } from '../platform/index.js';
import type { BaseOptions } from './base-options.js';

/** @throws BuildError BASE_NOT_FOUND; StoreError REGISTRY_* */
export async function resolveReference(
  store: Store,
  lease: Lease,
  ref: string,
  options: Omit<BaseOptions, 'contexts'>,
): Promise<StoredImage> {
  const name = formatReference(parseReference(ref));
  const read: ReadStored = (digest, platform) => unpackImage(store, lease, digest, { platform });
  const tagged = await readTagged(store, name, options.platform, read);
  if (options.pull === 'never') return tagged ?? notInStore(ref, options);
  const pulled = readPulled(store, name);
  if (options.pull === 'missing') {
    const known = await readKnown(tagged, pulled, options.platform, read);
    if (known !== null) return known;
  }
  const image = await pull(store, lease, ref, name, options);
  recordCache(store, pulledKey(name), {
    diffId: null,
    inputs: { ...pulled, [formatPlatform(normalPlatform(options.platform))]: image.digest },
  });
  if (tagged === null ? !isIndexed(store, name) : isOther(tagged, image)) tagImage(store, name, image.digest);
  return image;
}

/** The tag stays on the platform it was first pulled for: a build may need one name for two platforms. An index is more yet. */
function isOther(tagged: StoredImage, image: StoredImage): boolean {
  return samePlatform(tagged.config, image.config) && tagged.digest !== image.digest;
}

function isIndexed(store: Store, name: string): boolean {
  const digest = resolveTag(store, name);
  return digest !== null && indexedImages(store, digest) !== null;
}

/** What the store has of a full name, and a build would take; null: the registry is asked. */
export async function findStored(store: Store, name: string, platform: Platform): Promise<StoredImage | null> {
  const read: ReadStored = (digest) => readImage(store, digest, { platform });
  const tagged = await readTagged(store, name, platform, read);
  return readKnown(tagged, readPulled(store, name), platform, read);
}

/** A look at what is here, or one that makes layers of an image that came packed, as one of an index. */
type ReadStored = (digest: Digest, platform: Platform) => Promise<StoredImage>;

/** By platform the digest that a registry gave for a name. */
type Pulled = Readonly<Record<string, StoredImage['digest']>>;

/**
 * What is here and will do. An image for another platform that was built or loaded here comes too, to be refused: its
 * name is no registry's business. One that was pulled may be had for this platform as well.
 */
async function readKnown(
  tagged: StoredImage | null,
  pulled: Pulled,
  platform: Platform,
  read: ReadStored,
): Promise<StoredImage | null> {
  if (tagged !== null && samePlatform(tagged.config, platform)) return tagged;
  const digest = pulled[formatPlatform(normalPlatform(platform))];
  const image = digest === undefined ? null : await readPresent(digest, platform, read);
  if (image !== null) return image;
  const wasPulled = tagged !== null && Object.values(pulled).includes(tagged.digest);
  return wasPulled ? null : tagged;
}

async function readTagged(
  store: Store,
  name: string,
  platform: Platform,
  read: ReadStored,
): Promise<StoredImage | null> {
  const reference = parseReference(name);
  const digest = reference.digest ?? resolveTag(store, name);
  return digest === null ? null : readPresent(digest, platform, read);
}

/** Null where the store lacks it, or a part of it: then it is fetched again. */
async function readPresent(digest: Digest, platform: Platform, read: ReadStored): Promise<StoredImage | null> {
  try {
    return await read(digest, platform);
  } catch (error) {
    if (error instanceof StoreError && absent.has(error.code)) return null;
    throw error;
  }
}

const absent = new Set(['IMAGE_MISSING', 'IMAGE_INCOMPLETE', 'LAYER_MISSING', 'PLATFORM_NOT_IN_INDEX', 'BLOB_MISSING']);

async function pull(
  store: Store,
  lease: Lease,
  ref: string,
  name: string,
  { platform, plainHttp, onProgress, at }: Omit<BaseOptions, 'contexts'>,
): Promise<StoredImage> {
  try {
    return await pullImage(store, lease, name, {
      platform,
      plainHttp,
      onProgress: ({ digest, doneBytes, totalBytes }) =>
        onProgress?.({ what: digest.slice(0, 19), done: doneBytes, total: totalBytes }),
    });
  } catch (error) {
    if (!(error instanceof StoreError) || !error.code.startsWith('REGISTRY_')) throw error;
    throw new BuildError('BASE_NOT_FOUND', {
      message: `${ref} is not in the store, and could not be pulled: ${error.message}`,
      hint: error.hint ?? 'check the name, or make the base from this machine: FROM host://sh,coreutils',
      at,
      cause: error,
    });
  }
}

function notInStore(ref: string, { at }: Omit<BaseOptions, 'contexts'>): never {
  throw new BuildError('BASE_NOT_FOUND', {
    message: `${familiarName(parseReference(ref))} is not in the store, and pulling is off`,
    hint: 'pull it first, or allow pulling',
    at,
  });
}

function pulledKey(name: string): string {
  return `pulled ${name}`;
}

function readPulled(store: Store, name: string): Pulled {
  return (lookupCache(store, pulledKey(name))?.inputs ?? {}) as Pulled;
}
