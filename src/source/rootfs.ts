// A root file system that someone else made, as a directory or a tar → an image.
import { createReadStream, statSync } from 'node:fs';
import { walkTree } from '#native';
import {
  commitDraft,
  importLayer,
  type Layer,
  type Lease,
  overlayToDrafts,
  type Platform,
  putImage,
  type RunConfig,
  type Store,
  type StoredImage,
  StoreError,
  scanTar,
} from '#store';
import { BuildError, type Span } from '../base/index.js';
import { filesPlatform, formatPlatform, recordLayer, requireHonestPlatform } from '../platform/index.js';
import { baseConfig } from './base-config.js';

export interface RootfsOptions {
  /** Found from the programs in it unless given. */
  readonly platform?: Platform | undefined;
  /** Over the defaults: PATH, and /bin/sh as command. */
  readonly config?: RunConfig | undefined;
  readonly at?: Span | undefined;
}

/**
 * @param source a directory, a tar (plain or compressed), or '-' for a tar on standard input
 * @throws BuildError ROOTFS_NOT_FOUND, ROOTFS_PLATFORM_UNKNOWN, ROOTFS_PLATFORM_MIXED; ARCH_CONFIG_LIES if `platform` is not what
 *   the programs are for; StoreError TAR_*, LAYER_*
 */
export async function importRootfs(
  store: Store,
  lease: Lease,
  source: string,
  options: RootfsOptions = {},
): Promise<StoredImage> {
  const layer = await importFiles(store, lease, source, options);
  const platform = options.platform ?? programsPlatform(layer, source, options.at);
  const config = baseConfig({
    layer,
    platform,
    createdBy: 'import of a root file system',
    createdSec: newestFileSec(layer),
    config: { Cmd: ['/bin/sh'], ...options.config },
  });
  requireHonestPlatform({ config, layers: [layer] }, source, options.at);
  return putImage(store, lease, { config });
}

/** Time of the newest file in a layer. */
export function newestFileSec(layer: Layer): number {
  const times = scanTar(layer.tarPath).flatMap(({ type, mtimeSec }) => (type === 'file' ? [mtimeSec] : []));
  return times.reduce((a, b) => Math.max(a, b), 0);
}

async function importFiles(store: Store, lease: Lease, source: string, options: RootfsOptions): Promise<Layer> {
  if (source === '-') return named('standard input', importLayer(store, lease, process.stdin));
  const stat = statSync(source, { throwIfNoEntry: false });
  if (stat === undefined) {
    throw new BuildError('ROOTFS_NOT_FOUND', {
      message: `there is no ${source}`,
      hint: 'name a directory or a tar with a root file system',
      at: options.at,
    });
  }
  if (!stat.isDirectory())
    return named(source, importLayer(store, lease, createReadStream(source, { highWaterMark: 1 << 20 })));
  const stats = await walkTree(source, { xattrs: true });
  const drafts = overlayToDrafts(stats.map(asRoots), source);
  const { layer, heads } = await commitDraft(store, lease, drafts);
  recordLayer(layer, heads);
  return layer;
}

/** What is wrong with a tar is said with its name. */
async function named(source: string, importing: Promise<Layer>): Promise<Layer> {
  try {
    return await importing;
  } catch (error) {
    if (!(error instanceof StoreError) || !/^(TAR|LAYER)_/.test(error.code)) throw error;
    throw new StoreError(error.code, { message: `${source}: ${error.message}`, hint: error.hint, cause: error });
  }
}

/** Who unpacks a root file system without privileges owns all of it; in the image that is root. */
function asRoots<T extends { readonly uid: number; readonly gid: number }>(stat: T): T {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  if (uid === 0) return stat;
  return { ...stat, uid: stat.uid === uid ? 0 : stat.uid, gid: stat.gid === gid ? 0 : stat.gid };
}

/** At least this share of the programs must agree. */
const clearMajority = 0.75;

function programsPlatform(layer: Layer, source: string, at: Span | undefined): Platform {
  const found = filesPlatform([recordLayer(layer)]);
  if (found === null) {
    throw new BuildError('ROOTFS_PLATFORM_UNKNOWN', {
      message: `${source} has no programs that tell its platform`,
      hint: 'say it with --platform, such as linux/amd64',
      at,
    });
  }
  const { example, share, ...platform } = found;
  if (share >= clearMajority) return platform;
  throw new BuildError('ROOTFS_PLATFORM_MIXED', {
    message: `${source} mixes programs of several platforms; ${Math.round(share * 100)} % are for ${formatPlatform(platform)} (such as ${example})`,
    hint: 'say which it is with --platform',
    at,
  });
}
