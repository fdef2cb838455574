// mkdir -p. Node's own never ends below a directory that is there and lets nothing be made in it, as /proc.
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { hasCode } from './faults.js';

/** Makes a directory, and those above it that are missing. @throws what mkdir(2) says */
export function makePath(path: string, mode = 0o777): void {
  if (isDirectory(path)) return;
  if (dirname(path) !== path) makePath(dirname(path), mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (!hasCode(error, 'EEXIST') || !isDirectory(path)) throw error; // another process may have been faster
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
