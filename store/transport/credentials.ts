// Registry passwords, where docker and podman keep them.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError } from '../errors.js';

export type Environment = Readonly<Record<string, string | undefined>>;

export type Credentials =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token. */
  | { readonly kind: 'identity'; readonly token: string };

interface AuthFile {
  readonly auths?: Readonly<Record<string, AuthEntry>>;
  readonly credHelpers?: Readonly<Record<string, string>>;
  readonly credsStore?: string;
}

interface AuthEntry {
  readonly auth?: string;
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
}

/**
 * Looks in $REGISTRY_AUTH_FILE, podman's auth.json and docker's config.json, the first that knows the registry.
 * Null means anonymous.
 *
 * @throws StoreError CREDENTIALS_INVALID: a file that is no JSON, a helper that is missing or fails
 */
export async function findCredentials(
  registry: string,
  repository: string,
  env: Environment,
): Promise<Credentials | null> {
  for (const path of authFiles(env)) {
    const file = await readAuthFile(path);
    if (file === null) continue;
    const found = await lookUp(file, path, registry, repository, env);
    if (found !== null) return found;
  }
  return null;
}

function authFiles(env: Environment): string[] {
  const home = env.HOME ?? '/';
  return [
    env.REGISTRY_AUTH_FILE,
    env.XDG_RUNTIME_DIR && join(env.XDG_RUNTIME_DIR, 'containers/auth.json'),
    join(env.XDG_CONFIG_HOME || join(home, '.config'), 'containers/auth.json'),
    join(env.DOCKER_CONFIG || join(home, '.docker'), 'config.json'),
  ].filter((path): path is string => path !== undefined && path !== '');
}

async function readAuthFile(path: string): Promise<AuthFile | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    // A file that others may read only (root's, under sudo) is as good as none.
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text === '' ? '{}' : text);
    if (typeof value === 'object' && value !== null) return value as AuthFile;
  } catch (cause) {
    throw invalid(`${path} is not valid JSON`, 'mend it, or log in again', cause);
  }
  throw invalid(`${path} is no JSON object`, 'mend it, or log in again');
}

async function lookUp(
  file: AuthFile,
  path: string,
  registry: string,
  repository: string,
  env: Environment,
): Promise<Credentials | null> {
  const helper = Object.entries(file.credHelpers ?? {}).find(([key]) => normalKey(key) === registry)?.[1];
  if (helper !== undefined) return askHelper(helper, serverName(registry), env);
  const entries = new Map(Object.entries(file.auths ?? {}).map(([key, entry]) => [normalKey(key), entry] as const));
  // podman's keys may go down to the repository; the most specific wins.
  for (let key = `${registry}/${repository}`; key !== ''; key = key.slice(0, Math.max(0, key.lastIndexOf('/')))) {
    const entry = entries.get(key);
    const found = entry === undefined ? null : decodeEntry(entry, path, key);
    if (found !== null) return found;
  }
  return file.credsStore ? askHelper(file.credsStore, serverName(registry), env) : null;
}

/** 'https://index.docker.io/v1/' → 'docker.io'; 'https://host:5000/v2/' → 'host:5000'. */
function normalKey(key: string): string {
  const bare = key.replace(/^https?:\/\//, '').replace(/(\/v[12])?\/*$/, '');
  return bare.replace(/^(index|registry-1)\.docker\.io(?=\/|$)/, 'docker.io');
}

/** The name under which docker stores a registry with its helpers. */
function serverName(registry: string): string {
  return registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry;
}

function decodeEntry(entry: AuthEntry, path: string, key: string): Credentials | null {
  if (entry.identitytoken) return { kind: 'identity', token: entry.identitytoken };
  if (entry.username !== undefined && entry.password !== undefined) {
    return { kind: 'password', username: entry.username, password: entry.password };
  }
  if (!entry.auth) return null; // docker leaves an empty entry where a helper keeps the password
  const decoded = Buffer.from(entry.auth, 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = decoded.indexOf(':');
  if (colon < 0) throw invalid(`the entry for ${key} in ${path} holds no 'user:password'`, 'log in again');
  return { kind: 'password', username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}

/** @see docker/docker-credential-helpers: 'get' reads the server's name on stdin and answers in JSON */
async function askHelper(name: string, server: string, env: Environment): Promise<Credentials | null> {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name))
    throw invalid(`${JSON.stringify(name)} is no name of a credential helper`, 'mend config.json');
  const program = `docker-credential-${name}`;
  const { code, stdout } = await runHelper(program, server, env);
  if (code !== 0) {
    if (/credentials not found/i.test(stdout)) return null;
    throw invalid(
      `${program} failed (exit code ${code}): ${stdout.trim().slice(0, 200)}`,
      `run '${program} get' to see why`,
    );
  }
  let answer: { Username?: unknown; Secret?: unknown };
  try {
    answer = JSON.parse(stdout);
  } catch {
    throw invalid(`${program} answered with something that is not JSON`, `run '${program} get' to see it`);
  }
  if (typeof answer.Username !== 'string' || typeof answer.Secret !== 'string') return null;
  if (answer.Username === '<token>') return { kind: 'identity', token: answer.Secret };
  return { kind: 'password', username: answer.Username, password: answer.Secret };
}

async function runHelper(
  program: string,
  server: string,
  env: Environment,
): Promise<{ code: number | null; stdout: string }> {
  const { spawn } = await import('node:child_process');
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'], env: { ...env }, timeout: 30_000 });
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (stdout.length < 65_536) stdout += text;
    });
    child.stdin.on('error', () => {}); // it may answer without reading
    child.on('error', (cause) =>
      reject(
        invalid(
          `${program} can't be started: ${cause.message}`,
          `install it, or take it out of docker's config.json`,
          cause,
        ),
      ),
    );
    child.on('close', (code) => resolve({ code, stdout }));
    child.stdin.end(`${server}\n`);
  });
}

function invalid(message: string, hint: string, cause?: unknown): StoreError {
  return new StoreError('CREDENTIALS_INVALID', { message, hint, cause });
}
