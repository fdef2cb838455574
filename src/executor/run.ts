// One RUN step over a stack of layers: who runs it, what it sees, how it ended.
import { mkdirSync } from 'node:fs';
import { type Host, type LayerMount, rawPath, type StepExit, type StepMount } from '#native';
import type { Lease, RootView } from '#store';
import { BuildError, type EventSink } from '../base/index.js';
import type { RunMount, RunVertex } from '../graph/index.js';
import { formatPlatform, hostPlatform } from '../platform/index.js';
import { makeStepCgroup } from './cgroup.js';
import { defaultPath, networkFiles, shmSizeBytes } from './container.js';
import { OutputTail } from './output-tail.js';
import { lookupUser } from './owner.js';
import { requireProgram, unrunnable } from './run-program.js';

export interface RunIo {
  readonly host: Host;
  readonly lease: Lease;
  /** The step's layers as they are mounted, base first. */
  readonly mounts: readonly LayerMount[];
  /** The same layers, for look-ups. */
  readonly view: RootView;
  /** Where a layer came from, as people say it: 'base image debian:bookworm', 'COPY at Buildfile:7'. */
  originOf(layer: number): string;
  /** Directory of the main (null) or a named build context. */
  contextDir(name: string | null): string;
  /** Directory behind a cache mount. */
  cacheDir(mount: Extract<RunMount, { kind: 'cache' }>): string;
  /** Value of a secret, null when there is none of that id. */
  secret(id: string): Buffer | null;
  readonly emit: EventSink;
  readonly signal: AbortSignal;
}

const scriptPath = '/run/tsbuild/script';

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

  const mounts = await Promise.all(vertex.mounts.map((mount) => stepMounts(mount, io)));
  const scratchDir = io.lease.path(`step-${vertex.id}`);
  mkdirSync(scratchDir, { mode: 0o700 });
  const cgroup = makeStepCgroup();
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
        hostname: 'tsbuild',
        network: vertex.network === 'none' ? 'none' : 'host',
        mounts: [...networkFiles(vertex.network), ...mounts.flat(), ...secrets.mounts, ...scriptMount(vertex)],
        cgroups: cgroup.dirs,
        shmSizeBytes,
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
  }
}

/** The environment that the step sees: the plan's, and what a login would add where the plan says nothing. */
function stepEnv(vertex: RunVertex, home: string, secretEnv: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([['PATH', defaultPath], ['HOME', home], ...vertex.hiddenEnv, ...vertex.env, ...secretEnv]);
}

function scriptMount(vertex: RunVertex): StepMount[] {
  if (vertex.script === null) return [];
  return [{ kind: 'bytes', bytes: Buffer.from(vertex.script), target: scriptPath, mode: 0o755, uid: 0, gid: 0 }];
}

async function stepMounts(mount: RunMount, io: RunIo): Promise<StepMount[]> {
  switch (mount.kind) {
    case 'bind': {
      if (mount.from.kind !== 'context') throw new Error('a bind mount from a stage reached the executor');
      const root = io.contextDir(mount.from.name);
      const path = rawPath(mount.source.replace(/^\/+|\/+$/g, ''));
      return [{ kind: 'bind', root, path, target: mount.target, readonly: true }];
    }
    case 'cache':
      return [
        {
          kind: 'bind',
          root: io.cacheDir(mount),
          path: rawPath(''),
          target: mount.target,
          readonly: mount.readonly,
        },
      ];
    case 'tmpfs':
      return [
        { kind: 'tmpfs', target: mount.target, ...(mount.sizeBytes === null ? {} : { sizeBytes: mount.sizeBytes }) },
      ];
    case 'secret':
      return []; // secretMounts
  }
}

/** Secrets as files on a private tmpfs and as environment; an absent one is skipped unless it is required. */
function secretMounts(vertex: RunVertex, io: RunIo): { mounts: StepMount[]; env: Map<string, string> } {
  const mounts: StepMount[] = [];
  const env = new Map<string, string>();
  for (const mount of vertex.mounts) {
    if (mount.kind !== 'secret') continue;
    const bytes = io.secret(mount.id);
    if (bytes === null) {
      if (!mount.required) continue;
      throw new BuildError('SECRET_NOT_FOUND', {
        message: `this step requires the secret ${mount.id}, which was not given`,
        hint: `add --secret id=${mount.id},src=FILE`,
        at: mount.at,
      });
    }
    if (mount.env !== null) env.set(mount.env, bytes.toString('utf8'));
    if (mount.target !== null) {
      mounts.push({ kind: 'bytes', bytes, target: mount.target, mode: mount.mode, uid: mount.uid, gid: mount.gid });
    }
  }
  return { mounts, env };
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
