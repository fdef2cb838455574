import { familiarName, findImage, listTags, readImage, type Store, type StoredImage, StoreError } from '#store';
import { closest } from '../base/index.js';
import { hostPlatform } from '../platform/index.js';

/**
 * The image that a person means by a name or (the start of) a digest; of an index, the one for this machine.
 *
 * @throws StoreError IMAGE_NOT_FOUND, with the nearest name there is
 */
export function openImage(store: Store, text: string): Promise<StoredImage> {
  return nearestNamed(store, text, () => readImage(store, findImage(store, text).digest, { platform: hostPlatform() }));
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
