// A real Debian root as a tar, made once by mmdebstrap and shared by all test files and runs of this machine.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const dir = join(tmpdir(), 'tsbuild-test-cache');
const tar = join(dir, 'debian-bookworm.tar');
const lock = join(dir, 'making');

/** Path of the tar; waits while another test process makes it. */
export function debianTar(): string {
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  while (!existsSync(tar)) {
    if (!takeLock()) {
      execFileSync('sleep', ['0.5']);
      continue;
    }
    try {
      execFileSync('mmdebstrap', ['--quiet', '--variant=minbase', 'bookworm', `${tar}.partial`], { stdio: 'inherit' });
      renameSync(`${tar}.partial`, tar);
    } finally {
      rmSync(lock, { recursive: true, force: true });
    }
  }
  return tar;
}

/** A lock directory; one that is minutes old was left by a killed run. */
function takeLock(): boolean {
  try {
    mkdirSync(lock);
    return true;
  } catch {
    const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > 180_000) rmSync(lock, { recursive: true, force: true });
    return false;
  }
}
