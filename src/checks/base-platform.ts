// InvalidBaseImagePlatform. A build refuses such a base; checks tell of it and go on.
import { formatPlatform, normalPlatform } from '#store';
import type { BaseImage, NeededStages } from '../graph/index.js';
import type { Found } from './finding.js';

export function* invalidBaseImagePlatform(
  { stages }: NeededStages,
  bases: ReadonlyMap<string, BaseImage>,
): Iterable<Found> {
  for (const { stage, base, platform } of stages.values()) {
    const image = base.kind === 'image' ? bases.get(base.request.key) : undefined;
    if (image === undefined) continue;
    const [expected, actual] = [normalPlatform(platform), normalPlatform(image.config)];
    if (expected.os === actual.os && expected.architecture === actual.architecture) continue;
    const [wanted, found] = [formatPlatform(expected), formatPlatform(actual)];
    yield {
      rule: 'InvalidBaseImagePlatform',
      message: `Base image ${image.ref} was pulled with platform "${found}", expected "${wanted}" for current build`,
      at: stage.from.base.at,
      instruction: stage.from,
      hint: `pull it for ${wanted}, or build with --platform ${found}; a build refuses it as it is`,
    };
  }
}
