// One RUN step over a stack of layers: who runs it, what it sees, how it ended.
import { mkdirSync } from 'node:fs';
import type { LayerMount, StepExit } from '#native';
import type { RootView } from '#store';
import { BuildError, type EventSink } from '../base/index.js';
import type { RunVertex } from '../graph/index.js';
import { formatPlatform, hostPlatform } from '../platform/index.js';
import { makeStepCgroup } from './cgroup.js';
import { defaultHostname, defaultPath, defaultShmBytes, networkFiles } from './container.js';
import { OutputTail } from './output-tail.js';
import { lookupUser } from './owner.js';
import { requireProgram, unrunnable } from './run-program.js';
import { agentEnv, openStepMounts, type StepMountIo, scriptPath, secretMounts } from './step-mounts.js';

export interface RunIo extends StepMountIo {
  /** The step's layers as they are mounted, base first. */
  readonly mounts: readonly LayerMount[];
  /** The same layers, for look-ups. */
  readonly view: RootView;
  /** Where a layer came from, as people say it: 'base image debian:bookworm', 'COPY at Buildfile:7'. */
  originOf(layer: number): string;
  readonly emit: EventSink;
  readonly signal: AbortSignal;
}

/**
 * Runs the step to its end.
 *
 * @returns the scratch directory that holds what it wrote, for commitUpper
 * @throws BuildError RUN_FAILED with the last lines of output; ARCH_CANNOT_EXECUTE and the like before anything ran
 */
export async function runStep(vertex: RunVertex, io: RunIo): Promise<{ scratchDir: string; exit: StepExit }> {
  const user = lookupUser(io.view, vertex.user, vertex.at);
  const secrets = secretMounts(vertex, io);
  const env = stepEnv(vertex, user.home, secrets.env);
  const args = vertex.script === null ? vertex.args : [scriptPath, ...vertex.args];
  const searchPath = env.get('PATH') ?? defaultPath;
  requireProgram(vertex, args, searchPath, io);

  const mounts = await openStepMounts(vertex, secrets.mounts, io);
  const scratchDir = io.lease.path(`step-${vertex.id}`);
  mkdirSync(scratchDir, { mode: 0o700 });
  const { sandbox } = vertex;
  const hostname = sandbox.hostname ?? defaultHostname;
  const cgroup = makeStepCgroup(sandbox.cgroupParent);
  const tail = new OutputTail();
  const output = (stream: 'stdout' | 'stderr') => (chunk: Buffer) => {
    tail.push(chunk);
    io.emit({ type: 'log', vertex: vertex.id, stream, chunk });
  };
  try {
    const exit = await io.host.runStep(
      {
        layers: io.mounts,
        scratchDir,
        args,
        env: [...env].map(([name, value]) => `${name}=${value}`),
        cwd: vertex.cwd,
        uid: user.uid,
        gid: user.gid,
        groups: user.groups,
        hostname,
        network: vertex.network === 'none' ? 'none' : 'host',
        stacks: mounts.stacks,
        mounts: [
          ...networkFiles({ network: vertex.network, hostname, extraHosts: sandbox.extraHosts }),
          ...mounts.mounts,
        ],
        cgroups: cgroup.dirs,
        limits: sandbox.ulimits,
        confined: vertex.security === 'sandbox',
        shmSizeBytes: sandbox.shmSizeBytes ?? defaultShmBytes,
        stdin: 'null',
      },
      { onStdout: output('stdout'), onStderr: output('stderr'), signal: io.signal },
    );
    io.signal.throwIfAborted();
    if (exit.exitCode !== 0) throw stepFailure(vertex, exit, tail, unrunnable(vertex, args, searchPath, io));
    return { scratchDir, exit };
  } catch (error) {
    await io.host.remove([scratchDir]); // only the host may remove what a user's step wrote
    throw error;
  } finally {
    cgroup.remove();
    await mounts.close();
  }
}

/** The environment that the step sees: the plan's, and what a login would add where the plan says nothing. */
function stepEnv(vertex: RunVertex, home: string, secretEnv: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([
    ['PATH', defaultPath],
    ['HOME', home],
    ...agentEnv(vertex),
    ...vertex.hiddenEnv,
    ...vertex.env,
    ...secretEnv,
  ]);
}

/** @param unrunnable a program of the command that can't start here, in words */
function stepFailure(vertex: RunVertex, exit: StepExit, tail: OutputTail, unrunnable: string | null): BuildError {
  const how = exit.signal === null ? `exit code ${exit.exitCode}` : `killed by ${exit.signal}`;
  const lines = tail.lines();
  return new BuildError('RUN_FAILED', {
    message: `this step failed: ${how}`,
    at: vertex.at,
    notes: lines.length === 0 ? ['(it printed nothing)'] : ['its last output:', ...lines.map((line) => `  ${line}`)],
    hint: unrunnable ?? exitHint(exit, lines),
  });
}

function exitHint(exit: StepExit, lines: readonly string[]): string | undefined {
  if (lines.some((line) => /exec(utable)? format error|cannot execute binary file/i.test(line)))
    return `a program that this step made or fetched is not for this machine (${formatPlatform(hostPlatform())})`;
  if (lines.some((line) => /no space left on device/i.test(line)))
    return "the store's disk is full: free some space, for example with 'tsbuild gc', or put the store on a larger disk with --store";
  if (exit.exitCode === 127)
    return 'a command was not found: is its package installed in this stage, and is it on PATH?';
  if (exit.exitCode === 126) return 'a command was found but could not be executed: check its mode and its #! line';
  if (exit.signal === 'SIGKILL') return 'something killed it: most often the machine ran out of memory';
  return undefined;
}
