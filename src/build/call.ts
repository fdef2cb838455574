// --call: what can be said of a build without doing it. Nothing is executed, and nothing fetched but configs of bases.
import { type Digest, type ImageConfig, StoreError } from '#store';
import { BuildError, errorAt, type Span } from '../base/index.js';
import type { Buildfile } from '../buildfile/index.js';
import {
  type Finding,
  findingsAbove,
  type Outline,
  openChecks,
  openOutline,
  type Target,
  targetsOf,
} from '../checks/index.js';
import {
  allStages,
  type BaseImage,
  type BaseRequest,
  type NeededStages,
  neededStages,
  type PlanOptions,
  planBuild,
  rehearseStages,
} from '../graph/index.js';
import { baseConfigOf } from '../source/index.js';
import { parseRequested } from './fragments.js';
import { ignoreRules } from './plan-checked.js';
import { planOptions } from './plan-options.js';
import type { BuildIo, BuildRequest } from './request.js';

export interface CheckReport {
  readonly findings: readonly Finding[];
  /** What would refuse the build before its first step; null: nothing. */
  readonly error: BuildError | null;
}

type CallIo = Pick<BuildIo, 'store' | 'emit'>;

/** Checks every stage, or those that the target needs if one is named. */
export async function checkBuild(request: BuildRequest, io: CallIo): Promise<CheckReport> {
  const findings: Finding[] = [];
  try {
    await check(request, io, findings);
    return { findings, error: null };
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    return { findings, error };
  }
}

async function check(request: BuildRequest, io: CallIo, findings: Finding[]): Promise<void> {
  const file = parseTelling(request, findings);
  const options = planOptions(request);
  const isNarrowed = request.target !== undefined && request.target !== '';
  const stagesOf = isNarrowed ? neededStages : allStages;
  const unknownBases = new Set<string>();
  const checks = openChecks({ file, options, ignore: () => ignoreRules(request), unknownBases });
  for (const warning of checks.warnings) io.emit({ type: 'warning', ...warning });
  try {
    const bases = await lookUpBases((known) => stagesOf(file, options, known), request, io, unknownBases);
    checks.lookAtBases(stagesOf(file, options, bases), bases);
    const plan = isNarrowed ? planBuild : rehearseStages;
    plan(file, { ...options, watch: checks.watch }, bases);
  } finally {
    findings.push(...checks.findings());
  }
  checks.requireNone();
}

/** Of a file that can't be read to its end, `findings` gets what is found above that. @throws BuildError as parseBuildfile */
function parseTelling(request: BuildRequest, findings: Finding[]): Buildfile {
  try {
    return parseRequested(request);
  } catch (error) {
    if (error instanceof BuildError && error.at?.file === request.buildfile) {
      findings.push(...foundAbove(request, error.at.start));
    }
    throw error;
  }
}

function foundAbove(request: BuildRequest, end: number): Finding[] {
  const main = request.buildfile;
  const text = main.text.slice(0, main.text.lastIndexOf('\n', end - 1) + 1);
  try {
    const file = parseRequested({ ...request, buildfile: { ...main, text } });
    const within = (at: Span): Span => (at.file === file.file ? { ...at, file: main } : at);
    return findingsAbove(file, planOptions(request)).map((found) => ({
      ...found,
      at: within(found.at),
      of: within(found.of),
    }));
  } catch (error) {
    if (error instanceof BuildError) return []; // not even this can be read
    throw error;
  }
}

/** @throws BuildError as planBuild */
export async function outlineBuild(request: BuildRequest, io: CallIo): Promise<{ file: Buildfile; outline: Outline }> {
  const file = parseRequested(request);
  const options: PlanOptions = planOptions(request);
  const bases = await lookUpBases((known) => neededStages(file, options, known), request, io, new Set());
  const { watch, outline } = openOutline(file, options);
  planBuild(file, { ...options, watch }, bases);
  return { file, outline: outline(neededStages(file, options, bases)) };
}

/** @throws BuildError as parseBuildfile */
export function listTargets(request: BuildRequest): { file: Buildfile; targets: Target[] } {
  const file = parseRequested(request);
  return { file, targets: targetsOf(file) };
}

/** A base's triggers may name further images, so this goes on until nothing new is asked for. */
async function lookUpBases(
  stagesOf: (known: ReadonlyMap<string, BaseImage>) => NeededStages,
  request: BuildRequest,
  io: CallIo,
  unknown: Set<string>,
): Promise<ReadonlyMap<string, BaseImage>> {
  const bases = new Map<string, BaseImage>();
  for (;;) {
    const { missing } = stagesOf(bases);
    if (missing.length === 0) return bases;
    const configs = await Promise.all(missing.map((base) => lookUp(base, request, io)));
    for (const [i, config] of configs.entries()) {
      const base = missing[i]!;
      if (config === null) unknown.add(base.key);
      bases.set(base.key, config === null ? standIn(base) : { ...standIn(base), config });
    }
  }
}

/** Null where it can't be told now: whoever works without a network checks what can be checked. */
async function lookUp(base: BaseRequest, request: BuildRequest, io: CallIo): Promise<ImageConfig | null> {
  const { ref, platform, at } = base;
  const tell = (why: string): null => {
    io.emit({
      type: 'warning',
      code: 'BASE_UNKNOWN',
      message: `what stands on ${ref} was not checked for undefined variables: ${why}`,
      at,
      hint: 'pull it first, and the variables that it sets are known',
    });
    return null;
  };
  try {
    const config = await baseConfigOf(io.store, ref, { platform, plainHttp: request.plainHttp });
    return config ?? tell('it is read when the image is built');
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.code.startsWith('REGISTRY_') && error.code !== 'REGISTRY_NOT_FOUND') return tell(error.message);
    throw errorAt(error, at);
  }
}

/** An image of which nothing is known: enough to plan with, not to build on. */
function standIn({ ref, platform }: BaseRequest): BaseImage {
  const digest: Digest = `sha256:${'0'.repeat(64)}`;
  return { ref, digest, platform, config: { ...platform, rootfs: { type: 'layers', diff_ids: [] }, history: [] } };
}
