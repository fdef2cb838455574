// The entry: finds the command, runs it, turns what it throws into a message and an exit code.
//   0 done · 1 the build or command failed · 2 the command line was wrong · 130/143 interrupted · run: the program's own
import { availableParallelism } from 'node:os';
import type { Interruption } from '#native';
import { commandNamed } from './commands.js';

// Layers are compressed on the threads of libuv's pool: four, unless it is told before it starts.
process.env.UV_THREADPOOL_SIZE ??= String(Math.min(Math.max(availableParallelism(), 4), 16));

const interrupt = new AbortController();
const impatience = new AbortController();
let interruptedBy: keyof typeof signalNumbers | null = null;

// Asked once, running steps are asked to end and what is unfinished is removed; asked twice, steps are killed; asked a
// third time, we leave at once, and the next command removes what is left.
const signalNumbers = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (impatience.signal.aborted) process.exit(128 + signalNumbers[signal]);
    if (interruptedBy !== null) return impatience.abort();
    interruptedBy = signal;
    const interruption: Interruption = { signal, again: impatience.signal };
    interrupt.abort(Object.assign(new Error(`interrupted by ${signal}`), interruption));
  });
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0); // `tsbuild images | head`
  throw error;
});
process.stderr.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error; // nobody reads the progress any more: the work goes on
});

async function main(argv: readonly string[]): Promise<number> {
  const found = await commandNamed(argv);
  if ('text' in found) {
    process.stdout.write(found.text);
    return 0;
  }
  const [{ runCommand }, module] = await Promise.all([import('./run-command.js'), found.load()]);
  return runCommand(found.name, module, found.argv, interrupt.signal);
}

async function report(error: unknown, argv: readonly string[]): Promise<number> {
  const { told = false, code } = error as { told?: boolean; code?: unknown };
  if (interruptedBy !== null) {
    if (!told) process.stderr.write(`\ninterrupted by ${interruptedBy}; nothing of the unfinished steps was kept\n`);
    return 128 + signalNumbers[interruptedBy];
  }
  if (told) return 1;
  const { renderError } = await import('../base/index.js');
  process.stderr.write(`${renderError(error)}\n`);
  if (argv.includes('--debug') && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return code === 'USAGE' ? 2 : 1;
}

const argv = process.argv.slice(2);
main(argv)
  .catch((error: unknown) => report(error, argv))
  // Not by waiting for the end: the database would write its log back, and wait for the disk. All output is written
  // by now: pipes, files and terminals are synchronous on Linux.
  .then((code) => process.exit(code));
