// A file without meaning that takes up a little room. On a full disk not even the database can be opened: then it is given
// up, so that garbage can be collected, and made again afterwards.
import { randomBytes } from 'node:crypto';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { hasCode } from './faults.js';
import { reservePath } from './paths.js';

const reserveBytes = 1 << 20;

/** Takes the room, if there is room. */
export function makeReserve(dir: string): void {
  if (existsSync(reservePath(dir))) return;
  try {
    writeFileSync(reservePath(dir), randomBytes(reserveBytes), { mode: 0o600 });
  } catch (error) {
    if (!hasCode(error, 'ENOSPC', 'EDQUOT')) throw error;
    rmSync(reservePath(dir), { force: true });
  }
}

/** Gives the room back; false if there is none to give. */
export function giveUpReserve(dir: string): boolean {
  const existed = existsSync(reservePath(dir));
  rmSync(reservePath(dir), { force: true });
  return existed;
}
