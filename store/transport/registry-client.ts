// A session with one registry: requests to its API, authorized as it asks, retried where that may help.
// OCI distribution-spec v1.1, which Docker's registry API v2 is the ancestor of.
import type { Environment } from './auth-files.js';
import { type Credentials, describeCredentials, findCredentials } from './credentials.js';
import { type HttpClient, type HttpRequest, type HttpResponse, openHttpClient, readBody } from './http-client.js';
import { defaultIdleMs } from './http-connect.js';
import { readRegistriesConf } from './registries-conf.js';
import { findOrigin, type RegistryOptions, registryHttpOptions } from './registry-access.js';
import { answerChallenge, type Challenge, parseChallenges } from './registry-auth.js';
import { type PullPlace, pullPlaces, pushPlace } from './registry-places.js';
import { refusal } from './registry-refusal.js';
import { newSources } from './registry-sources.js';
import type { Mirror, Registry } from './registry-types.js';
import { withRetries } from './retry.js';

export type { Registry };

export type Access = 'pull' | 'push';

/**
 * A place that an image's name means: for a pull the mirrors of registries.conf are asked before it.
 *
 * @param mountFrom repositories of the same registry that blobs may be mounted from
 * @throws StoreError REGISTRY_BLOCKED, REGISTRIES_CONF_INVALID, CA_FILE_UNREADABLE, REGISTRY_UNREACHABLE
 */
export async function openRegistry(
  place: { readonly registry: string; readonly repository: string },
  access: Access,
  options: RegistryOptions,
  mountFrom: readonly string[] = [],
): Promise<Registry> {
  const rules = await readRegistriesConf(options.environment ?? process.env);
  const places = access === 'pull' ? pullPlaces(place, rules) : [pushPlace(place, rules)];
  const opened: Promise<Registry>[] = [];
  const mirrors = places.slice(0, -1).map((mirror): Mirror => {
    let session: Promise<Registry> | undefined;
    const open = (): Promise<Registry> => {
      if (session !== undefined) return session;
      session = openPlace(mirror, access, patience(options), [], []);
      opened.push(session);
      return session;
    };
    return { name: `${mirror.registry}/${mirror.repository}`, takes: mirror.takes, open };
  });
  const upstream = await openPlace(places.at(-1)!, access, options, mountFrom, mirrors);
  const close = (): void => {
    upstream.close();
    for (const session of opened) session.then((registry) => registry.close()).catch(() => {});
  };
  return { ...upstream, close };
}

/** Another place follows: a mirror that does not answer is not waited for long. */
function patience(options: RegistryOptions): RegistryOptions {
  return {
    ...options,
    retry: { ...options.retry, attempts: 2 },
    idleTimeoutMs: Math.min(options.idleTimeoutMs ?? 15_000, 15_000),
  };
}

async function openPlace(
  place: PullPlace,
  access: Access,
  given: RegistryOptions,
  mountFrom: readonly string[],
  mirrors: readonly Mirror[],
): Promise<Registry> {
  const options = place.insecure ? { ...given, tlsVerify: given.tlsVerify ?? false } : given;
  const environment = options.environment ?? process.env;
  const client = await openHttpClient(await registryHttpOptions(place.registry, options, environment));
  const finding = findOrigin(client, place.registry, options);
  // With mirrors before it, the registry itself need not be there.
  const origin = await (mirrors.length === 0 ? finding : finding.catch(() => new URL(`http://${place.registry}/`)));
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
    limits: { leastChunkBytes: 0 },
    idleTimeoutMs: options.idleTimeoutMs ?? defaultIdleMs,
    sources: newSources(mirrors),
    url: (path) => new URL(`/v2/${place.repository}/${path}`, origin),
    attempt: (request, expected) => authorized(client, registry, authorization, request, expected),
    send: (request, expected) => withRetries(retry, () => registry.attempt(request, expected)),
    describeLogin: () => login.describe().catch(() => 'no login was sent'),
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
  /** The header in force, or null before the registry asked for one. */
  current(): Promise<string | null>;
  /** Answers a 401 to a request that was sent with `used`. Concurrent requests share one answer. False: nothing to answer with. */
  renew(challenges: readonly Challenge[], used: string | null): Promise<boolean>;
}

function authorizer(client: HttpClient, origin: URL, scopes: readonly string[], login: Login): Authorization {
  let header: Promise<string | null> = Promise.resolve(null);
  return {
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
    throw await refusal({ name, repository, origin, login: await registry.describeLogin() }, request, response);
  }
}

/** Reads what is left so that the connection can be used again; gives up on what is long. */
export async function drain(response: HttpResponse): Promise<void> {
  await readBody(response, 64 * 1024).catch(() => response.body.destroy());
}
