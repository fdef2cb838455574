// One process executes a step, others that want the same wait for its result.
import { setTimeout as sleep } from 'node:timers/promises';
import { claimStep, type StepClaim } from '#store';
import type { WorkVertex } from '../solver/index.js';
import type { Job } from './job.js';

/** Shorter waits are not worth a line. */
const quietMs = 200;
const pauseMs = 20;

/** Waits, and says so, until no other build executes this step. @throws the reason of `signal` */
export async function claim({ io }: Job, vertex: WorkVertex, key: string, signal: AbortSignal): Promise<StepClaim> {
  const started = performance.now();
  for (let told = false; ; await sleep(pauseMs)) {
    signal.throwIfAborted();
    const claimed = await claimStep(io.store, key);
    if (claimed !== null) return claimed;
    if (told || performance.now() - started < quietMs) continue;
    told = true;
    const what = 'waits for the same step of another build';
    io.emit({ type: 'progress', vertex: vertex.id, what, done: 0, total: null });
  }
}
