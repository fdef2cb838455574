import type { Span } from '../base/index.js';
import type { Buildfile, FromInstruction, Instruction } from '../buildfile/index.js';
import type { PlanOptions, PlanStep } from '../graph/index.js';
import type { RuleName } from './rules.js';

/** One violation of a rule. */
export interface Finding {
  readonly rule: RuleName;
  readonly message: string;
  /** What is wrong, for the caret. */
  readonly at: Span;
  /** The whole of the instruction that it is in. */
  readonly of: Span;
  readonly hint: string;
}

export type AnyInstruction = Instruction | FromInstruction;

/** A finding before it is known whether its rule is asked there. */
export type Found = Omit<Finding, 'of'> & {
  /** Comments above it may skip rules; null: none can. */
  readonly instruction: AnyInstruction | null;
};

/** What rules about a whole file look at. */
export interface Subject {
  readonly file: Buildfile;
  readonly options: PlanOptions;
  /** What FROM may use. */
  readonly globals: ReadonlyMap<string, string>;
}

/** A rule about a whole file. */
export type FileRule = (subject: Subject) => Iterable<Found>;

/** A rule about one instruction of a stage that is built. */
export type StepRule = (step: PlanStep, subject: Subject) => Iterable<Found>;

/** Triggers of an image stand in no file of the author's: what they do wrong is told at the FROM that brings them. */
export function placeOf({ onbuild, parent, stage }: PlanStep, at: Span): Span {
  return onbuild && parent === null ? stage.from.base.at : at;
}

/** The keyword as it is written: 'Copy'. */
export function written({ source, keyword }: AnyInstruction): string {
  return source.slice(0, keyword.length);
}
