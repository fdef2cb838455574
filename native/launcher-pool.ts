// Launcher processes. Starting one from Node takes as long as a short step, so from the second step on one is kept waiting
// for the next while a step runs.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { SystemError } from './errors.js';
import { nativeFile } from './locate.js';
import type { StepSpec } from './types.js';

/** The launcher's executable. */
export function launcherFile(): string {
  return nativeFile('tsbuild-launcher');
}

export interface Launcher {
  readonly process: ChildProcess;
  readonly stdout: Socket;
  readonly stderr: Socket;
  /** Takes the description of the step, and stays open: its end tells the launcher that we died. */
  readonly request: Socket;
  readonly status: Socket;
  /** Rejects when the program could not be started; never resolves. */
  readonly failure: Promise<never>;
}

export interface LauncherPool {
  /** A launcher that waits for a step. */
  take(stdin: StepSpec['stdin']): Launcher;
  close(): Promise<void>;
}

/** @param join arguments that make each launcher join a user namespace first */
export function openLauncherPool(join: readonly string[]): LauncherPool {
  let spare: Launcher | undefined;
  let open = true;
  let steps = 0;
  const refill = (): void => {
    if (!open || spare) return;
    const started = start(join, 'null');
    hold(started, 'unref'); // it ends with us, and must not keep us
    started.failure.catch(() => {}); // the next step meets the same failure
    started.process.once('exit', () => {
      if (spare === started) spare = undefined;
    });
    spare = started;
  };
  return {
    take: (stdin) => {
      const taken = stdin === 'null' && spare ? spare : start(join, stdin);
      if (taken === spare) spare = undefined;
      hold(taken, 'ref');
      if (++steps > 1) setImmediate(refill);
      return taken;
    },
    close: async () => {
      open = false;
      if (spare) await endProcess(spare.process, spare.request);
    },
  };
}

/** Closes the stream that keeps a helper process waiting, and waits for its end. */
export function endProcess(process: ChildProcess, input: Writable | null): Promise<void> {
  if (process.pid === undefined || process.exitCode !== null || process.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    process.ref();
    process.once('exit', () => resolve());
    input?.destroy();
  });
}

function start(join: readonly string[], stdin: StepSpec['stdin']): Launcher {
  const process = spawn(launcherFile(), [...join, 'run'], {
    stdio: [stdin === 'inherit' ? 'inherit' : 'ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    cwd: '/',
    env: {},
    detached: true, // out of the terminal's foreground group: what Ctrl-C means for a step, we tell it
  });
  const [, stdout, stderr, request, status] = process.stdio as unknown as Socket[];
  for (const socket of [request, status]) socket?.on('error', () => {}); // a launcher that died says so by its end
  const failure = new Promise<never>((_, reject) => {
    process.once('error', (cause: NodeJS.ErrnoException) => {
      const message = `could not start ${launcherFile()}: ${cause.message}`;
      reject(
        new SystemError('LAUNCH_START', { message, hint: 'build it with `npm run build`', errno: cause.code, cause }),
      );
    });
  });
  return { process, stdout: stdout!, stderr: stderr!, request: request!, status: status!, failure };
}

function hold(launcher: Launcher, how: 'ref' | 'unref'): void {
  launcher.process[how]();
  for (const socket of [launcher.stdout, launcher.stderr, launcher.request, launcher.status]) socket[how]();
}
