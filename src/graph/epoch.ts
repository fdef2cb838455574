// SOURCE_DATE_EPOCH: the time that an image says it is from, given as a build argument or as a global ARG's default.
import type { Span } from '../base/index.js';
import type { Buildfile } from '../buildfile/index.js';
import type { PlanOptions } from './options.js';
import { globalVariables } from './variables.js';

const epochName = 'SOURCE_DATE_EPOCH';

/** What was asked for, before anyone looked at a context; null: nothing. */
export interface AskedEpoch {
  readonly text: string;
  /** The ARG's default, where that says it. */
  readonly at: Span | undefined;
}

/** @throws BuildError VARIABLE_INVALID, VARIABLE_REQUIRED */
export function askedEpoch(file: Buildfile, options: PlanOptions): AskedEpoch | null {
  const given = options.buildArgs.get(epochName);
  const text = given ?? globalVariables(file, options).get(epochName) ?? '';
  if (text === '') return null;
  if (given !== undefined) return { text, at: undefined };
  const declared = file.globalArgs.flatMap(({ args }) => args).findLast(({ name }) => name === epochName);
  return { text, at: declared?.value?.at };
}

/** The options with the time in place of what was asked for; null: none, so that nothing of the name is left. */
export function withEpoch(options: PlanOptions, epochSec: number | null): PlanOptions {
  const buildArgs = new Map(options.buildArgs);
  if (epochSec === null) buildArgs.delete(epochName);
  else if (buildArgs.has(epochName)) buildArgs.set(epochName, String(epochSec));
  return { ...options, buildArgs, epochSec };
}
