// The config of an image that is made here of files instead of coming with one.
import type { DiffId, ImageConfig, Layer, Platform, RunConfig } from '#store';

export interface BaseDescription {
  readonly layer: Pick<Layer, 'diffId'>;
  readonly platform: Platform;
  /** How it came about, for the history: 'FROM host://sh,coreutils'. */
  readonly createdBy: string;
  /** Seconds since 1970; from the files, so that equal files give an equal image. */
  readonly createdSec: number;
  readonly config: RunConfig;
}

export function baseConfig({ layer, platform, createdBy, createdSec, config }: BaseDescription): ImageConfig {
  const created = new Date(createdSec * 1000).toISOString();
  const diffIds: DiffId[] = [layer.diffId];
  return {
    created,
    ...platform,
    config: { Env: [`PATH=${defaultPath}`], ...config },
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: [{ created, created_by: createdBy }],
  };
}

export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
