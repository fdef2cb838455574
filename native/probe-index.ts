import { execFile } from 'node:child_process';
import { launcherFile } from './launcher-pool.js';

/** Mounts a layer's index for a moment: false where the kernel has no file-backed EROFS or we are not root. */
export function probeIndex(index: string, tar: string): Promise<boolean> {
  return new Promise((resolve) => {
    execFile(launcherFile(), ['probe', index, tar], (error) => resolve(error === null));
  });
}
