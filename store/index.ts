export { StoreError } from './errors.js';
export type { DraftEntry, EntryMeta, EntryType, TarEntry } from './format/entry.js';
export { familiarName, formatReference, parseReference, type Reference } from './image/reference.js';
export type * from './types.js';
export {
  type Descriptor,
  type DiffId,
  type Digest,
  type Healthcheck,
  type HistoryEntry,
  type ImageConfig,
  type ImageIndex,
  type Manifest,
  mediaTypes,
  type Platform,
  parseDiffId,
  parseDigest,
  type RunConfig,
} from './words.js';
