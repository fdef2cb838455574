// Keys given as files: a private ssh-agent holds them as long as the build goes on. It reads every kind of key that its
// ssh does.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BuildError } from '../base/index.js';
import type { AgentSocket } from '../executor/index.js';
import type { SshKey } from './request.js';

/** The agent ends when our end of its input closes: it can't outlive us, however we end. */
const untilInputEnds = 'ssh-agent -D -a agent >/dev/null & agent=$!; read -r _; kill $agent; wait';
const startMs = 5000;
const pauseMs = 5;

/**
 * @param dir a directory to make for it
 * @throws BuildError SSH_AGENT_MISSING where there is no ssh-agent, SSH_KEY_INVALID for what it doesn't take
 */
export async function startKeyAgent(keys: readonly SshKey[], dir: string): Promise<AgentSocket> {
  mkdirSync(dir, { mode: 0o700 });
  const agent = spawn('sh', ['-c', untilInputEnds], {
    cwd: dir,
    env: { PATH: process.env.PATH },
    stdio: ['pipe', 'ignore', 'pipe'],
    detached: true, // a Ctrl-C at the terminal ends steps, not what they sign with
  });
  const path = join(dir, 'agent');
  const close = async (): Promise<void> => {
    await ended(agent);
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await untilListening(agent, dir);
    for (const key of keys) await addKey(key, dir);
  } catch (error) {
    await close();
    throw error;
  }
  agent.unref();
  return { path, close };
}

async function untilListening(agent: ChildProcess, dir: string): Promise<void> {
  let complaint = '';
  agent.stderr?.on('data', (chunk: Buffer) => {
    complaint += chunk;
  });
  for (const started = performance.now(); !(await answers(dir)); await sleep(pauseMs)) {
    if (complaint === '' && performance.now() - started < startMs) continue;
    throw new BuildError('SSH_AGENT_MISSING', {
      message: `no ssh-agent could be started for the keys of --ssh: ${complaint.trim() || 'it does not answer'}`,
      hint: 'install openssh-client, or start an agent yourself, ssh-add the keys, and give --ssh default',
    });
  }
}

/** The socket is there before somebody listens. Its path may be longer than an address can be, hence by way of its directory. */
async function answers(dir: string): Promise<boolean> {
  const fd = openSync(dir, 'r');
  const socket = connect(`/proc/self/fd/${fd}/agent`);
  try {
    return await new Promise((done) => socket.once('connect', () => done(true)).once('error', () => done(false)));
  } finally {
    socket.destroy();
    closeSync(fd);
  }
}

/** By its standard input: ssh-add would refuse a file that others may read, which is not for us to judge. */
async function addKey({ path, bytes }: SshKey, cwd: string): Promise<void> {
  const add = spawn('ssh-add', ['-q', '-'], {
    cwd,
    env: { PATH: process.env.PATH, SSH_AUTH_SOCK: 'agent', SSH_ASKPASS_REQUIRE: 'never' },
    stdio: ['pipe', 'ignore', 'pipe'],
    detached: true, // without a terminal to ask for a passphrase at
  });
  let complaint = '';
  add.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk;
  });
  add.stdin.on('error', () => {}); // it says why by its exit
  add.stdin.end(bytes);
  const code = await new Promise((resolve) => add.once('close', resolve).once('error', resolve));
  if (code === 0) return;
  if (/passphrase/i.test(complaint)) {
    throw new BuildError('SSH_KEY_INVALID', {
      message: `--ssh: the key ${path} has a passphrase, which a build can't ask for`,
      hint: 'have an agent hold it: ssh-add it there, and give --ssh default',
    });
  }
  throw new BuildError('SSH_KEY_INVALID', {
    message: `--ssh: ssh-add can't read the key ${path}: ${complaint.trim().split('\n').at(-1) || code}`,
    hint: 'give a private key, or the socket of an agent',
  });
}

function ended(agent: ChildProcess): Promise<void> {
  if (agent.exitCode !== null || agent.signalCode !== null || agent.pid === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    agent.ref();
    agent.once('exit', () => resolve());
    agent.stdin?.end();
  });
}
