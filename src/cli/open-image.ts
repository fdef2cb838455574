import {
  type Digest,
  familiarName,
  findImage,
  listTags,
  type Platform,
  readImage,
  readIndex,
  type Store,
  type StoredImage,
  type StoredIndex,
  StoreError,
  unpackImage,
} from '#store';
import { closest } from '../base/index.js';
import { hostPlatform } from '../platform/index.js';
import type { Cli } from './cli.js';
import { underLease } from './under-lease.js';

/** What a name stands for. */
export interface FoundImage {
  readonly digest: Digest;
  /** Its whole name; null where it was given by its digest. */
  readonly name: string | null;
}

/**
 * What a person means by a name or (the start of) a digest.
 *
 * @throws StoreError IMAGE_NOT_FOUND, with the nearest name there is
 */
export function findNamed(store: Store, text: string): Promise<FoundImage> {
  return nearestNamed(store, text, () => findImage(store, text));
}

/**
 * The image that a name stands for; of an index the one for `platform`, by default for this machine. Its layers are made where
 * it came packed.
 *
 * @throws StoreError IMAGE_NOT_FOUND, PLATFORM_NOT_IN_INDEX
 */
export async function openImage(
  cli: Cli,
  store: Store,
  text: string,
  platform: Platform = hostPlatform(),
): Promise<StoredImage> {
  const { digest } = await findNamed(store, text);
  try {
    return await readImage(store, digest, { platform });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.code === 'PLATFORM_NOT_IN_INDEX') throw withName(error, digest, text);
    if (error.code !== 'LAYER_MISSING') throw error;
    return underLease(cli, store, `unpacking of ${text}`, (lease) => unpackImage(store, lease, digest, { platform }));
  }
}

function withName({ code, message, hint }: StoreError, digest: Digest, text: string): StoreError {
  return new StoreError(code, { message: message.replace(digest, text), hint: hint?.replace(/^build with/, 'say') });
}

/** An index as a whole, or the one image. */
export type WholeImage =
  | { readonly image: StoredImage; readonly index?: undefined; readonly digest: Digest; readonly name: string | null }
  | { readonly image?: undefined; readonly index: StoredIndex; readonly digest: Digest; readonly name: string | null };

/** @throws StoreError IMAGE_NOT_FOUND, IMAGE_INCOMPLETE */
export async function openWhole(store: Store, text: string): Promise<WholeImage> {
  const found = await findNamed(store, text);
  const index = await readIndex(store, found.digest);
  return index === null ? { ...found, image: await readImage(store, found.digest) } : { ...found, index };
}

/** What `find` finds under the name `text`; when there is no such image, the error says the nearest name that there is. */
export async function nearestNamed<T>(store: Store, text: string, find: () => T | Promise<T>): Promise<T> {
  try {
    return await find();
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'IMAGE_NOT_FOUND') throw error;
    const near = closest(
      text,
      listTags(store).map((tag) => familiarName(tag.reference)),
    );
    if (near === undefined) throw error;
    throw new StoreError(error.code, { message: error.message, hint: `did you mean ${near}?`, cause: error });
  }
}
