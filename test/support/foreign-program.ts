// A real program for another machine: Debian's static busybox, fetched once and shared by all test runs of this machine.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findEmulator } from '../../src/platform/index.js';

export interface ForeignProgram {
  readonly path: string;
  /** As platforms spell it. */
  readonly architecture: string;
  /** As messages say it, and this machine's. */
  readonly machine: string;
  readonly hostMachine: string;
}

const names: Partial<Record<string, string>> = { x64: 'x86-64', arm64: 'arm64' };

/** Why there is none, in place of it: no archive in reach, or this machine emulates it. */
export function foreignProgram(): ForeignProgram | string {
  const hostMachine = names[process.arch];
  if (hostMachine === undefined) return `no foreign program is known for ${process.arch}`;
  const architecture = process.arch === 'arm64' ? 'amd64' : 'arm64';
  const machine = architecture === 'amd64' ? 'x86-64' : architecture;
  const path = join(tmpdir(), 'tsbuild-test-cache', `busybox-${architecture}`);
  if (!existsSync(path) && !fetchBusybox(architecture, path)) return 'no Debian archive can be reached';
  if (findEmulator(readFileSync(path)) !== undefined) return `this machine emulates ${architecture}`;
  return { path, architecture, machine, hostMachine };
}

function fetchBusybox(architecture: string, path: string): boolean {
  mkdirSync(join(path, '..'), { recursive: true, mode: 0o755 });
  const dir = mkdtempSync(`${path}-`);
  try {
    const options = ['--quiet', '--variant=extract', `--architectures=${architecture}`, '--include=busybox-static'];
    const made = spawnSync('mmdebstrap', [...options, 'bookworm', join(dir, 'root.tar')], { stdio: 'ignore' });
    if (made.status !== 0) return false;
    execFileSync('tar', ['-C', dir, '-xf', join(dir, 'root.tar'), './bin/busybox']);
    renameSync(join(dir, 'bin/busybox'), path); // whoever is second replaces it by the same
    return true;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
