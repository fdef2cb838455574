// A store of an earlier version becomes one of this: alone, in one transaction, with a copy of the database as it was beside it.
//
// Killed anywhere, the database is of the one version or the other. Programs of the earlier version that have it open go
// on: a migration within one format only adds tables; any other change raises the version in format.json. To go back, put
// the copy in the place of meta.db when nobody uses the store (FORMAT.md).
import { readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from './database.js';
import { hasCode } from './faults.js';
import type { StoreOptions } from './handle.js';
import { whileLocked } from './lease.js';
import * as paths from './paths.js';
import { schemaVersion } from './schema.js';

const keptMs = 30 * 86_400_000;

/** @throws StoreError STORE_FULL */
export async function migrateStore(root: string, database: Database, options: StoreOptions = {}): Promise<void> {
  if (database.version() >= schemaVersion) return;
  await whileLocked(root, 'exclusive', () => {
    const version = database.version();
    if (version >= schemaVersion) return; // another process was faster
    backUp(database, paths.backupPath(root, version), options);
    database.migrate();
  });
}

function backUp(database: Database, path: string, { freeing }: StoreOptions): void {
  const unfinished = `${path}.new`;
  rmSync(unfinished, { force: true });
  try {
    database.copyTo(unfinished);
    renameSync(unfinished, path);
  } catch (error) {
    rmSync(unfinished, { force: true });
    // Whoever came to make room must be let in.
    if (freeing !== true || !hasCode(error, 'STORE_FULL')) throw error;
  }
}

/** Nobody goes back after a month. */
export function dropOldBackups(root: string): void {
  for (const name of readdirSync(root)) {
    const path = join(root, name);
    if (/^meta\.db\.v\d+$/.test(name) && Date.now() - statSync(path).mtimeMs > keptMs) rmSync(path, { force: true });
  }
}
