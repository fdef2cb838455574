// A build beside a former one: which step was which, and where the results begin to differ.
import type { KeyChange } from '../base/index.js';
import { alignSteps, instructionOf } from './align.js';
import type { FormerBuild, Miss, StepEntry } from './types.js';
import { changesText, shortened } from './words.js';

export class Pairing {
  readonly build: FormerBuild;
  readonly #steps: readonly StepEntry[];
  #aligned: readonly (number | null)[] | null = null;
  /** For each step the first one from its base up to itself whose result is another one; null: none is. */
  readonly #firstOther = new Map<number, number | null>();

  constructor(steps: readonly StepEntry[], build: FormerBuild) {
    this.#steps = steps;
    this.build = build;
  }

  /** Which step of the former build `number` was. */
  was(number: number): number | null {
    this.#aligned ??= alignSteps(this.build.entry.steps, this.#steps);
    return this.#aligned[number] ?? null;
  }

  /** Its files, with those below it, are not what they were. */
  isOther(number: number): boolean {
    const was = this.was(number);
    return was === null || this.build.entry.steps[was]!.stack !== this.#steps[number]!.stack;
  }

  /** The first step below this one whose result is another one: all that stands above that follows from it. */
  follows(number: number): Miss {
    const steps = this.#steps;
    const first = this.#firstBelow(steps[number]!.parent);
    if (first === null) return this.#missesOne(number);
    const was = this.was(first);
    if (steps[first]!.kind === 'base') {
      const before = this.build.entry.steps[was ?? chainOf(this.build.entry.steps, this.was(number)!)[0] ?? -1];
      return { ...otherBase(steps[first]!, before), cause: first };
    }
    // It is as it was itself, when something that stood below it is gone.
    const deeper = steps[first]!.miss;
    if (deeper?.reason === 'follows') return { ...miss('follows', deeper.text), cause: deeper.cause };
    const how = was === null ? 'is new' : howChanged(steps[first]!);
    return { ...miss('follows', `${numbered(steps, first)} ${how}`), cause: first };
  }

  #firstBelow(number: number | null): number | null {
    const unknown: number[] = [];
    for (let at = number; at !== null && !this.#firstOther.has(at); at = this.#steps[at]!.parent) unknown.push(at);
    for (const each of unknown.reverse()) {
      const parent = this.#steps[each]!.parent;
      const below = parent === null ? null : (this.#firstOther.get(parent) ?? null);
      this.#firstOther.set(each, below ?? (this.#differs(each) ? each : null));
    }
    return number === null ? null : (this.#firstOther.get(number) ?? null);
  }

  #differs(number: number): boolean {
    const { kind, layer, stack } = this.#steps[number]!;
    const was = this.was(number);
    if (was === null) return kind === 'base' || layer !== null;
    const before = this.build.entry.steps[was]!;
    return kind === 'base' ? before.stack !== stack : before.layer !== layer;
  }

  /** Every step below is as it was: then there were others. */
  #missesOne(number: number): Miss {
    const former = this.build.entry.steps;
    const left = new Set(chainOf(this.#steps, number).map((each) => this.was(each)));
    const gone = chainOf(former, this.was(number)!).find((each) => former[each]!.layer && !left.has(each));
    if (gone === undefined) return miss('follows', 'the steps before it are in another order');
    return miss('follows', `${shortened(instructionOf(former[gone]!), 50)}, which stood before it, is gone`);
  }
}

/** A step's ancestors, from the base up. */
function chainOf(steps: readonly StepEntry[], number: number): number[] {
  const chain: number[] = [];
  for (let at = steps[number]?.parent ?? null; at !== null; at = steps[at]?.parent ?? null) chain.push(at);
  return chain.reverse();
}

function otherBase(now: StepEntry, before: StepEntry | undefined): Miss {
  const [ref, was] = [imageName(now), before ? imageName(before) : ''];
  const change: KeyChange =
    ref === was
      ? { what: 'base', name: ref, from: shortDigest(before?.image), to: shortDigest(now.image) }
      : { what: 'base', from: was, to: ref };
  return { ...miss('follows', changesText([change])), changes: [change] };
}

function imageName(step: StepEntry): string {
  return instructionOf(step).replace(/^FROM /, '');
}

function shortDigest(digest = 'scratch'): string {
  return digest.slice(0, 'sha256:'.length + 12);
}

function numbered(steps: readonly StepEntry[], number: number): string {
  return `#${number + 1} (${shortened(instructionOf(steps[number]!), 50)})`;
}

/** Executed anew with nothing changed, it made other files all the same: most often by their times. */
function howChanged({ miss: why }: StepEntry): string {
  switch (why?.reason) {
    case 'no-cache':
    case 'no-cache-filter':
      return `was executed anew (--${why.reason}), with another result`;
    case 'expired':
      return 'was too old for --cache-ttl, and was made anew';
    case 'removed':
      return 'was no longer in the store, and was made anew';
    default:
      return 'changed';
  }
}

export function miss(reason: Miss['reason'], text: string, former: Miss['former'] = null): Miss {
  return { reason, text, changes: [], moreChanges: 0, cause: null, hint: null, former };
}
