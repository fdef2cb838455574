// Which password goes to a registry: the lookup through files and helpers.
import { StoreError } from '../errors.js';
import { type AuthEntry, authFilePaths, type Environment, type FoundAuthFile, readAuthFiles } from './auth-files.js';
import { askHelper, type Helper } from './credential-helper.js';

export type Credentials = Secret & {
  /** Where they were found, for messages: a file, or a helper. */
  readonly from: string;
};

type Secret =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token. */
  | { readonly kind: 'identity'; readonly token: string };

export interface CredentialOptions {
  /** The only file to look into. */
  readonly authFile?: string | undefined;
  readonly helperTimeoutMs?: number | undefined;
}

/**
 * The first that knows the registry of: the named file alone, or podman's two auth.json and docker's config.json. Null means
 * anonymous.
 *
 * @throws StoreError CREDENTIALS_INVALID: a file that is no JSON, a helper that is missing or fails
 */
export async function findCredentials(
  registry: string,
  repository: string,
  env: Environment,
  options: CredentialOptions = {},
): Promise<Credentials | null> {
  const files = await readAuthFiles(env, options.authFile);
  const [named, ...more] = authFilePaths(env, options.authFile);
  if (more.length === 0 && files.length === 0) {
    throw new StoreError('CREDENTIALS_INVALID', {
      message: `there is no ${named} to be read`,
      hint: `--authfile and REGISTRY_AUTH_FILE name a file that 'tsbuild login --authfile' writes`,
    });
  }
  for (const found of files) {
    const credentials = await lookUp(found, registry, repository, env, options);
    if (credentials !== null) return credentials;
  }
  return null;
}

/** What a message says of who asked. */
export function describeCredentials(
  credentials: Credentials | null,
  registry: string,
  env: Environment,
  options: CredentialOptions,
): string {
  if (credentials !== null) return describeSent(credentials);
  return `no login was sent: there is none for ${registry} in ${authFilePaths(env, options.authFile).join(', ')}`;
}

export function describeSent(credentials: Credentials | null): string {
  if (credentials === null) return 'no login was sent';
  const who =
    credentials.kind === 'password' ? `the login of user ${JSON.stringify(credentials.username)}` : 'an identity token';
  return `sent was ${who} from ${credentials.from}`;
}

async function lookUp(
  { file, path }: FoundAuthFile,
  registry: string,
  repository: string,
  env: Environment,
  options: CredentialOptions,
): Promise<Credentials | null> {
  const own = helperFor(file.credHelpers, registry);
  if (own !== undefined) return viaHelper(helperOf(own, path, options), registry, env);
  const entries = new Map(Object.entries(file.auths ?? {}).map(([key, entry]) => [normalKey(key), entry] as const));
  // podman's keys may go down to the repository; the most specific wins.
  const full = repository === '' ? registry : `${registry}/${repository}`;
  for (let key = full; key !== ''; key = key.slice(0, Math.max(0, key.lastIndexOf('/')))) {
    const entry = entries.get(key);
    const found = entry ? decodeEntry(entry, path, key) : null;
    if (found !== null) return { ...found, from: path };
  }
  return file.credsStore ? viaHelper(helperOf(file.credsStore, path, options), registry, env) : null;
}

export function helperFor(helpers: Readonly<Record<string, string>> | undefined, registry: string): string | undefined {
  return Object.entries(helpers ?? {}).find(([key]) => normalKey(key) === registry)?.[1];
}

export function helperOf(name: string, path: string, { helperTimeoutMs = 30_000 }: CredentialOptions): Helper {
  return { name, path, timeoutMs: helperTimeoutMs };
}

async function viaHelper(helper: Helper, registry: string, env: Environment): Promise<Credentials | null> {
  for (const server of serverNames(registry)) {
    const answer = await askHelper(helper, server, env);
    if (answer === null) continue;
    const from = `docker-credential-${helper.name}`;
    if (answer.username === '<token>') return { kind: 'identity', token: answer.secret, from };
    return { kind: 'password', username: answer.username, password: answer.secret, from };
  }
  return null;
}

/** 'https://index.docker.io/v1/' → 'docker.io'; 'https://host:5000/v2/' → 'host:5000'. */
export function normalKey(key: string): string {
  const bare = key.replace(/^https?:\/\//, '').replace(/(\/v[12])?\/*$/, '');
  return bare.replace(/^(index|registry-1)\.docker\.io(?=\/|$)/, 'docker.io');
}

/** The names under which docker and podman keep a registry with their helpers. */
export function serverNames(registry: string): string[] {
  return registry === 'docker.io' ? ['https://index.docker.io/v1/', 'docker.io'] : [registry];
}

function decodeEntry(entry: AuthEntry, path: string, key: string): Secret | null {
  if (entry.identitytoken) return { kind: 'identity', token: entry.identitytoken };
  if (entry.username !== undefined && entry.password !== undefined) {
    return { kind: 'password', username: entry.username, password: entry.password };
  }
  if (!entry.auth) return null; // docker leaves an empty entry where a helper keeps the password
  const decoded = Buffer.from(String(entry.auth), 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = decoded.indexOf(':');
  if (colon < 0) {
    throw new StoreError('CREDENTIALS_INVALID', {
      message: `the entry for ${key} in ${path} holds no 'user:password'`,
      hint: `log in again: tsbuild login ${key.split('/')[0]}`,
    });
  }
  return { kind: 'password', username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}
