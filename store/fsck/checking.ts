// What the checks of one run share.
import type { Host } from '#native';
import type { Store } from '../content/handle.js';
import type { Layer } from '../types.js';
import type { Problem } from './finding.js';
import type { FileToRead } from './read-files.js';
import type { Snapshot } from './snapshot.js';

export interface Checking {
  readonly store: Store;
  readonly snapshot: Snapshot;
  /** True for what is to be read whole and held against its digest. */
  readsData(digest: string): boolean;
  /** Reads files of subordinate ids; null where nobody can. */
  host(): Promise<Host | null>;
  /** What machines.json of a layer should say; null where nobody knows. */
  readonly machines: ((layer: Layer) => unknown) | null;
  /** Files to read when everything else was looked at. */
  readonly reads: FileToRead[];
  add(problem: Problem): void;
}
