// The files of a cache mount ↔ one tar, to carry them to another store. Owners are the image's ids on both sides.
import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Host } from '#native';
import { withFaults } from '../content/faults.js';
import { decompressWithin, openGrowthLimit } from '../content/growth-limit.js';
import type { Store } from '../content/handle.js';
import { StoreError } from '../errors.js';
import type { EntryMeta, TarEntry } from '../format/entry.js';
import { overlayToDrafts } from '../format/overlay-drafts.js';
import { encodeTar } from '../format/tar-encode.js';
import { quote } from '../format/tar-path.js';
import { scanTar } from '../format/tar-scan.js';
import { treeOps } from '../format/tree-ops.js';
import { whiteoutPrefix } from '../format/whiteout.js';
import type { Lease } from '../types.js';
import type { DiffId } from '../words.js';
import { writeTo } from './archive-save.js';
import { type Compression, compressLayer } from './compress.js';

/** Of an archive as a whole: there is no use in one whose members can be fetched alone. */
export type ArchiveCompression = Exclude<Compression, 'estargz'>;

/**
 * Writes the files in `dir`, which nobody may change meanwhile. Deterministic: the same files, owners and times give the
 * same bytes. Sockets are left out.
 *
 * @param target a path (replaced when the archive is complete) or a stream
 * @returns bytes of the uncompressed tar
 * @throws StoreError ARCHIVE_UNWRITABLE, LAYER_NAME_RESERVED, STORE_FULL
 */
export async function saveCacheMount(
  store: Store,
  lease: Lease,
  host: Host,
  dir: string,
  target: string | Writable,
  { compression, signal }: { readonly compression: ArchiveCompression; readonly signal: AbortSignal },
): Promise<number> {
  const drafts = overlayToDrafts(await host.walk(dir, { xattrs: true }), dir);
  const { parts } = encodeTar(drafts);
  const tarPath = lease.path('cache.tar');
  const { size, sha256 } = await withFaults(store.dir, () =>
    host.assemble({ parts, output: tarPath, heads: false, fileDigests: false }),
  );
  const tar = { diffId: `sha256:${sha256}` as DiffId, size, tarPath, indexPath: null };
  const bytes =
    compression === 'none'
      ? createReadStream(tarPath, { highWaterMark: 1 << 20 })
      : compressLayer(tar, { compression }, () => {});
  await writeTo(target, bytes, signal);
  return size;
}

/** An archive of a cache's files, unpacked beside the store and checked. */
export interface CacheMountArchive {
  /** Of its root, where it says them. */
  readonly root: Pick<EntryMeta, 'mode' | 'uid' | 'gid'> | null;
  readonly files: number;
  /** Makes `dir`, which does not exist, with the files in it. Nothing is written outside of it. */
  extract(host: Host, dir: string): Promise<void>;
}

/**
 * @param source a path or a stream; plain, or compressed by gzip, zstd, bzip2 or xz
 * @throws StoreError ARCHIVE_NOT_FOUND, ARCHIVE_INVALID, LAYER_COMPRESSION_DAMAGED, STORE_FULL; TAR_*
 */
export async function openCacheMountArchive(
  store: Store,
  lease: Lease,
  source: string | Readable,
): Promise<CacheMountArchive> {
  const name = typeof source === 'string' ? source : 'the archive';
  if (typeof source === 'string') await requireFile(source);
  const input = typeof source === 'string' ? createReadStream(source, { highWaterMark: 1 << 20 }) : source;
  const tarPath = lease.path('cache.tar');
  const unpacked = Readable.from(decompressWithin(openGrowthLimit(store.dir, store.options.maxLayerBytes), input), {
    objectMode: false,
  });
  await withFaults(store.dir, () => pipeline(unpacked, createWriteStream(tarPath, { mode: 0o600, flags: 'wx' })));
  const entries = scanTar(tarPath);
  requireNoMarkers(entries, name);
  return {
    root: entries.findLast(({ path, type }) => path === '' && type === 'dir') ?? null,
    files: entries.filter(({ path }) => path !== '').length,
    extract: (host, dir) => withFaults(store.dir, () => host.applyTree(dir, treeOps(entries, tarPath))),
  };
}

async function requireFile(path: string): Promise<void> {
  const facts = await stat(path).catch((cause) => {
    throw new StoreError('ARCHIVE_NOT_FOUND', {
      message: cause.code === 'ENOENT' ? `there is no file ${path}` : `${path}: ${cause.message}`,
      hint: 'name the archive file, or - for standard input',
      cause,
    });
  });
  if (!facts.isDirectory()) return;
  throw new StoreError('ARCHIVE_INVALID', {
    message: `${path} is a directory`,
    hint: `pack it: tar -C ${path} -c . | tsbuild cache import --id ID -`,
  });
}

/** Names that mean deleted files are of a layer, not of a cache. */
function requireNoMarkers(entries: readonly TarEntry[], name: string): void {
  const marker = entries.find(({ path }) => path.startsWith(whiteoutPrefix) || path.includes(`/${whiteoutPrefix}`));
  if (marker === undefined) return;
  throw new StoreError('ARCHIVE_INVALID', {
    message: `${name} holds ${quote(marker.path)}: it is a layer of an image, not the files of a cache`,
    hint: "give what 'tsbuild cache export' wrote, or a tar of a directory",
  });
}
