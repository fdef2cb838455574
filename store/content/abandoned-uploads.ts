// What clients of `serve` began to send and never finished. A server gives them up itself; these are of stores that no server
// has looked after since.
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { trashDir, uploadsDir } from './paths.js';

const abandonedMs = 30 * 86_400_000;

/** Moves uploads to the trash that nothing was added to for a month. */
export function sweepUploads(dir: string): void {
  if (!existsSync(uploadsDir(dir))) return;
  const before = Date.now() - abandonedMs;
  for (const id of readdirSync(uploadsDir(dir))) {
    const upload = join(uploadsDir(dir), id);
    const stat =
      statSync(join(upload, 'data'), { throwIfNoEntry: false }) ?? statSync(upload, { throwIfNoEntry: false });
    if (stat !== undefined && stat.mtimeMs < before) renameSync(upload, join(trashDir(dir), randomUUID()));
  }
}
