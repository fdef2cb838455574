// Claims: which step a process is executing, so that others wait for its result instead of doing the same.
//
// A claim is tmp/step-<key>.lock, locked (flock) as long as the process executes the step. Released or left behind by a
// killed process, the file goes as those of leases do.
import { rmSync } from 'node:fs';
import { lockFile } from '#native';
import { withFaults } from './faults.js';
import type { Store } from './handle.js';
import { leaseLock } from './paths.js';

export interface StepClaim {
  release(): void;
}

/** Claims the step with this cache key; null while another process has it. @throws StoreError STORE_READ_ONLY, STORE_FULL */
export async function claimStep(store: Store, key: string): Promise<StepClaim | null> {
  store.requireWritable();
  const path = leaseLock(store.dir, `step-${key}`);
  const lock = await withFaults(store.dir, () => lockFile(path, 'exclusive', false));
  return (
    lock && {
      release: () => {
        rmSync(lock.path, { force: true });
        lock.close();
      },
    }
  );
}
