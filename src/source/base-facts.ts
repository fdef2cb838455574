// What can be told of a base without fetching it: for checks, which execute nothing and store nothing.
import { formatReference, type ImageConfig, parseReference, readRemoteConfig, type Store } from '#store';
import { defaultPath } from './base-config.js';
import type { BaseOptions } from './base-options.js';
import { findStored } from './registry-base.js';
import { splitScheme } from './resolve-base.js';

/**
 * The config of the image that `resolveBase` would bring; null if it would have to bring it to tell.
 *
 * @throws StoreError REGISTRY_* where only a registry could tell, and doesn't
 */
export async function baseConfigOf(
  store: Store,
  ref: string,
  { platform, plainHttp }: Pick<BaseOptions, 'platform' | 'plainHttp'>,
): Promise<ImageConfig | null> {
  const { scheme, path } = splitScheme(ref);
  if (scheme === 'host') return hostConfig(platform);
  if (scheme !== '' && scheme !== 'docker-image') return null;
  const name = formatReference(parseReference(scheme === '' ? ref : path));
  const stored = await findStored(store, name, platform);
  return stored?.config ?? (await readRemoteConfig(name, { platform, plainHttp })).config;
}

/** Of `host://`, whatever the programs. */
function hostConfig(platform: BaseOptions['platform']): ImageConfig {
  return {
    ...platform,
    config: { Env: [`PATH=${defaultPath}`] },
    rootfs: { type: 'layers', diff_ids: [] },
    history: [],
  };
}
