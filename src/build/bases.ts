// The images that a build stands on, fetched before it is planned: their configs decide what instructions mean.
import { familiarName, type Lease, listTags, type StoredImage } from '#store';
import { BuildError, closest, lineAndColumn } from '../base/index.js';
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
        }).catch((error: unknown) => {
          throw withNearest(error, ref, file, io);
        });
        requirePlatform({ ref, platform: image.config, at }, platform);
        requireHonestPlatform(image, ref, at);
        return [key, { ref, digest: image.digest, config: image.config, platform, image }] as const;
      }),
    );
    for (const [key, base] of loaded) bases.set(key, base);
  }
}

/** A base that is nowhere is often a slip of a stage's name, or of a name in the store. */
function withNearest(error: unknown, ref: string, file: Buildfile, io: BuildIo): unknown {
  if (!(error instanceof BuildError) || error.code !== 'BASE_NOT_FOUND') return error;
  const hint = nearest(ref, file, io);
  return hint === undefined ? error : new BuildError(error.code, { ...error, message: error.message, hint });
}

function nearest(ref: string, file: Buildfile, io: BuildIo): string | undefined {
  const later = file.stages.find((stage) => stage.from.name === ref.toLowerCase());
  if (later !== undefined) {
    const { line } = lineAndColumn(later.from.at.file, later.from.at.start);
    const where = later.from.at.file === file.file ? `line ${line}` : `${later.from.at.file.name}:${line}`;
    return `the stage ${ref} begins later, at ${where}: move it above this one`;
  }
  const stage = closest(
    ref,
    file.stages.flatMap(({ from }) => from.name ?? []),
  );
  if (stage !== undefined) return `did you mean the stage ${stage}?`;
  const image = closest(
    ref,
    listTags(io.store).map((tag) => familiarName(tag.reference)),
  );
  return image === undefined ? undefined : `did you mean ${image}, which is in the store?`;
}
