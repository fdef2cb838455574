// What a step sees besides its layers: the mounts of its instruction, secrets, agents, its own script.
import { type Host, rawPath, type StepMount, type StepStack } from '#native';
import type { Lease } from '#store';
import { BuildError } from '../base/index.js';
import type { RunMount, RunVertex } from '../graph/index.js';
import { type BoundFiles, openBinds } from './binds.js';

export interface StepMountIo {
  readonly host: Host;
  readonly lease: Lease;
  /** What each bind mount shows. */
  readonly boundFiles: ReadonlyMap<RunMount, BoundFiles>;
  /** Directory behind a cache mount. */
  cacheDir(mount: Extract<RunMount, { kind: 'cache' }>): string;
  /** Value of a secret, null when there is none of that id. */
  secret(id: string): Buffer | null;
  /** A socket that leads to the ssh agent of that id, null when there is none. */
  agent(id: string): Promise<AgentSocket | null>;
}

/** A socket of ours, for one mount of one step. */
export interface AgentSocket {
  readonly path: string;
  close(): Promise<void>;
}

export interface StepMounts {
  readonly stacks: readonly StepStack[];
  /** Parents before what lies in them, at one place in the order of the instruction. */
  readonly mounts: readonly StepMount[];
  /** Takes back what was made for the step alone. */
  close(): Promise<void>;
}

export const scriptPath = '/run/tsbuild/script';

/** @throws BuildError SSH_NOT_FOUND */
export async function openStepMounts(
  vertex: RunVertex,
  secrets: readonly StepMount[],
  io: StepMountIo,
): Promise<StepMounts> {
  const binds = openBinds(vertex, io.boundFiles, io);
  const agents: AgentSocket[] = [];
  const close = async (): Promise<void> => {
    await Promise.all([binds.remove(), ...agents.map((agent) => agent.close())]);
  };
  const mounts: StepMount[] = [...secrets, ...scriptMount(vertex)];
  try {
    for (const mount of vertex.mounts) {
      if (mount.kind === 'bind') mounts.push(binds.mountOf(mount));
      else if (mount.kind === 'cache') mounts.push(cacheMount(mount, io));
      else if (mount.kind === 'tmpfs') mounts.push(memoryMount(mount));
      else if (mount.kind === 'ssh') mounts.push(...(await agentMount(mount, agents, io)));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { stacks: binds.stacks, mounts: mounts.sort(byTarget), close };
}

function byTarget(a: StepMount, b: StepMount): number {
  return a.target < b.target ? -1 : a.target > b.target ? 1 : 0;
}

function scriptMount(vertex: RunVertex): StepMount[] {
  if (vertex.script === null) return [];
  return [{ kind: 'bytes', bytes: Buffer.from(vertex.script), target: scriptPath, mode: 0o755, uid: 0, gid: 0 }];
}

function cacheMount(mount: Extract<RunMount, { kind: 'cache' }>, io: StepMountIo): StepMount {
  const { target, readonly } = mount;
  return { kind: 'bind', root: io.cacheDir(mount), path: rawPath(''), target, readonly };
}

function memoryMount({ target, sizeBytes, readonly }: Extract<RunMount, { kind: 'tmpfs' }>): StepMount {
  return { kind: 'tmpfs', target, readonly, ...(sizeBytes === null ? {} : { sizeBytes }) };
}

async function agentMount(
  mount: Extract<RunMount, { kind: 'ssh' }>,
  agents: AgentSocket[],
  io: StepMountIo,
): Promise<StepMount[]> {
  const { id, target, mode, uid, gid } = mount;
  const agent = await io.agent(id);
  if (agent !== null) {
    agents.push(agent);
    return [{ kind: 'socket', path: agent.path, target, mode, uid, gid }];
  }
  if (!mount.required) return [];
  throw new BuildError('SSH_NOT_FOUND', {
    message: `this step requires the ssh agent ${id}, which was not given`,
    hint: id === 'default' ? 'add --ssh default' : `add --ssh ${id}=SOCKET or --ssh ${id}=KEYFILE`,
    at: mount.at,
  });
}

/** Programs find the agent by this variable, wherever they are, and whether there is one or not. */
export function agentEnv({ mounts }: RunVertex): [name: string, value: string][] {
  const agent = mounts.find((mount) => mount.kind === 'ssh');
  return agent?.kind === 'ssh' ? [['SSH_AUTH_SOCK', agent.target]] : [];
}

/** Secrets as files on a private tmpfs and as environment; an absent one is skipped unless it is required. */
export function secretMounts(
  vertex: RunVertex,
  io: Pick<StepMountIo, 'secret'>,
): { mounts: StepMount[]; env: Map<string, string> } {
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
