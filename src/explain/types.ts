// What is kept of builds, and what is said about them. Plain data: it is stored as JSON.
import type { DiffId } from '#store';
import type { CacheMiss } from '../base/index.js';
import type { KeyParts } from '../solver/index.js';

/** What a step's key was made of and, if that is known, the files behind its inputs. @see file-list.ts */
export interface KnownStep {
  /** As it is kept: a value of a variable that sounds secret is replaced by its digest. */
  readonly record: KeyParts;
  readonly files: string | null;
}

/** What an instruction says besides what its key is made of: two that say it otherwise may have one key. */
export interface Sayings {
  /** Variables whose value is an ARG's, not an ENV's. */
  readonly argNames?: readonly string[];
  /** Source, destination and flags of a COPY or ADD: the reason why its files land where they do. */
  readonly says?: Readonly<Record<string, string>>;
}

/** A build as it is kept. */
export interface BuildEntry {
  readonly version: 1;
  readonly buildfile: string;
  readonly context: string;
  readonly target: string | null;
  readonly platform: string;
  /** By number of the vertex. */
  readonly steps: readonly StepEntry[];
}

/** One vertex of a build. */
export interface StepEntry extends Sayings {
  /** As the progress shows it. */
  readonly name: string;
  readonly kind: 'base' | 'run' | 'copy' | 'mkdir';
  /** Name of its stage, or its number. */
  readonly stage: string;
  readonly parent: number | null;
  /** Other steps whose files it reads. */
  readonly from: readonly number[];
  /** Of an image: its digest. */
  readonly image?: string;
  /** Null as long as it isn't known. */
  readonly key: string | null;
  /** What it added; null: nothing. Absent in a step that has no result. */
  readonly layer?: DiffId | null;
  /** Of all layers up to its own: equal for equal files. */
  readonly stack?: string;
  /** Null: it was never reached. */
  readonly outcome: 'cached' | 'executed' | 'failed' | 'canceled' | null;
  readonly durationMs: number;
  readonly miss?: Miss;
  /** Its result is what it was before. */
  readonly unchanged?: true;
}

/** A build that has ended. */
export interface FormerBuild {
  readonly id: string;
  readonly startedMs: number;
  readonly entry: BuildEntry;
}

/** Why a step was not cached. */
export interface Miss extends CacheMiss {
  /** The step it was compared with. */
  readonly former: { readonly build: string; readonly step: number } | null;
}
