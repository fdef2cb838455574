export {
  type BlobRow,
  blobPath,
  type CompressionRow,
  findBlob,
  findCompressions,
  putBlob,
  readBlob,
  recordCompression,
} from './content/blob.js';
export { lookupCache, recordCache } from './content/cache.js';
export { flushStore } from './content/flush.js';
export { Store, type StoreOptions } from './content/handle.js';
export { findLayer } from './content/layer.js';
export { openLease } from './content/lease.js';
export { formatVersion, openStore } from './content/open.js';
export { StoreError } from './errors.js';
export type { DraftEntry, EntryMeta, EntryType, TarEntry } from './format/entry.js';
export { encodeIndex } from './format/index-encode.js';
export { type LayerNode, type LayerTree, layerTree } from './format/layer-tree.js';
export { overlayToDrafts } from './format/overlay-drafts.js';
export { type EncodedTar, encodeTar } from './format/tar-encode.js';
export { scanTar } from './format/tar-scan.js';
export { type ImageStep, imageHistory } from './image/history.js';
export {
  type NewImage,
  putImage,
  putManifest,
  readConfigBytes,
  readImage,
  readManifestBytes,
} from './image/images.js';
export { familiarName, formatReference, parseReference, type Reference } from './image/reference.js';
export {
  findImage,
  type ListedImage,
  listImages,
  listTags,
  type Removal,
  removeImage,
  resolveTag,
  type Tag,
  tagImage,
  untag,
} from './image/tags.js';
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
