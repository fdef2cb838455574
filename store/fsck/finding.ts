// What a check of a store found, as data.
import type { Store } from '../content/handle.js';
import type { Lease } from '../types.js';
import type { DiffId, Digest } from '../words.js';

/** What is wrong with an object. */
export type FindingCode =
  | 'DAMAGED' // its bytes are not what they should be
  | 'UNREADABLE' // the disk gives them no more
  | 'MISSING' // something refers to it
  | 'INCOMPLETE' // something it consists of is missing
  | 'OUTDATED' // older than what it should tell of
  | 'ORPHANED' // nothing knows of it
  | 'UNFINISHED' // whoever was at it is gone
  | 'STRAY'; // no part of a store

export type ObjectKind =
  | 'store'
  | 'directory'
  | 'database'
  | 'layer'
  | 'index'
  | 'record'
  | 'tree'
  | 'blob'
  | 'image'
  | 'tag'
  | 'lease'
  | 'flush list'
  | 'trash'
  | 'cache mount'
  | 'download'
  | 'git cache'
  | 'file list'
  | 'file';

export interface Finding {
  /** A leftover is what a killed process may leave: it harms nothing. Anything else is a problem. */
  readonly severity: 'problem' | 'leftover';
  readonly code: FindingCode;
  readonly kind: ObjectKind;
  /** Its digest or name. */
  readonly object: string;
  /** In the store's directory. */
  readonly path: string;
  readonly message: string;
  /** References of the tags that can't do without it. */
  readonly neededBy: readonly string[];
  /** What can be done. */
  readonly remedy: string;
  /** What was done; null where nothing was tried. */
  readonly outcome: Outcome | null;
}

export interface Outcome {
  /** 'quarantined': out of the way, and nothing that a tag needs is lost with it. */
  readonly result: 'repaired' | 'quarantined' | 'failed';
  readonly message: string;
}

/** A finding, and how it is mended where it can be. */
export interface Problem extends Omit<Finding, 'outcome'> {
  /** Says that it failed, where it can't be mended. */
  readonly repair?: ((tools: RepairTools) => Outcome | Promise<Outcome>) | undefined;
}

export interface RepairTools {
  /** What is made anew is made in it. */
  readonly lease: Lease;
  /** Null where no registry may be asked. */
  readonly fetch: FetchAgain | null;
}

/** Brings back what tags need from where they came: true, or why not. */
export interface FetchAgain {
  layer(store: Store, lease: Lease, diffId: DiffId, references: readonly string[]): Promise<true | string>;
  document(store: Store, lease: Lease, digest: Digest, references: readonly string[]): Promise<true | string>;
}

export function repaired(message: string): Outcome {
  return { result: 'repaired', message };
}

export function quarantined(message: string): Outcome {
  return { result: 'quarantined', message };
}

export function failed(message: string): Outcome {
  return { result: 'failed', message };
}
