import { familiarName, findImage, listTags, readImage, type Store, type StoredImage, StoreError } from '#store';
import { closest } from '../base/index.js';
import { hostPlatform } from '../platform/index.js';

/**
 * The image that a person means by a name or (the start of) a digest; of an index, the one for this machine.
 *
 * @throws StoreError IMAGE_NOT_FOUND, with the nearest name there is
 */
export async function openImage(store: Store, text: string): Promise<StoredImage> {
  try {
    return await readImage(store, findImage(store, text).digest, { platform: hostPlatform() });
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
