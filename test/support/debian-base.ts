// A real Debian root as a tar, made once by mmdebstrap and shared by all test files and runs of this machine.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const dir = join(tmpdir(), 'tsbuild-test-cache');
const tar = join(dir, 'debian-bookworm.tar');
const lock = join(dir, 'making');
/** As in Debian's own images, and seconds faster than merging /usr afterwards. */
const hooks = '/usr/share/mmdebstrap/hooks/maybe-merged-usr';
const mergedUsr = existsSync(hooks) ? [`--hook-dir=${hooks}`] : [];

/** Path of the tar; waits while another test process makes it. */
export function debianTar(): string {
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  while (!existsSync(tar)) {
    if (!takeLock()) {
      execFileSync('sleep', ['0.5']);
      continue;
    }
    try {
      const options = ['--quiet', '--variant=minbase', '--format=tar', ...mergedUsr];
      execFileSync('mmdebstrap', [...options, 'bookworm', `${tar}.partial`], { stdio: 'pipe' });
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
