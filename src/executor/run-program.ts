// Whether the programs of a step can start here, asked before it runs and, when it failed, after.
import type { RootView } from '#store';
import { BuildError } from '../base/index.js';
import type { RunVertex } from '../graph/index.js';
import { hostPlatform, requireRunnable } from '../platform/index.js';
import { firstProgram, namedPrograms } from './shell-command.js';

interface ProgramIo {
  readonly view: RootView;
  originOf(layer: number): string;
}

/**
 * Refuses a command that can't start, and what a shell's text starts first: `RUN tool` means the tool, not the shell.
 *
 * @throws BuildError RUN_EMPTY; whatever requireRunnable refuses
 */
export function requireProgram(vertex: RunVertex, args: readonly string[], searchPath: string, io: ProgramIo): void {
  const program = vertex.script === null ? args[0] : shebang(vertex.script);
  if (program === undefined) throw new BuildError('RUN_EMPTY', { message: 'RUN has no command', at: vertex.at });
  const first = firstProgram(args);
  const known = runnable.get(io.view) ?? new Set();
  const key = JSON.stringify([program, first, searchPath, vertex.cwd, mountTargets(vertex)]);
  if (known.has(key)) return;
  requireOne(vertex, program, searchPath, 'RUN', io);
  const problem = first === null ? null : problemOf(vertex, first, searchPath, 'RUN', io);
  if (problem !== null) throw problem;
  runnable.set(io.view, known.add(key));
}

/** A program named in the command that can't start here, with the reason; null if there is none that was there before the step. */
export function unrunnable(
  vertex: RunVertex,
  args: readonly string[],
  searchPath: string,
  io: ProgramIo,
): string | null {
  for (const program of namedPrograms(args)) {
    const problem = problemOf(vertex, program, searchPath, 'it', io);
    if (problem !== null) return problem.message;
  }
  return null;
}

/** What was found runnable in a view, so that many steps by one shell over the same layers ask once. */
const runnable = new WeakMap<RootView, Set<string>>();

function requireOne(vertex: RunVertex, program: string, searchPath: string, what: string, io: ProgramIo): void {
  const command = { program, searchPath, cwd: vertex.cwd, at: vertex.at, what, hidden: mountTargets(vertex) };
  requireRunnable(io.view, command, hostPlatform(), (layer) => io.originOf(layer));
}

/** Null also for what only the shell can judge: a name that is no file, a file of text. */
function problemOf(
  vertex: RunVertex,
  program: string,
  searchPath: string,
  what: string,
  io: ProgramIo,
): BuildError | null {
  try {
    requireOne(vertex, program, searchPath, what, io);
    return null;
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    return /^(ARCH|INTERPRETER|SCRIPT_INTERPRETER)_/.test(error.code) ? error : null;
  }
}

/** Where mounts hide what the layers hold: programs there can't be judged beforehand. */
function mountTargets(vertex: RunVertex): string[] {
  return vertex.mounts.flatMap((mount) => (mount.target === null ? [] : [mount.target]));
}

/** The interpreter that a script's first line names. */
function shebang(script: string): string | undefined {
  return /^#!\s*(\S+)/.exec(script)?.[1];
}
