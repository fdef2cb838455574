// Logging in: a password is tried at its registry, then kept where lookups find it.
import { StoreError } from '../errors.js';
import { type AuthFile, authFilePaths, changeAuthFile, type Environment, readAuthFiles } from './auth-files.js';
import { eraseWithHelper, storeWithHelper } from './credential-helper.js';
import { type Credentials, helperFor, helperOf, normalKey, serverNames } from './credentials.js';
import { type HttpClient, openHttpClient } from './http-client.js';
import { findOrigin, type RegistryOptions, registryHttpOptions } from './registry-access.js';
import { answerChallenge, parseChallenges } from './registry-auth.js';
import { drain } from './registry-client.js';
import { refusal } from './registry-refusal.js';
import { TransientError, withRetries } from './retry.js';

export interface Login {
  readonly username: string;
  readonly password: string;
}

/**
 * Tries a password at the registry, and keeps it: with the helper that is named for the registry, else in the file that
 * knows the registry already, else in ~/.config/containers/auth.json.
 *
 * @returns where it is kept: a file, or 'docker-credential-NAME'
 * @throws StoreError REGISTRY_UNAUTHORIZED, REGISTRY_UNREACHABLE, REGISTRY_TLS, CREDENTIALS_INVALID
 */
export async function logIn(registry: string, login: Login, options: RegistryOptions): Promise<string> {
  await tryLogin(registry, { kind: 'password', ...login, from: 'this login' }, options);
  const environment = options.environment ?? process.env;
  const place = await placeFor(registry, environment, options);
  if (place.helper !== null) {
    const { username, password } = login;
    await storeWithHelper(place.helper, serverNames(registry)[0]!, { username, secret: password }, environment);
    return `docker-credential-${place.helper.name}`;
  }
  const auth = Buffer.from(`${login.username}:${login.password}`).toString('base64');
  await changeAuthFile(place.path, (file) => {
    const key = keysFor(file, registry)[0] ?? serverNames(registry)[0]!;
    return { ...file, auths: { ...file.auths, [key]: { auth } } };
  });
  return place.path;
}

/**
 * Forgets the password of a registry, in every place where a lookup would find it.
 *
 * @returns those places
 * @throws StoreError CREDENTIALS_INVALID
 */
export async function logOut(
  registry: string,
  options: Pick<RegistryOptions, 'authFile' | 'environment'>,
): Promise<string[]> {
  const environment = options.environment ?? process.env;
  const cleared: string[] = [];
  const paths = authFilePaths(environment, options.authFile);
  for (const { file, path } of await readAuthFiles(environment, options.authFile)) {
    const name = helperFor(file.credHelpers, registry) ?? file.credsStore;
    if (name) {
      for (const server of serverNames(registry)) await eraseWithHelper(helperOf(name, path, {}), server, environment);
      cleared.push(`docker-credential-${name}`);
    }
    if (!paths.includes(path) || keysFor(file, registry).length === 0) continue;
    await changeAuthFile(path, (current) => {
      const gone = new Set(keysFor(current, registry));
      const left = Object.entries(current.auths ?? {}).filter(([key]) => !gone.has(key));
      return { ...current, auths: Object.fromEntries(left) };
    });
    cleared.push(path);
  }
  return cleared;
}

async function tryLogin(registry: string, credentials: Credentials, options: RegistryOptions): Promise<void> {
  const environment = options.environment ?? process.env;
  const client = await openHttpClient(await registryHttpOptions(registry, options, environment));
  try {
    const origin = await findOrigin(client, registry, options);
    await withRetries(options.retry ?? {}, () => answered(client, { registry, origin, credentials }));
  } catch (error) {
    throw error instanceof StoreError && error.code === 'REGISTRY_UNAUTHORIZED'
      ? wrongPassword(registry, error)
      : error;
  } finally {
    client.close();
  }
}

/** One attempt to be let in. A registry that lets everybody in takes every password. */
async function answered(
  client: HttpClient,
  { registry, origin, credentials }: { registry: string; origin: URL; credentials: Credentials },
): Promise<void> {
  const request = { method: 'GET' as const, url: new URL('/v2/', origin) };
  const open = await client.send(request);
  await drain(open);
  if (open.status !== 401) return requireRegistry(registry, open.status);
  const challenges = parseChallenges(String(open.headers['www-authenticate'] ?? ''));
  const authorization = await answerChallenge(client, origin, challenges, [], credentials);
  const response = await client.send({ ...request, authorization: authorization ?? undefined });
  if (response.status === 200) return drain(response);
  throw await refusal({ name: registry, repository: '', origin, login: '' }, request, response);
}

function requireRegistry(registry: string, status: number): void {
  if (status === 200) return;
  const error = new StoreError('REGISTRY_ANSWER_INVALID', {
    message: `${registry}/v2/: HTTP ${status}`,
    hint: 'it does not look like a registry; check its name and port',
  });
  throw status >= 500 ? new TransientError(error) : error;
}

function wrongPassword(registry: string, cause: Error): StoreError {
  return new StoreError('REGISTRY_UNAUTHORIZED', {
    message: `${registry} does not accept this user and password`,
    hint: 'nothing was stored; some registries want a token in place of the password',
    cause,
  });
}

async function placeFor(
  registry: string,
  environment: Environment,
  options: RegistryOptions,
): Promise<{ path: string; helper: ReturnType<typeof helperOf> | null }> {
  const paths = authFilePaths(environment, options.authFile);
  for (const { file, path } of await readAuthFiles(environment, options.authFile)) {
    const name = helperFor(file.credHelpers, registry) ?? file.credsStore;
    if (name) return { path, helper: helperOf(name, path, { helperTimeoutMs: options.idleTimeoutMs }) };
    if (paths.includes(path) && keysFor(file, registry).length > 0) return { path, helper: null };
  }
  return { path: paths.length === 1 ? paths[0]! : paths[1]!, helper: null };
}

/** The keys under which a file has the whole registry. */
function keysFor(file: AuthFile, registry: string): string[] {
  return Object.keys(file.auths ?? {}).filter((key) => normalKey(key) === registry);
}
