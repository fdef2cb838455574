// One launcher process a step: the description goes in on descriptor 3, its status comes back on 4.
import type { Socket } from 'node:net';
import { SystemError } from './errors.js';
import type { HeldLayers } from './keeper.js';
import { launchError } from './launch-error.js';
import { decodeStatus } from './launch-status.js';
import type { Launcher, LauncherPool } from './launcher-pool.js';
import { encodeStep } from './step-spec.js';
import type { Interruption, StepExit, StepHandlers, StepSpec } from './types.js';

const GRACE_MS = 10_000;

/**
 * Runs one step to its end. When this returns, no process of the step is left.
 */
export async function launchStep(
  pool: LauncherPool,
  spec: StepSpec,
  handlers: StepHandlers,
  held?: HeldLayers,
): Promise<StepExit> {
  const description = encodeStep(spec, held);
  const launcher = pool.take(spec.stdin);
  launcher.stdout.on('data', handlers.onStdout);
  launcher.stderr.on('data', handlers.onStderr);
  const status: Buffer[] = [];
  launcher.status.on('data', (chunk: Buffer) => status.push(chunk));
  launcher.request.write(description);
  const stopWatching = endOnAbort(launcher, handlers.signal);
  try {
    await Promise.race([launcher.failure, ended(launcher)]);
    return readEnd(launcher, Buffer.concat(status));
  } finally {
    stopWatching();
    launcher.request.destroy();
    launcher.process.unref();
  }
}

/** All three end when the launcher does, however it ended; its exit status, which comes later, says nothing more. */
async function ended({ stdout, stderr, status }: Launcher): Promise<void> {
  await Promise.all([stdout, stderr, status].map(streamEnd));
}

function streamEnd(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('end', resolve);
    socket.once('close', () => resolve());
  });
}

/** The signal goes to the step; SIGUSR2 makes the launcher kill it, which still reports and cleans up. */
function endOnAbort({ process }: Launcher, signal: AbortSignal | undefined): () => void {
  let timer: NodeJS.Timeout | undefined;
  const kill = (): void => void process.kill('SIGUSR2');
  const abort = (): void => {
    const interruption = interruptionOf(signal);
    process.kill(interruption?.signal ?? 'SIGTERM');
    timer = setTimeout(kill, GRACE_MS);
    interruption?.again.addEventListener('abort', kill, { once: true });
  };
  if (signal?.aborted) abort();
  else signal?.addEventListener('abort', abort, { once: true });
  return () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
    interruptionOf(signal)?.again.removeEventListener('abort', kill);
  };
}

function interruptionOf(signal: AbortSignal | undefined): Interruption | undefined {
  const reason = signal?.reason as Partial<Interruption> | undefined;
  return reason?.again instanceof AbortSignal ? (reason as Interruption) : undefined;
}

function readEnd(launcher: Launcher, status: Buffer): StepExit {
  const { exit, failure } = decodeStatus(status);
  if (failure) throw launchError(failure);
  if (exit) return exit;
  const { exitCode, signalCode } = launcher.process;
  const how = signalCode ?? (exitCode === null ? '' : `exit code ${exitCode}`);
  throw new SystemError('LAUNCH_DIED', {
    message: `the launcher of the step ended without a result${how && ` (${how})`}`,
    hint: 'was it killed, or is the machine out of memory?',
  });
}
