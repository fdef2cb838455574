import {
  familiarName,
  findImage,
  listTags,
  readImage,
  readIndex,
  type Store,
  type StoredImage,
  type StoredIndex,
  StoreError,
} from '#store';
import { closest } from '../base/index.js';
import { hostPlatform } from '../platform/index.js';

/** What a name stands for. */
export interface OpenedImage {
  /** Of an index, the one for this machine. */
  readonly image: StoredImage;
  /** Where the name stands for an index of images: all of it. */
  readonly index: StoredIndex | undefined;
  /** Its whole name; null where it was given by its digest. */
  readonly name: string | null;
}

/**
 * What a person means by a name or (the start of) a digest.
 *
 * @throws StoreError IMAGE_NOT_FOUND, with the nearest name there is
 */
export function openImage(store: Store, text: string): Promise<OpenedImage> {
  return nearestNamed(store, text, async () => {
    const { digest, name } = findImage(store, text);
    const image = await readImage(store, digest, { platform: hostPlatform() });
    return { image, index: (await readIndex(store, digest)) ?? undefined, name };
  });
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
