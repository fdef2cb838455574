// The answers of tsbuild why as JSON: fields are added freely, never renamed or removed within one version.
import type { Store } from '#store';
import type { StepEntry } from '../explain/index.js';
import type { KnownBuild } from './why-build.js';
import { detailOf } from './why-detail.js';

const version = 1;

export function overviewJson(build: KnownBuild): string {
  const steps = build.record.steps.map((step, number) => stepFields(step, number));
  return text({ v: version, build: buildFields(build), steps });
}

export function stepsJson(store: Store, build: KnownBuild, numbers: readonly number[]): string {
  const steps = numbers.map((number) => {
    const { components, changes, former } = detailOf(store, build, number);
    const made = components?.map(({ name, text: value, same }) => ({ name, value, same })) ?? null;
    const comparedWith = former && { build: former.build.id, step: former.step + 1 };
    return { ...stepFields(build.record.steps[number]!, number), comparedWith, components: made, changes };
  });
  return text({ v: version, build: buildFields(build), steps });
}

function buildFields({ id, startedMs, durationMs, outcome, image, record }: KnownBuild): object {
  const { buildfile, context, target, platform } = record;
  const started = new Date(startedMs).toISOString();
  return { id, started, durationMs, outcome, image, buildfile, context, target, platform };
}

/** Steps have the numbers that the progress gives them. */
function stepFields({ name, stage, outcome, durationMs, miss, unchanged }: StepEntry, number: number): object {
  const why = miss && {
    reason: miss.reason,
    text: miss.text,
    changes: miss.changes,
    moreChanges: miss.moreChanges,
    cause: miss.cause === null ? null : miss.cause + 1,
    hint: miss.hint,
  };
  return { step: number + 1, name, stage, outcome, durationMs, sameResult: unchanged === true, why: why ?? null };
}

function text(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
