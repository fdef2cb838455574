// The images that a build stands on, fetched before it is planned: their configs decide what instructions mean.
import type { Lease, StoredImage } from '#store';
import type { Buildfile } from '../buildfile/index.js';
import { type BaseImage, type PlanOptions, requiredBases } from '../graph/index.js';
import { requireHonestPlatform, requirePlatform } from '../platform/index.js';
import { resolveBase } from '../source/index.js';
import type { BuildIo, BuildRequest } from './request.js';

/** A base as the plan and the solver need it. */
export interface LoadedBase extends BaseImage {
  readonly image: StoredImage;
}

/**
 * Fetches every base that the target needs. ONBUILD instructions of a base may ask for more, so this goes on until the
 * plan asks for nothing new.
 *
 * @throws BuildError ARCH_MISMATCH, ARCH_CONFIG_LIES, BASE_NOT_FOUND
 */
export async function loadBases(
  file: Buildfile,
  options: PlanOptions,
  { request, io, lease }: { request: BuildRequest; io: BuildIo; lease: Lease },
): Promise<ReadonlyMap<string, LoadedBase>> {
  const bases = new Map<string, LoadedBase>();
  for (;;) {
    const missing = requiredBases(file, options, bases).filter(({ key }) => !bases.has(key));
    if (missing.length === 0) return bases;
    const loaded = await Promise.all(
      missing.map(async ({ key, ref, platform, at }) => {
        const image = await resolveBase(io.store, lease, ref, {
          platform,
          pull: request.pull,
          plainHttp: request.plainHttp,
          at,
          searchPath: request.searchPath,
          onProgress: (progress) => io.emit({ type: 'base-progress', ref, ...progress }),
        });
        requirePlatform({ ref, platform: image.config, at }, platform);
        requireHonestPlatform(image, ref, at);
        return [key, { ref, digest: image.digest, config: image.config, platform, image }] as const;
      }),
    );
    for (const [key, base] of loaded) bases.set(key, base);
  }
}
