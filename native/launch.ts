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

/** Starts launchers for steps, one process each. */
export interface Launcher {
  /** Runs one step to its end. When this returns, no process of the step is left. */
  run(spec: StepSpec, handlers: StepHandlers): Promise<StepExit>;
  close(): void;
}

/**
 * From the second step on, the launcher of the next one is started while a step runs: starting a process from Node takes
 * as long as a short step, and would be waited for between any two of them.
 *
 * @param join arguments that make launchers join a user namespace first
 */
export function openLauncher(join: readonly string[]): Launcher {
  let steps = 0;
  let spare: ChildProcess | undefined;
  const take = (stdin: StepSpec['stdin']): ChildProcess => {
    const alive = spare?.pid !== undefined && spare.exitCode === null && spare.signalCode === null;
    const ready = stdin === 'null' && alive ? spare : undefined;
    if (ready || !alive) spare = undefined;
    return ready ?? start(join, stdin);
  };
  return {
    run(spec, handlers) {
      const ended = launchStep(take(spec.stdin), spec, handlers);
      steps++;
      if (steps > 1 && spare === undefined) {
        spare = start(join, 'null');
        spare.on('error', () => {}); // it is not used then, and the one started in its place says why
      }
      return ended;
    },
    close: () => void spare?.kill('SIGKILL'),
  };
}

function start(join: readonly string[], stdin: StepSpec['stdin']): ChildProcess {
  return spawn(launcherFile(), [...join, 'run'], {
    stdio: [stdin === 'inherit' ? 'inherit' : 'ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    cwd: '/',
    env: {},
  });
}

async function launchStep(child: ChildProcess, spec: StepSpec, handlers: StepHandlers): Promise<StepExit> {
  child.stdout?.on('data', handlers.onStdout);
  child.stderr?.on('data', handlers.onStderr);
  const status = collect(child.stdio[4] as Duplex);
  send(child.stdio[3] as Duplex, encodeStep(spec));
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
