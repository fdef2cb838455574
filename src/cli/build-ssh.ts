// --ssh: what RUN --mount=type=ssh gets.
import { readFileSync, statSync } from 'node:fs';
import type { BuildRequest } from '../build/index.js';
import { whyUnreadable } from './build-values.js';
import { UsageError } from './cli.js';
import { booleanField, splitFields } from './fields.js';

type SshSource = BuildRequest['ssh'] extends ReadonlyMap<string, infer Source> ? Source : never;

/** No key is as long. */
const maxKeyBytes = 100 * 1024;

/** @throws UsageError */
export function sshSources(texts: readonly string[], env: NodeJS.ProcessEnv): Map<string, SshSource> {
  const sources = new Map<string, SshSource>();
  for (const text of texts) {
    const [id, source] = sshSource(text, env);
    if (sources.has(id)) throw bad(text, `there is another --ssh ${id}`, 'give each agent an id of its own');
    sources.set(id, source);
  }
  return sources;
}

/** 'default', 'id=SOCKET' or 'id=KEY,KEY'; without a path it is the caller's own agent. */
function sshSource(text: string, env: NodeJS.ProcessEnv): [string, SshSource] {
  const [first = '', ...rest] = splitFields('--ssh', text);
  const equals = first.indexOf('=');
  const id = (equals < 0 ? first : first.slice(0, equals)) || 'default';
  const given = [...(equals < 0 ? [] : [first.slice(equals + 1)]), ...rest].filter((part) => part !== '');
  const raw = given.some((part) => part.startsWith('raw=') && booleanField('--ssh', 'raw', part.slice(4)));
  const paths = given.filter((part) => !part.startsWith('raw='));
  if (paths.length === 0) return [id, { kind: 'socket', path: ownAgent(text, env), raw }];
  const sockets = paths.filter((path) => isSocket(text, path));
  if (sockets.length === 0 && !raw) return [id, { kind: 'keys', keys: paths.map((path) => readKey(text, path)) }];
  if (sockets.length === 1 && paths.length === 1) return [id, { kind: 'socket', path: sockets[0]!, raw }];
  throw bad(text, raw ? 'raw is for one socket' : 'it is one socket, or keys', form);
}

const form = 'write --ssh default, --ssh ID=SOCKET or --ssh ID=KEYFILE[,KEYFILE]';

function ownAgent(text: string, env: NodeJS.ProcessEnv): string {
  const path = env.SSH_AUTH_SOCK;
  if (!path) {
    throw bad(text, 'the environment has no SSH_AUTH_SOCK', 'start an agent: eval "$(ssh-agent)" && ssh-add');
  }
  if (isSocket(text, path)) return path;
  throw bad(text, `SSH_AUTH_SOCK is ${path}, which is no socket`, 'start an agent: eval "$(ssh-agent)" && ssh-add');
}

function isSocket(text: string, path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch (error) {
    throw bad(text, `${path} can't be used: ${whyUnreadable(error)}`, form);
  }
}

function readKey(text: string, path: string): { path: string; bytes: Buffer } {
  try {
    if (statSync(path).size <= maxKeyBytes) return { path, bytes: readFileSync(path) };
  } catch (error) {
    throw bad(text, `${path} can't be read: ${whyUnreadable(error)}`, form);
  }
  throw bad(text, `${path} is too large for a key`, form);
}

function bad(text: string, problem: string, hint: string): UsageError {
  return new UsageError('USAGE', { message: `--ssh ${text}: ${problem}`, hint });
}
