// A session with one registry: requests to its API, authorized as it asks, retried where that may help.
// OCI distribution-spec v1.1, which Docker's registry API v2 is the ancestor of.

import type { Environment } from './auth-files.js';
import { type Credentials, describeCredentials, findCredentials } from './credentials.js';
import { type HttpClient, type HttpRequest, type HttpResponse, openHttpClient, readBody } from './http-client.js';
import { findOrigin, type RegistryOptions, registryHttpOptions } from './registry-access.js';
import { answerChallenge, type Challenge, parseChallenges } from './registry-auth.js';
import { refusal } from './registry-refusal.js';
import { type RetryOptions, withRetries } from './retry.js';

export interface Registry {
  /** As the user wrote it: 'localhost:5000'. */
  readonly name: string;
  readonly repository: string;
  readonly origin: URL;
  readonly retry: RetryOptions;
  readonly chunkBytes: number;
  /** URL below /v2/<repository>/, or what an upload's Location header said. */
  url(path: string): URL;
  /**
   * One attempt. Answers with the statuses in `expected`; a status that may pass by itself is a TransientError.
   *
   * @throws StoreError REGISTRY_UNAUTHORIZED, REGISTRY_DENIED, REGISTRY_NOT_FOUND, REGISTRY_ANSWER_INVALID
   */
  attempt(request: HttpRequest, expected: readonly number[]): Promise<HttpResponse>;
  /** `attempt` until it succeeds; the body must be re-openable. */
  send(request: HttpRequest, expected: readonly number[]): Promise<HttpResponse>;
  close(): void;
}

export type Access = 'pull' | 'push';

/** @param mountFrom repositories of the same registry that blobs may be mounted from */
export async function openRegistry(
  place: { readonly registry: string; readonly repository: string },
  access: Access,
  options: RegistryOptions,
  mountFrom: readonly string[] = [],
): Promise<Registry> {
  const environment = options.environment ?? process.env;
  const client = await openHttpClient(await registryHttpOptions(place.registry, options, environment));
  const origin = await findOrigin(client, place.registry, options);
  const scopes = [
    `repository:${place.repository}:${access === 'push' ? 'pull,push' : 'pull'}`,
    ...mountFrom.map((repository) => `repository:${repository}:pull`),
  ];
  const login = credentialsOf(place, environment, options);
  const authorization = authorizer(client, origin, scopes, login);
  const retry = options.retry ?? {};
  const registry: Registry = {
    name: place.registry,
    repository: place.repository,
    origin,
    retry,
    chunkBytes: options.chunkBytes ?? 64 * 1024 * 1024,
    url: (path) => new URL(`/v2/${place.repository}/${path}`, origin),
    attempt: (request, expected) => authorized(client, registry, authorization, request, expected),
    send: (request, expected) => withRetries(retry, () => registry.attempt(request, expected)),
    close: client.close,
  };
  return registry;
}

interface Login {
  /** Looked up once, and not before a registry asks. */
  find(): Promise<Credentials | null>;
  describe(): Promise<string>;
}

function credentialsOf(
  { registry, repository }: { readonly registry: string; readonly repository: string },
  environment: Environment,
  { authFile, idleTimeoutMs }: RegistryOptions,
): Login {
  const options = { authFile, helperTimeoutMs: idleTimeoutMs };
  let found: Promise<Credentials | null> | null = null;
  const find = (): Promise<Credentials | null> => {
    found ??= findCredentials(registry, repository, environment, options);
    return found;
  };
  return { find, describe: async () => describeCredentials(await find(), registry, environment, options) };
}

interface Authorization {
  readonly login: Login;
  /** The header in force, or null before the registry asked for one. */
  current(): Promise<string | null>;
  /** Answers a 401 to a request that was sent with `used`. Concurrent requests share one answer. False: nothing to answer with. */
  renew(challenges: readonly Challenge[], used: string | null): Promise<boolean>;
}

function authorizer(client: HttpClient, origin: URL, scopes: readonly string[], login: Login): Authorization {
  let header: Promise<string | null> = Promise.resolve(null);
  return {
    login,
    current: () => header.catch(() => null),
    async renew(challenges, used) {
      const known = await header.catch(() => null);
      if (known !== used) return known !== null; // another request has renewed it meanwhile
      header = (async () => answerChallenge(client, origin, challenges, scopes, await login.find()))();
      const renewed = await header;
      // Basic credentials that were refused won't be accepted the second time.
      return renewed !== null && renewed !== used;
    },
  };
}

async function authorized(
  client: HttpClient,
  registry: Registry,
  authorization: Authorization,
  request: HttpRequest,
  expected: readonly number[],
): Promise<HttpResponse> {
  for (let round = 0; ; round += 1) {
    const header = request.url.origin === registry.origin.origin ? await authorization.current() : null;
    const response = await client.send({ ...request, authorization: header ?? undefined });
    if (expected.includes(response.status)) return response;
    if (response.status === 401 && round < 2 && request.url.origin === registry.origin.origin) {
      const challenges = parseChallenges(String(response.headers['www-authenticate'] ?? ''));
      await drain(response);
      if (await authorization.renew(challenges, header)) continue;
    }
    const { name, repository, origin } = registry;
    const login = await authorization.login.describe().catch(() => 'no login was sent');
    throw await refusal({ name, repository, origin, login }, request, response);
  }
}

/** Reads what is left so that the connection can be used again; gives up on what is long. */
export async function drain(response: HttpResponse): Promise<void> {
  await readBody(response, 64 * 1024).catch(() => response.body.destroy());
}
