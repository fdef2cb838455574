// Why a step was not cached: what it was the last time, and what of it differs. Pure over what is known of former builds.

import type { KeyChange } from '../base/index.js';
import { instructionOf } from './align.js';
import { type ComparedStep, compareSteps, standsOnOther } from './compare.js';
import { miss, Pairing } from './pairing.js';
import type { FormerBuild, KnownStep, Miss, StepEntry } from './types.js';
import { changesText, shortened } from './words.js';

/** Former builds, nearest first, and what is known of their steps. */
export interface History {
  readonly builds: readonly FormerBuild[];
  /** Null if it is no longer known. */
  step(key: string): KnownStep | null;
  /** True if the store still has a result of this key, though it may not be used. */
  hasResult(key: string): boolean;
}

/** Of many differing files so many are told one by one. */
const maxChanges = 40;
/** Builds that are compared with: among many it is hardly ever an older one that is nearer. */
const maxBuilds = 6;

export interface Explainer {
  /** Why step `number` has to be executed, whose key is made of what is `known`. What stands below it is settled. */
  miss(number: number, known: KnownStep): Miss;
  /** True for a step that was explained, and made of other things what it had made before. */
  hadSameResult(number: number): boolean;
}

/** @param steps the build so far; what is learned of a step is written into it as the build goes on */
export function openExplainer(steps: readonly StepEntry[], history: History): Explainer {
  const pairings = history.builds.map((build) => new Pairing(steps, build));
  const keys = sameKeys(history.builds);
  return {
    miss(number, known) {
      const step = steps[number]!;
      const made = { ...step, ...known };
      if (history.builds.length === 0) return miss('first-build', 'nothing like it was built before');
      const same = step.key === null ? undefined : keys.get(step.key);
      if (same) return sameKey(same, history.hasResult(step.key!));
      const nearest = findNearest(number, made, pairings.slice(0, maxBuilds), history);
      if (nearest === null) return miss('new-step', 'this step is new');
      const { pairing, changes } = nearest;
      const former = { build: pairing.build.id, step: pairing.was(number)! };
      if (changes.length === 0) return { ...pairing.follows(number), former };
      return {
        ...miss('changed', `${subject(step)}${changesText(changes)}`, former),
        changes: changes.slice(0, maxChanges),
        moreChanges: Math.max(0, changes.length - maxChanges),
        cause: step.from.find((source) => pairing.isOther(source)) ?? null,
        hint: laterHint(made, changes),
      };
    },
    hadSameResult(number) {
      const former = steps[number]!.miss?.former;
      if (!former) return false;
      const build = history.builds.find(({ id }) => id === former.build);
      return build?.entry.steps[former.step]?.stack === steps[number]!.stack;
    },
  };
}

/** Executed because a person said so. */
export function explainFresh(option: 'no-cache' | 'no-cache-filter'): Miss {
  return miss(option, `--${option}`);
}

interface Same {
  readonly build: FormerBuild;
  readonly number: number;
  readonly outcomes: Set<StepEntry['outcome']>;
}

/** By key: the newest step that had it, and how all of them ended. */
function sameKeys(builds: readonly FormerBuild[]): Map<string, Same> {
  const known = new Map<string, Same>();
  for (const build of [...builds].sort((a, b) => b.startedMs - a.startedMs)) {
    build.entry.steps.forEach(({ key, outcome }, number) => {
      if (key === null) return;
      const same = known.get(key) ?? { build, number, outcomes: new Set() };
      same.outcomes.add(outcome);
      known.set(key, same);
    });
  }
  return known;
}

function sameKey({ build, number, outcomes }: Same, hasResult: boolean): Miss {
  const former = { build: build.id, step: number };
  if (outcomes.has('executed') || outcomes.has('cached')) {
    if (hasResult) return miss('expired', 'its result is older than --cache-ttl allows', former);
    return miss('removed', 'its result is no longer in the store', former);
  }
  return outcomes.has('failed')
    ? miss('failed', 'it failed the last time', former)
    : miss('failed', 'it was not finished the last time', former);
}

interface Nearest {
  readonly pairing: Pairing;
  readonly changes: readonly KeyChange[];
}

/** The former step that least differs from; of equal ones the one of the nearer build. */
function findNearest(
  number: number,
  made: ComparedStep,
  pairings: readonly Pairing[],
  { step: find }: History,
): Nearest | null {
  let nearest: Nearest | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const pairing of pairings) {
    const was = pairing.was(number);
    const step = was === null ? null : pairing.build.entry.steps[was]!;
    const known = step === null || step.key === null ? null : find(step.key);
    if (known === null) continue;
    const changes = compareSteps({ ...step, ...known }, made);
    const distance = distanceOf(changes) + (standsOnOther(known, made) ? 1 : 0);
    if (distance >= least) continue;
    least = distance;
    nearest = { pairing, changes };
  }
  return nearest;
}

/** Many files are hardly more than one; another platform is far away. */
function distanceOf(changes: readonly KeyChange[]): number {
  const files = changes.filter(({ what }) => what === 'file').length;
  const others = changes.filter(({ what }) => what !== 'file');
  const far = others.filter(({ what }) => what === 'platform' || what === 'instruction').length;
  return others.length + far * 10 + Math.log2(1 + files);
}

/** 'COPY src: ' – what its files are said of. */
function subject(step: StepEntry): string {
  if (step.kind !== 'copy') return '';
  const [keyword = ''] = instructionOf(step).split(' ', 1);
  return `${keyword} ${shortened(step.says?.source ?? '', 40)}: `;
}

/** For steps that only an ARG keeps from the cache, which the command doesn't even name. */
function laterHint({ record }: KnownStep, changes: readonly KeyChange[]): string | null {
  if (record.does.kind !== 'run' || changes.some(({ what }) => what !== 'arg')) return null;
  const text = [...record.does.args, record.does.script ?? ''].join('\n');
  const unused = changes.map(({ name = '' }) => name).filter((name) => !new RegExp(`\\b${name}\\b`).test(text));
  if (unused.length < changes.length) return null;
  const args = unused.map((name) => `ARG ${name}`).join(' and ');
  return `every RUN after ${args} has it in its environment; if the command doesn't need it, declare it further down`;
}
