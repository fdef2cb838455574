// The shapes of the store's public functions.
import type { ContentRef, RawPath } from '#native';
import type { EntryMeta } from './format/entry.js';
import type { DiffId, Digest, ImageConfig, Manifest } from './words.js';

/** A layer that is complete in the store. Its files never change. */
export interface Layer {
  readonly diffId: DiffId;
  /** Bytes of the tar. */
  readonly size: number;
  readonly tarPath: string;
  /** The EROFS index beside the tar; null where no index can express the tar (sparse members), which then mounts as a tree. */
  readonly indexPath: string | null;
}

/** Result of committing files as a layer. */
export interface CommittedLayer {
  readonly layer: Layer;
  /** First bytes of each ELF file and script written by this commit, by path in the layer. */
  readonly heads: ReadonlyMap<RawPath, Buffer>;
  /** SHA-256 (hex) of each regular file's content, by path; empty unless asked for. */
  readonly fileDigests: ReadonlyMap<RawPath, string>;
}

/**
 * Everything one operation holds on to. Unfinished files live in `dir`; layers and blobs it made, opened or looked up
 * can't be collected until `release`, or until the process is gone.
 */
export interface Lease {
  readonly id: string;
  /** Private directory on the store's filesystem. */
  readonly dir: string;
  /** A fresh path in `dir`. */
  path(name: string): string;
  release(): Promise<void>;
}

/** One image for one platform, complete in the store. */
export interface StoredImage {
  /** Digest of the manifest. */
  readonly digest: Digest;
  readonly configDigest: Digest;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
  readonly layers: readonly Layer[];
}

/** A file in the merged view of a stack of layers. */
export interface ViewEntry extends EntryMeta {
  /** Never 'hardlink': the view shows inodes. */
  readonly type: Exclude<EntryMeta['type'], 'hardlink'>;
  /** Where its bytes lie; null unless it is a file with size > 0. */
  readonly content: ContentRef | null;
  /** Index into the layers the view was opened with. */
  readonly layer: number;
  /** Equal for names of the same inode of the same layer. */
  readonly inode: number;
}

/** The merged, read-only view of a stack of layers, without mounting anything. Symlinks resolve inside it. */
export interface RootView {
  /** The file at `path`; symlinks in its directories are followed, the last component's only if `follow`. Null if there is none. */
  lookup(path: RawPath, follow: boolean): ViewEntry | null;
  /** `path` with every symlink in it resolved inside the root; components that don't exist stay as they are. @throws StoreError VIEW_SYMLINK_LOOP */
  resolve(path: RawPath): RawPath;
  /** The directory's children in byte order; [] if it is no directory. Paths are full paths. */
  list(dir: RawPath): ViewEntry[];
  /** Content of a file, at most `maxBytes` from its start. */
  read(entry: ViewEntry, maxBytes?: number): Buffer;
  close(): void;
}

/** What a cache key led to. */
export interface CacheRecord {
  /** Layer the vertex made; null when it changed nothing. */
  readonly diffId: DiffId | null;
  /** What the key was made of, for the explanation of misses (JSON). */
  readonly inputs: unknown;
  readonly createdMs: number;
}
