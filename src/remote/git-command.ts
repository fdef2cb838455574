// The git program, cut off from everything that a person or a machine configured for it: no hooks, no helpers, no
// questions. What opens doors goes through the environment, which nobody else can read, never through arguments.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BuildError, type GitRepository, withoutCredentials } from '../base/index.js';
import type { RemoteIo } from './remote-io.js';

export interface GitCall {
  readonly gitDir?: string;
  readonly workTree?: string;
  /** Protocols that may be spoken. */
  readonly protocols?: string;
}

export interface Git {
  /** The repository's URL without what opens doors. */
  readonly remote: string;
  /** @returns standard output @throws GitFailure; BuildError GIT_MISSING; the reason of the signal */
  run(args: readonly string[], call?: GitCall): Promise<string>;
}

/** git said no; `message` is what it said. */
export class GitFailure extends Error {}

export async function openGit(repository: GitRepository, io: RemoteIo): Promise<Git> {
  const remote = withoutCredentials(repository.remote);
  const env = {
    ...baseEnvironment(io),
    ...(await sshEnvironment(repository, io)),
    ...configEnvironment(repository, io),
  };
  return {
    remote,
    run: (args, { gitDir, workTree, protocols = 'http:https:ssh:git' } = {}) => {
      const where = [...(gitDir ? [`--git-dir=${gitDir}`] : []), ...(workTree ? [`--work-tree=${workTree}`] : [])];
      const cwd = workTree ?? gitDir ?? tmpdir();
      return execute([...where, ...args], cwd, { ...env, GIT_ALLOW_PROTOCOL: protocols }, io.signal);
    },
  };
}

const passedOn = [
  ...[
    'PATH',
    'http_proxy',
    'https_proxy',
    'no_proxy',
    'all_proxy',
    'HTTP_PROXY',
    'HTTPS_PROXY',
    'NO_PROXY',
    'ALL_PROXY',
  ],
  ...['GIT_SSL_CAINFO', 'GIT_SSL_CAPATH', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'CURL_CA_BUNDLE'],
];

function baseEnvironment({ environment }: RemoteIo): NodeJS.ProcessEnv {
  const extraCa = environment.TSBUILD_EXTRA_CA_CERTS ?? environment.NODE_EXTRA_CA_CERTS;
  return {
    ...(extraCa && { GIT_SSL_CAINFO: extraCa }),
    ...Object.fromEntries(passedOn.flatMap((name) => (environment[name] ? [[name, environment[name]]] : []))),
    LC_ALL: 'C',
    HOME: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
  };
}

/** Keys come from the agent that the build was given, and from nowhere else. Hosts are taken at their first word, as known from then on. */
async function sshEnvironment(repository: GitRepository, io: RemoteIo): Promise<NodeJS.ProcessEnv> {
  if (/^(https?|git):/i.test(repository.remote)) return {};
  const socket = await io.agentSocket();
  if (socket === null) {
    throw new BuildError('SSH_AGENT_MISSING', {
      message: `${withoutCredentials(repository.remote)} is reached by ssh, and the build was given no agent`,
      hint: 'add --ssh default, with an agent that SSH_AUTH_SOCK names; or use the repository over https://',
    });
  }
  const dir = join(io.store.dir, 'cache', 'git');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const known = [join(dir, 'known_hosts'), '~/.ssh/known_hosts', '/etc/ssh/ssh_known_hosts'];
  const options = [
    'BatchMode=yes',
    'ConnectTimeout=30',
    'IdentityFile=none',
    'StrictHostKeyChecking=accept-new',
    `UserKnownHostsFile=${known.map((file) => `"${file}"`).join(' ')}`,
  ];
  const words = ['ssh', '-F', '/dev/null', ...options.flatMap((option) => ['-o', option])];
  return { SSH_AUTH_SOCK: socket, GIT_SSH_COMMAND: words.map(quoted).join(' '), GIT_SSH_VARIANT: 'ssh' };
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

const settings: readonly (readonly [string, string])[] = [
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  ['init.defaultBranch', 'master'],
  ['advice.detachedHead', 'false'],
  ['http.lowSpeedLimit', '1'],
  ['http.lowSpeedTime', '60'],
];

function configEnvironment(repository: GitRepository, io: RemoteIo): NodeJS.ProcessEnv {
  const config = [...settings, ...authorization(repository.remote, io)];
  const entries = config.flatMap(([key, value], i) => [
    [`GIT_CONFIG_KEY_${i}`, key],
    [`GIT_CONFIG_VALUE_${i}`, value],
  ]);
  return { GIT_CONFIG_COUNT: String(config.length), ...Object.fromEntries(entries) };
}

/** Secrets named for the host go before those for any, headers before tokens, and all of them before what the URL says. */
function authorization(remote: string, io: RemoteIo): [string, string][] {
  if (!/^https?:/i.test(remote) || !URL.canParse(remote)) return [];
  const { host, origin, username, password } = new URL(remote);
  const secret = (id: string): string | undefined => io.secret(id)?.toString('utf8').trim();
  const header = (value: string, scope: string): [string, string][] => [
    [`http.${scope}.extraHeader`, `Authorization: ${value}`],
  ];
  for (const suffix of [`.${host}`, '']) {
    const given = secret(`GIT_AUTH_HEADER${suffix}`);
    if (given !== undefined) return header(given, tokenScope(remote));
    const token = secret(`GIT_AUTH_TOKEN${suffix}`);
    if (token !== undefined) return header(basic('x-access-token', token), tokenScope(remote));
  }
  if (username === '') return [];
  return header(basic(decodeURIComponent(username), decodeURIComponent(password)), `${origin}/`);
}

function basic(user: string, password: string): string {
  return `basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/** A token is for the one repository; one for GitHub usually opens its submodules' repositories too. */
function tokenScope(remote: string): string {
  return /^https:\/\/(www\.)?github\.com\//.exec(remote)?.[0] ?? withoutCredentials(remote);
}

const maxOutput = 64 * 1024 * 1024;

/** In a process group of its own: git's helpers don't end with it. */
function execute(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const child = spawn('git', args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const stop = (): void => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    };
    signal.addEventListener('abort', stop, { once: true });
    const output: Buffer[] = [];
    let size = 0;
    let complaint = '';
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxOutput) output.push(chunk);
      else stop();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      complaint = (complaint + chunk.toString()).slice(-8192);
    });
    child.on('error', (cause: NodeJS.ErrnoException) => {
      signal.removeEventListener('abort', stop);
      reject(cause.code === 'ENOENT' ? missing(cause) : cause);
    });
    child.on('close', (code) => {
      signal.removeEventListener('abort', stop);
      if (signal.aborted) reject(signal.reason);
      else if (code === 0) resolve(Buffer.concat(output).toString());
      else reject(new GitFailure(essence(complaint) || `git ended with ${code}`));
    });
  });
}

function missing(cause: unknown): BuildError {
  return new BuildError('GIT_MISSING', {
    message: 'git is not installed, and repositories are fetched by it',
    hint: 'install git, or give the files as a directory or an archive',
    cause,
  });
}

/** What git says it failed of: the first thing, for the rest follows from it. */
function essence(text: string): string {
  const lines = text.split(/[\r\n]+/).filter((line) => line.trim() !== '');
  const grave = lines.find((line) => /^(fatal|error|remote|ssh|Host key|.*Permission denied)/.test(line));
  return (grave ?? lines.at(-1) ?? '').replace(/^(fatal|error): /, '').replace(/ after \d+ ms/, '');
}
