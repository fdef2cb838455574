// What a store is, for people who look after one.
import { filesystemOf } from './filesystem.js';
import { formatVersion } from './format-file.js';
import type { Store } from './handle.js';
import { schemaVersion } from './schema.js';

export interface StoreInfo {
  readonly dir: string;
  readonly format: number;
  /** Of the tables in its database. */
  readonly schema: number;
  readonly filesystem: string;
  readonly readOnly: boolean;
  /** Whether this kernel mounts layers where they lie; null where nobody tried since it started. */
  readonly mountsIndexes: boolean | null;
}

export function describeStore({ dir, database, readOnly }: Store): StoreInfo {
  const fact = database.fact('mounts index');
  return {
    dir,
    format: formatVersion,
    schema: schemaVersion,
    filesystem: filesystemOf(dir),
    readOnly,
    mountsIndexes: fact === null ? null : fact === 'yes',
  };
}
