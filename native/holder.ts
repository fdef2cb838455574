// An ordinary user's user and mount namespace, held open by one launcher process; others join it.
import { type ChildProcess, spawn } from 'node:child_process';
import { SystemError } from './errors.js';
import { endProcess, launcherFile } from './launcher-pool.js';
import { helperPath, readIdMaps } from './subordinate-ids.js';

export interface Holder {
  /** Arguments that make a launcher join. */
  readonly join: readonly string[];
  close(): Promise<void>;
}

/**
 * Makes the namespace, with subordinate ids where the user has them.
 *
 * @throws SystemError USERNS_REFUSED where the kernel allows no user namespace, USERNS_IDS where the ids exist but can't be mapped
 */
export async function openHolder(): Promise<Holder> {
  const maps = readIdMaps();
  const child = spawn(launcherFile(), maps ? ['hold', maps.uids, maps.gids] : ['hold'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: '/',
    detached: true, // outlives a Ctrl-C at the terminal: what is unfinished is removed inside the namespace
    env: { PATH: helperPath }, // newuidmap is looked up
  });
  const complaint = await ready(child);
  if (complaint !== undefined) throw refusal(complaint, maps !== undefined);
  // Neither it nor its pipes may keep this process alive: it ends when our end of its input closes.
  child.unref();
  for (const stream of child.stdio) (stream as { unref?: () => void } | null)?.unref?.();
  return {
    join: [`--userns=/proc/${child.pid}/ns/user`],
    close: () => endProcess(child, child.stdin),
  };
}

/** Undefined once it is ready, or what it complained of. */
function ready(child: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const complaint: Buffer[] = [];
    child.stderr?.on('data', (chunk: Buffer) => complaint.push(chunk));
    child.stdout?.once('data', () => resolve(undefined));
    child.once('error', reject);
    child.once('close', (code) => resolve(Buffer.concat(complaint).toString().trim() || `exit code ${code}`));
  });
}

function refusal(complaint: string, mapped: boolean): SystemError {
  if (mapped && !complaint.includes('user namespace')) {
    return new SystemError('USERNS_IDS', {
      message: `the ids of /etc/subuid and /etc/subgid could not be mapped: ${complaint}`,
      hint: 'install the package uidmap (newuidmap and newgidmap must be setuid root), or correct these files',
    });
  }
  return new SystemError('USERNS_REFUSED', {
    message: `this machine does not let an ordinary user create a user namespace: ${complaint}`,
    hint: 'set the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone or kernel.apparmor_restrict_unprivileged_userns to allow it, or build as root',
  });
}
