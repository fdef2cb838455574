import type { ImageConfig, Platform, RunConfig } from '#store';
import { type BuildError, renderError } from '../../src/base/index.js';
import { parseBuildfile } from '../../src/buildfile/index.js';
import { type BaseImage, type BuildGraph, type PlanOptions, planBuild, requiredBases } from '../../src/graph/index.js';
import { parsePlatform } from '../../src/platform/index.js';

export const amd64: Platform = { os: 'linux', architecture: 'amd64' };
export const arm64: Platform = { os: 'linux', architecture: 'arm64' };

export interface Given {
  readonly args?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly contexts?: Readonly<Record<string, 'directory' | { readonly image: string }>>;
  readonly target?: string;
  readonly platform?: Platform;
  /** Configs of images by the name that the Buildfile uses; others have an empty one. */
  readonly images?: Readonly<Record<string, RunConfig & { readonly author?: string }>>;
}

export function optionsOf(given: Given): PlanOptions {
  return {
    target: given.target,
    buildArgs: new Map(Object.entries(given.args ?? {})),
    labels: new Map(Object.entries(given.labels ?? {})),
    platform: given.platform ?? amd64,
    buildPlatform: amd64,
    contexts: new Map(
      Object.entries(given.contexts ?? {}).map(([name, context]) => [
        name,
        context === 'directory' ? { kind: 'directory' } : { kind: 'image', ref: context.image },
      ]),
    ),
    parsePlatform,
  };
}

/** Plans as the builder does: bases are fetched until nothing new is asked for. */
export function plan(text: string, given: Given = {}): BuildGraph & { readonly fetched: readonly string[] } {
  const file = parseBuildfile({ name: 'Buildfile', text });
  const options = optionsOf(given);
  const bases = new Map<string, BaseImage>();
  for (;;) {
    const missing = requiredBases(file, options, bases);
    if (missing.length === 0) break;
    for (const { key, ref, platform } of missing) {
      if (bases.has(key)) throw new Error(`${key} was asked for twice`);
      const { author, ...config } = given.images?.[ref] ?? {};
      const image: ImageConfig = {
        ...platform,
        ...(author && { author }),
        config,
        rootfs: { type: 'layers', diff_ids: [] },
      };
      bases.set(key, { ref, digest: `sha256:${'0'.repeat(64)}`, config: image, platform });
    }
  }
  return { ...planBuild(file, options, bases), fetched: [...bases.keys()] };
}

/** The error as a user reads it. */
export function refusal(text: string, given: Given = {}): string {
  try {
    plan(text, given);
  } catch (error) {
    return renderError(error as BuildError);
  }
  throw new Error('this was planned');
}
