import type { InspectedImage } from '#store';

/** What is shown of an image. `image` is null where an index has none for this machine and nobody asked for another. */
export interface Inspection extends Pick<InspectedImage, 'root' | 'index'> {
  readonly name: string;
  readonly names: readonly string[];
  readonly image: InspectedImage['image'] | null;
  /** Of its layers: uncompressed in the store, elsewhere as they are there. */
  readonly sizeBytes: number;
}
