// Checks of a text, without a machine or a store.
import type { Digest, ImageConfig, Platform } from '#store';
import { ignoreMatcher } from '../../src/base/index.js';
import { parseBuildfile } from '../../src/buildfile/index.js';
import { type Finding, openChecks } from '../../src/checks/index.js';
import { allStages, type BaseImage, type PlanOptions, rehearseStages } from '../../src/graph/index.js';
import { parsePlatform } from '../../src/platform/index.js';

export interface Around {
  readonly buildArgs?: Readonly<Record<string, string>>;
  readonly ignoreFile?: string;
  /** Of the platform that is named by an image's name; all others are for this machine. */
  readonly platforms?: Readonly<Record<string, Platform>>;
}

const amd64: Platform = { os: 'linux', architecture: 'amd64' };

/** What every stage's checks find. Images have no config that is known. */
export function findingsOf(text: string, { buildArgs = {}, ignoreFile, platforms = {} }: Around = {}): Finding[] {
  const file = parseBuildfile({ name: 'Buildfile', text });
  const options: PlanOptions = {
    target: undefined,
    buildArgs: new Map(Object.entries(buildArgs)),
    labels: new Map(),
    platform: amd64,
    buildPlatform: amd64,
    contexts: new Map(),
    parsePlatform,
  };
  const bases = new Map<string, BaseImage>();
  const unknownBases = new Set<string>();
  const ignore = ignoreFile === undefined ? null : ignoreMatcher(ignoreFile);
  const checks = openChecks({ file, options, ignore: () => ignore, unknownBases });
  for (const { key, ref, platform } of allStages(file, options, bases).missing) {
    const digest: Digest = `sha256:${'0'.repeat(64)}`;
    const config: ImageConfig = {
      ...(platforms[ref] ?? platform),
      rootfs: { type: 'layers', diff_ids: [] },
      history: [],
    };
    bases.set(key, { ref, platform, digest, config });
    unknownBases.add(key);
  }
  checks.lookAtBases(allStages(file, options, bases), bases);
  rehearseStages(file, { ...options, watch: checks.watch }, bases);
  return checks.findings();
}
