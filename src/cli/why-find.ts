// Which step a person means.
import { BuildError, closest } from '../base/index.js';
import { instructionOf, type StepEntry } from '../explain/index.js';
import type { KnownBuild } from './why-build.js';

/**
 * Numbers of the steps that `wanted` names: '5' or '#5', a stage, 'stage/3', or the start of an instruction.
 *
 * @throws BuildError STEP_NOT_FOUND
 */
export function findSteps({ record }: KnownBuild, wanted: string): number[] {
  const { steps } = record;
  const [, number] = /^#?(\d+)$/.exec(wanted) ?? [];
  if (number !== undefined && steps[Number(number) - 1]) return [Number(number) - 1];
  const found = numbersOf(steps, (step) => isNamed(step, wanted));
  if (found.length > 0) return found;
  throw notFound(steps, wanted);
}

function numbersOf(steps: readonly StepEntry[], matches: (step: StepEntry) => boolean): number[] {
  return steps.flatMap((step, number) => (matches(step) ? number : []));
}

function isNamed(step: StepEntry, wanted: string): boolean {
  const text = wanted.toLowerCase();
  const [, stage, place] = /^(.*)\/(\d+)$/.exec(text) ?? [];
  const stages = [step.stage, `stage-${step.stage}`];
  if (stage !== undefined && stages.includes(stage) && place === placeOf(step)) return true;
  return text !== '' && (stages.includes(text) || instructionOf(step).toLowerCase().startsWith(text));
}

/** '2' of '[build 2/5] RUN make'. */
function placeOf({ name }: StepEntry): string | undefined {
  return /^\[(?:.* )? *(\d+)\/\d+\]/.exec(name)?.[1];
}

function notFound(steps: readonly StepEntry[], wanted: string): BuildError {
  const stages = [...new Set(steps.map(({ stage }) => stage))].filter((stage) => !/^\d*$/.test(stage));
  const near = closest(wanted, [...stages, ...steps.map(instructionOf)]) ?? nearInstruction(steps, wanted);
  const range = steps.length === 1 ? 'the build has only #1' : `the build has #1 to #${steps.length}`;
  return new BuildError('STEP_NOT_FOUND', {
    message: `the build has no step ${wanted}`,
    hint: near === undefined ? `${range}; stages are ${stages.join(', ') || 'without names'}` : `did you mean ${near}?`,
  });
}

/** People type the first words: those are compared with as many of each instruction. */
function nearInstruction(steps: readonly StepEntry[], wanted: string): string | undefined {
  const starts = steps.map((step) => instructionOf(step).slice(0, wanted.length));
  const near = closest(wanted, starts);
  return near === undefined ? undefined : instructionOf(steps[starts.indexOf(near)]!);
}
