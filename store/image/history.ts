// What made an image, newest first, as `history` shows it.
import type { Layer, StoredImage } from '../types.js';
import type { HistoryEntry } from '../words.js';

export interface ImageStep {
  readonly entry: HistoryEntry;
  /** The layer that the step made; null where it only changed the config. */
  readonly layer: Layer | null;
}

/** Layers that the history does not tell of are the oldest: tools that flatten or append without history do so to bases. */
export function imageHistory(image: StoredImage): ImageStep[] {
  const entries = image.config.history ?? [];
  const layers = [...image.layers];
  const steps = entries
    .toReversed()
    .map((entry) => ({ entry, layer: entry.empty_layer === true ? null : (layers.pop() ?? null) }));
  return [...steps, ...layers.reverse().map((layer) => ({ entry: {}, layer }))];
}
