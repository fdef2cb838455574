export { type AutomaticGc, collectWhenDue } from './content/automatic-gc.js';
export {
  blobPath,
  findBlob,
  findCompressions,
  putBlob,
  readBlob,
  recordCompression,
} from './content/blob.js';
export {
  type BuildRecord,
  findBuilds,
  findStep,
  hasStep,
  type KnownStep,
  lastBuilds,
  type NewStep,
  newBuildId,
  recordBuild,
} from './content/builds.js';
export { adoptCache, lookupCache, recordCache } from './content/cache.js';
export { type CacheEntry, cacheMountBytes, entryBytes, listCacheEntries } from './content/cache-entries.js';
export {
  type CacheMountKey,
  type CacheMountRecord,
  cacheMountName,
  type Sharing,
} from './content/cache-mount-record.js';
export {
  type CacheMount,
  type CacheMountUse,
  type CacheMountWish,
  cacheMountPath,
  holdCacheMount,
  listCacheMounts,
  removeCacheMounts,
  replaceCacheMount,
  useCacheMount,
} from './content/cache-mounts.js';
export { claimStep, type StepClaim } from './content/claim.js';
export { clampTimes } from './content/clamp.js';
export { type CommitOptions, commitDraft, commitUpper } from './content/commit.js';
export { addUsers } from './content/damaged.js';
export { type DiskSpace, diskSpace } from './content/disk-space.js';
export { type DroppedForms, dropForms } from './content/drop-forms.js';
export {
  type DuplicateGroup,
  type DuplicatePlace,
  type Duplicates,
  type DuplicatesOptions,
  findDuplicates,
} from './content/duplicates.js';
export { storeFault } from './content/faults.js';
export { flushStore } from './content/flush.js';
export { mountLayer } from './content/form.js';
export { formatVersion } from './content/format-file.js';
export { collectGarbage, type Freed, type GarbageOptions, judgeCache, planGarbage } from './content/garbage.js';
export { openGrowthLimit } from './content/growth-limit.js';
export { Store, type StoreOptions } from './content/handle.js';
export { indexedImages } from './content/image-objects.js';
export { type ImportOptions, importLayer } from './content/import.js';
export { findLayer } from './content/layer.js';
export { openLease, openReadingLease } from './content/lease.js';
export { makePath } from './content/make-path.js';
export { openStore } from './content/open.js';
export { automaticPolicies, limitPolicies, type PrunePolicy, type Verdict } from './content/prune-policy.js';
export type { Quarantined, QuarantineNote } from './content/quarantine.js';
export { describeStore, type StoreInfo } from './content/store-info.js';
export { emptyTrash } from './content/trash.js';
export { sourceFailure } from './content/unreadable-layer.js';
export { type DiskUsage, diskUsage, type ImageUsage, type LayerUsage, type StorePart } from './content/usage.js';
export { dockerArchiveDestination, ociArchiveDestination } from './copy/archive-destination.js';
export { openDockerArchiveSource, openOciArchiveSource } from './copy/archive-source.js';
export { type Conversion, convertImages } from './copy/convert-image.js';
export { type CopyOptions, copyImage } from './copy/copy-image.js';
export { dirDestination, openDirSource } from './copy/dir-image.js';
export type {
  Converted,
  CopyPlan,
  Document,
  DocumentSource,
  ImageDestination,
  ImageSource,
  PlannedManifest,
  Scratch,
} from './copy/image-source.js';
export { type InspectedImage, inspectImage } from './copy/inspect-image.js';
export { type JoinedPart, joinImages } from './copy/join-images.js';
export { layoutDestination, openLayoutSource } from './copy/layout-image.js';
export { openRegistrySource, registryDestination } from './copy/registry-image.js';
export { storeDestination } from './copy/store-destination.js';
export { openStoreSource, storeDocuments } from './copy/store-source.js';
export { StoreError } from './errors.js';
export { bareMeta, type DraftEntry, type EntryMeta, type EntryType, type TarEntry } from './format/entry.js';
export { encodeIndex } from './format/index-encode.js';
export { type LayerNode, type LayerTree, layerTree } from './format/layer-tree.js';
export { overlayToDrafts } from './format/overlay-drafts.js';
export { type EncodedTar, encodeTar } from './format/tar-encode.js';
export { scanTar } from './format/tar-scan.js';
export { treeOps } from './format/tree-ops.js';
export { openLayerSources, openView, visibleLayers } from './format/view.js';
export { type CheckOptions, type CheckReport, checkStore } from './fsck/check-store.js';
export { fetchFromRegistries } from './fsck/fetch-again.js';
export type { FetchAgain, Finding, FindingCode, ObjectKind, Outcome } from './fsck/finding.js';
export type { ReadProgress } from './fsck/read-files.js';
export { parseImageDocument } from './image/document.js';
export { type ImageStep, imageHistory } from './image/history.js';
export {
  encodeManifest,
  type MediaTypes,
  type NewImage,
  putImage,
  putManifest,
  readConfigBytes,
  readImage,
  readManifestBytes,
} from './image/images.js';
export { type Attached, putIndex, readIndex, readIndexed, type StoredIndex } from './image/indexes.js';
export { plainText } from './image/plain-text.js';
export { isAttestation } from './image/platform.js';
export { architectures, formatPlatform, normalPlatform, operatingSystems } from './image/platform-names.js';
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
export { unpackImage } from './image/unpack.js';
export type { ListenAddress, ServeOptions, Serving } from './serve/serve-options.js';
export { serveStore } from './serve/serve-store.js';
export { type LoadedImage, loadArchive } from './transport/archive-load.js';
export { type NamedImage, type SaveOptions, saveArchive } from './transport/archive-save.js';
export {
  type ArchiveCompression,
  type CacheMountArchive,
  openCacheMountArchive,
  saveCacheMount,
} from './transport/cache-mount-archive.js';
export type { Compression, CompressionChoice } from './transport/compress.js';
export { copyBetweenStores } from './transport/copy-store.js';
export { type HttpClient, type HttpResponse, openHttpClient } from './transport/http-client.js';
export { type ExportOptions, exportLayout } from './transport/layout-export.js';
export { importLayout, type LayoutOptions } from './transport/layout-import.js';
export { logIn, logOut } from './transport/login.js';
export { prepareImage } from './transport/outgoing.js';
export type { OnProgress, TransferProgress } from './transport/progress.js';
export { type PullOptions, pullImage, readReferrers, readRemoteConfig } from './transport/pull.js';
export { type PushOptions, pushImage, pushIndex, type SentImage } from './transport/push.js';
export type { ReceiveOptions } from './transport/receive.js';
export { httpOptions, type RegistryOptions } from './transport/registry-access.js';
export { TransientError, withRetries } from './transport/retry.js';
export type { FoundRecord, SharedRecord } from './transport/shared-cache.js';
export { type CacheTarget, exportCache, type SharedCompression } from './transport/shared-cache-export.js';
export { type CacheOrigin, openSharedCache, type SharedCache } from './transport/shared-cache-import.js';
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
