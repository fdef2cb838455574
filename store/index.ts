export { StoreError } from './errors.js';
export type { DraftEntry, EntryMeta, EntryType, TarEntry } from './format/entry.js';
export { overlayToDrafts } from './format/overlay-drafts.js';
export { type EncodedTar, encodeTar } from './format/tar-encode.js';
export { scanTar } from './format/tar-scan.js';
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
