// A step beside the one that it was compared with.
import { findBuilds, findStep, type Store } from '#store';
import type { KeyChange } from '../base/index.js';
import { type ComparedStep, type Component, compareSteps, componentsOf, type KnownStep } from '../explain/index.js';
import type { KnownBuild } from './why-build.js';

export interface Detail {
  /** What its key is made of; null when that is no longer known. */
  readonly components: readonly (Component & { readonly same: boolean | null })[] | null;
  /** All of them, files too. */
  readonly changes: readonly KeyChange[];
  /** The build that it was compared with; null for none, or none that is still known. */
  readonly former: { readonly build: KnownBuild; readonly step: number } | null;
}

export function detailOf(store: Store, build: KnownBuild, number: number): Detail {
  const made = compared(store, build, number);
  const former = formerOf(store, build, number);
  const before = former && compared(store, former.build, former.step);
  if (made === null) return { components: null, changes: [], former };
  const was = before && new Map(componentsOf(before).map(({ name, value }) => [name, value]));
  return {
    components: componentsOf(made).map((each) => ({ ...each, same: was && was.get(each.name) === each.value })),
    changes: before ? compareSteps(before, made) : [],
    former,
  };
}

function compared(store: Store, { record }: KnownBuild, number: number): ComparedStep | null {
  const step = record.steps[number]!;
  const known = step.key === null ? null : (findStep(store, step.key) as KnownStep | null);
  return known && { ...step, ...known };
}

function formerOf(store: Store, { record }: KnownBuild, number: number): Detail['former'] {
  const former = record.steps[number]!.miss?.former;
  const [build] = former ? (findBuilds(store, former.build) as KnownBuild[]) : [];
  return former && build ? { build, step: former.step } : null;
}
