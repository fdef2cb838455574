// One launcher process a step: the specification goes in on descriptor 3, its status comes back on 4.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { SystemError } from './errors.js';
import { launchError } from './launch-error.js';
import { decodeStatus } from './launch-status.js';
import { nativeFile } from './locate.js';
import { encodeStep } from './step-spec.js';
import type { StepExit, StepHandlers, StepSpec } from './types.js';

const GRACE_MS = 10_000;

/** The launcher's executable. */
export function launcherFile(): string {
  return nativeFile('tsbuild-launcher');
}

/**
 * Runs one step to its end. When this returns, no process of the step is left.
 *
 * @param join arguments that make the launcher join a user namespace first
 */
export async function launchStep(join: readonly string[], spec: StepSpec, handlers: StepHandlers): Promise<StepExit> {
  const request = encodeStep(spec);
  const child = spawn(launcherFile(), [...join, 'run'], {
    stdio: [spec.stdin === 'inherit' ? 'inherit' : 'ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    cwd: '/',
    env: {},
  });
  child.stdout?.on('data', handlers.onStdout);
  child.stderr?.on('data', handlers.onStderr);
  const status = collect(child.stdio[4] as Duplex);
  send(child.stdio[3] as Duplex, request);
  const ended = waitForEnd(child);
  const stopWatching = endOnAbort(child, handlers.signal);
  try {
    const how = await ended;
    return readEnd(decodeStatus(status()), how);
  } finally {
    stopWatching();
  }
}

/** Leaves the stream open: its end tells the launcher that we died. */
function send(stream: Duplex, request: Buffer): void {
  stream.on('error', () => {}); // a launcher that died early says why by its end
  stream.resume(); // so that its end is seen and the stream closes
  stream.write(request);
}

function collect(stream: Duplex): () => Buffer {
  const chunks: Buffer[] = [];
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks);
}

interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

function waitForEnd(child: ChildProcess): Promise<ProcessEnd> {
  return new Promise((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        new SystemError('LAUNCH_START', {
          message: `could not start ${launcherFile()}: ${cause.message}`,
          hint: 'build it with `npm run build`',
          errno: cause.code,
          cause,
        }),
      ),
    );
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
}

/** SIGTERM goes to the step; SIGUSR2 makes the launcher kill it, which still reports and cleans up. */
function endOnAbort(child: ChildProcess, signal: AbortSignal | undefined): () => void {
  let timer: NodeJS.Timeout | undefined;
  const abort = (): void => {
    child.kill('SIGTERM');
    timer = setTimeout(() => child.kill('SIGUSR2'), GRACE_MS);
  };
  if (signal?.aborted) abort();
  else signal?.addEventListener('abort', abort, { once: true });
  return () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  };
}

function readEnd(status: ReturnType<typeof decodeStatus>, end: ProcessEnd): StepExit {
  if (status.failure) throw launchError(status.failure);
  if (status.exit) return status.exit;
  throw new SystemError('LAUNCH_DIED', {
    message: `the launcher of the step ended without a result (${end.signal ?? `exit code ${end.code}`})`,
    hint: 'was it killed, or is the machine out of memory?',
  });
}
