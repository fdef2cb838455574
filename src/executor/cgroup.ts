// A cgroup of its own for each step: it is what the step's cgroup namespace shows as '/', and what kills all of it at
// once. Limits are written into the same directory. Where nothing may be written, a step runs without one.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface StepCgroup {
  /** Directories that the step's first process joins. */
  readonly dirs: readonly string[];
  /** Kills what is left and removes the directories. Idempotent. */
  remove(): void;
}

const prefix = 'tsbuild-';
let counter = 0;

/** Makes a leaf below this process's own cgroup. */
export function makeStepCgroup(): StepCgroup {
  const parent = ownCgroup();
  if (parent === null) return { dirs: [], remove: () => {} };
  sweep(parent);
  const dir = join(parent, `${prefix}${process.pid}-${counter++}`);
  try {
    mkdirSync(dir);
  } catch {
    return { dirs: [], remove: () => {} }; // not delegated to us: the pid namespace still kills everything
  }
  return { dirs: [dir], remove: () => removeCgroup(dir) };
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
  const mount = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .find((fields) => fields[fields.indexOf('-') + 1] === 'cgroup2');
  if (path === undefined || mount?.[4] === undefined) return null;
  const dir = join(mount[4], path);
  return existsSync(dir) ? dir : null;
}

let swept = false;

/** Removes what a killed tsbuild left: directories whose process is gone. */
function sweep(parent: string): void {
  if (swept) return;
  swept = true;
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
