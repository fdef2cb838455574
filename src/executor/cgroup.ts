// A cgroup of its own for each step: it is what the step's cgroup namespace shows as '/', and what kills all of it at
// once. Limits are written into the same directory. Where nothing may be written, a step runs without one.
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { BuildError } from '../base/index.js';

export interface StepCgroup {
  /** Directories that the step's first process joins. */
  readonly dirs: readonly string[];
  /** Kills what is left and removes the directories. Idempotent. */
  remove(): void;
}

const prefix = 'tsbuild-';
let counter = 0;

/**
 * Makes a leaf below this process's own cgroup.
 *
 * @param wanted a path in the cgroup hierarchy to make it below instead
 * @throws BuildError CGROUP_PARENT where that is asked for and can't be had
 */
export function makeStepCgroup(wanted: string | null): StepCgroup {
  if (wanted !== null) return makeLeaf(requireParent(wanted));
  const parent = ownCgroup();
  try {
    return parent === null ? none : makeLeaf(parent);
  } catch {
    return none; // not delegated to us: the pid namespace still kills everything
  }
}

const none: StepCgroup = { dirs: [], remove: () => {} };

function makeLeaf(parent: string): StepCgroup {
  sweep(parent);
  const dir = join(parent, `${prefix}${process.pid}-${counter++}`);
  mkdirSync(dir);
  return { dirs: [dir], remove: () => removeCgroup(dir) };
}

function requireParent(wanted: string): string {
  const top = cgroupMount();
  try {
    if (top === null) throw new Error('this machine shows no cgroup v2 hierarchy');
    const dir = join(top, resolve('/', wanted)); // never above the hierarchy
    mkdirSync(dir, { recursive: true });
    accessSync(dir, constants.W_OK);
    return dir;
  } catch (error) {
    throw new BuildError('CGROUP_PARENT', {
      message: `steps can't be put below the cgroup ${wanted}: ${(error as Error).message}`,
      hint: 'give --cgroup-parent a path in the cgroup v2 hierarchy that you may write to, or leave it out',
      cause: error,
    });
  }
}

let own: string | null | undefined;

/** This process's directory in the cgroup v2 tree, null where there is none. */
function ownCgroup(): string | null {
  if (own === undefined) own = findOwnCgroup();
  return own;
}

/** @see cgroups(7), "/proc/[pid]/cgroup" */
function findOwnCgroup(): string | null {
  const path = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1];
  const top = cgroupMount();
  if (path === undefined || top === null) return null;
  const dir = join(top, path);
  return existsSync(dir) ? dir : null;
}

/** Where the cgroup v2 hierarchy is mounted. */
function cgroupMount(): string | null {
  const mount = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .find((fields) => fields[fields.indexOf('-') + 1] === 'cgroup2');
  return mount?.[4] ?? null;
}

const swept = new Set<string>();

/** Removes what a killed tsbuild left: directories whose process is gone. */
function sweep(parent: string): void {
  if (swept.has(parent)) return;
  swept.add(parent);
  for (const name of readdirSync(parent)) {
    const pid = new RegExp(`^${prefix}(\\d+)-\\d+$`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) removeCgroup(join(parent, name));
  }
}

function removeCgroup(dir: string): void {
  try {
    if (/^populated 1$/m.test(readFileSync(join(dir, 'cgroup.events'), 'utf8'))) {
      writeFileSync(join(dir, 'cgroup.kill'), '1');
    }
  } catch {
    return; // already gone, or another process swept it
  }
  for (let tries = 0; tries < 50 && !isRemoved(dir); tries++) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10); // killed processes are still leaving
  }
}

/** False while processes are still in it. */
function isRemoved(dir: string): boolean {
  try {
    rmdirSync(dir);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'EBUSY';
  }
}
