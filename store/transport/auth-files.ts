// The files in which docker and podman keep passwords for registries.
import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError } from '../errors.js';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface AuthFile {
  readonly auths?: Readonly<Record<string, AuthEntry>>;
  readonly credHelpers?: Readonly<Record<string, string>>;
  readonly credsStore?: string;
}

export interface AuthEntry {
  readonly auth?: string;
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
}

export interface FoundAuthFile {
  /** Where it lies, for messages; of one in a variable, its name. */
  readonly path: string;
  readonly file: AuthFile;
}

/**
 * Where passwords are looked up, first to last. A file that is named counts alone.
 *
 * @param authFile what --authfile said
 */
export function authFilePaths(env: Environment, authFile?: string): string[] {
  const named = authFile ?? env.REGISTRY_AUTH_FILE;
  if (named) return [named];
  const home = env.HOME ?? '/';
  return [
    join(runtimeDir(env), 'auth.json'),
    join(env.XDG_CONFIG_HOME || join(home, '.config'), 'containers/auth.json'),
    join(env.DOCKER_CONFIG || join(home, '.docker'), 'config.json'),
  ];
}

/** podman's, which forgets with the next start of the machine. */
function runtimeDir({ XDG_RUNTIME_DIR }: Environment): string {
  return XDG_RUNTIME_DIR ? join(XDG_RUNTIME_DIR, 'containers') : `/run/containers/${process.getuid?.()}`;
}

/**
 * Those that are there. $DOCKER_AUTH_CONFIG holds the text of such a file, and goes before docker's.
 *
 * @throws StoreError CREDENTIALS_INVALID
 */
export async function readAuthFiles(env: Environment, authFile?: string): Promise<FoundAuthFile[]> {
  const paths = authFilePaths(env, authFile);
  const isNamed = paths.length === 1;
  const found: FoundAuthFile[] = [];
  for (const path of paths) {
    const text = await readText(path);
    if (text !== null) found.push({ path, file: parseAuthFile(text, path) });
  }
  const inEnvironment = env.DOCKER_AUTH_CONFIG;
  if (inEnvironment && !isNamed) {
    const path = '$DOCKER_AUTH_CONFIG';
    const dockerAt = found.findIndex((each) => each.path === paths.at(-1));
    found.splice(dockerAt < 0 ? found.length : dockerAt, 0, { path, file: parseAuthFile(inEnvironment, path) });
  }
  return found;
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    // A file that others may read only (root's, under sudo) is as good as none.
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
}

/** The reason is told without V8's words: they quote the text around the mistake, which may be a password. */
function parseAuthFile(text: string, path: string): AuthFile {
  let value: unknown;
  try {
    value = JSON.parse(text.trim() === '' ? '{}' : text);
  } catch {
    throw invalid(`${path} is not valid JSON`, 'mend it, or log in again');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as AuthFile;
  throw invalid(`${path} is no JSON object`, 'mend it, or log in again');
}

/**
 * Puts what `change` makes of the file in its place, readable by its owner only; null leaves it. What else is in it stays.
 * A link is followed, as those that manage configuration files make them.
 */
export async function changeAuthFile(path: string, change: (file: AuthFile) => AuthFile | null): Promise<void> {
  const { mkdir, rename, rm, writeFile } = await import('node:fs/promises');
  const { dirname } = await import('node:path');
  const { randomUUID } = await import('node:crypto');
  const target = await realpath(path).catch(() => path);
  const text = await readText(target);
  const changed = change(text === null ? {} : parseAuthFile(text, path));
  if (changed === null) return;
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  const beside = `${target}.${randomUUID()}`;
  try {
    await writeFile(beside, `${JSON.stringify(changed, null, '\t')}\n`, { mode: 0o600, flag: 'wx', flush: true });
    await rename(beside, target);
  } finally {
    await rm(beside, { force: true });
  }
}

function invalid(message: string, hint: string): StoreError {
  return new StoreError('CREDENTIALS_INVALID', { message, hint });
}
