import type { StepEntry } from './types.js';

/**
 * Which step of a former build each step was: by stage, there by what the instruction says, and else by where it stands
 * between others. Null for those that there was nothing like. Linear in the number of steps.
 */
export function alignSteps(former: readonly StepEntry[], now: readonly StepEntry[]): (number | null)[] {
  const aligned: (number | null)[] = now.map(() => null);
  const before = byStage(former);
  const after = byStage(now);
  for (const [stage, formerStage] of pairStages(before, after, former, now)) {
    alignStage(former, before.get(formerStage)!, now, after.get(stage)!, aligned);
  }
  return aligned;
}

/** 'RUN make' of '[build 2/5] ONBUILD RUN make'. */
export function instructionOf({ name }: StepEntry): string {
  return name.replace(/^\[[^\]]*\] (ONBUILD )?/, '');
}

function byStage(steps: readonly StepEntry[]): Map<string, number[]> {
  const stages = new Map<string, number[]>();
  steps.forEach(({ stage }, i) => {
    const known = stages.get(stage);
    if (known) known.push(i);
    else stages.set(stage, [i]);
  });
  return stages;
}

/** By name; one that was renamed by the first instruction that it shares with one that is gone. */
function pairStages(
  before: ReadonlyMap<string, readonly number[]>,
  after: ReadonlyMap<string, readonly number[]>,
  former: readonly StepEntry[],
  now: readonly StepEntry[],
): [stage: string, formerStage: string][] {
  const pairs: [string, string][] = [...after.keys()]
    .filter((stage) => before.has(stage))
    .map((stage) => [stage, stage]);
  const gone = new Map<string, string>();
  for (const [stage, steps] of before) {
    if (after.has(stage)) continue;
    for (const step of steps) if (former[step]!.kind !== 'base') gone.set(instructionOf(former[step]!), stage);
  }
  const taken = new Set<string>();
  for (const [stage, steps] of after) {
    if (before.has(stage)) continue;
    const found = steps.map((step) => gone.get(instructionOf(now[step]!))).find((each) => each && !taken.has(each));
    if (found === undefined) continue;
    taken.add(found);
    pairs.push([stage, found]);
  }
  return pairs;
}

function alignStage(
  former: readonly StepEntry[],
  before: readonly number[],
  now: readonly StepEntry[],
  after: readonly number[],
  aligned: (number | null)[],
): void {
  const places = new Map<string, number[]>();
  for (const step of before) {
    const text = instructionOf(former[step]!);
    const known = places.get(text);
    if (known) known.push(step);
    else places.set(text, [step]);
  }
  const taken = new Set<number>();
  const take = (step: number, was: number): void => {
    aligned[step] = was;
    taken.add(was);
  };
  for (const step of after) {
    const was = places.get(instructionOf(now[step]!))?.shift();
    if (was !== undefined) take(step, was);
  }
  const placeOf = new Map(before.map((step, place) => [step, place]));
  // What changed its text stands where it stood: behind what it stood behind, or else before what it stood before.
  after.forEach((step, i) => {
    if (aligned[step] !== null) return;
    const previous = i === 0 ? -1 : (placeOf.get(aligned[after[i - 1]!] ?? -1) ?? -1);
    const next = i === after.length - 1 ? before.length : (placeOf.get(aligned[after[i + 1]!] ?? -1) ?? -1);
    const isFree = (was: number | undefined): was is number =>
      was !== undefined && !taken.has(was) && former[was]!.kind === now[step]!.kind;
    const candidates = [
      ...(i === 0 || previous >= 0 ? [before[previous + 1]] : []),
      ...(next > 0 ? [before[next - 1]] : []),
    ];
    const was = candidates.find(isFree);
    if (was !== undefined) take(step, was);
  });
}
