// Who we are to a registry: the answer to its 401.
import { StoreError } from '../errors.js';
import { type Credentials, describeSent } from './credentials.js';
import { type HttpClient, readBody, requireSafeTarget } from './http-client.js';
import { parseRetryAfter, TransientError } from './retry.js';

export interface Challenge {
  readonly scheme: 'basic' | 'bearer';
  readonly parameters: Readonly<Record<string, string>>;
}

/** The challenges of a WWW-Authenticate header that we can answer. @see RFC 9110, 11.6.1 */
export function parseChallenges(header: string): Challenge[] {
  const found: { scheme: string; parameters: Record<string, string> }[] = [];
  // A word without '=' starts a challenge, name=value pairs belong to the last one.
  const token = /([A-Za-z0-9_-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?/g;
  for (const [, name = '', quoted, bare] of header.matchAll(token)) {
    const value = quoted?.replace(/\\(.)/g, '$1') ?? bare;
    if (value === undefined) found.push({ scheme: name.toLowerCase(), parameters: {} });
    else if (found.length > 0) found.at(-1)!.parameters[name.toLowerCase()] = value;
  }
  return found.filter(
    (challenge): challenge is Challenge => challenge.scheme === 'basic' || challenge.scheme === 'bearer',
  );
}

/**
 * The Authorization header that answers `challenges`; null where we have nothing to answer with.
 *
 * @param scopes 'repository:team/app:pull,push'
 * @throws StoreError REGISTRY_UNAUTHORIZED, REGISTRY_ANSWER_INVALID
 */
export async function answerChallenge(
  client: HttpClient,
  registry: URL,
  challenges: readonly Challenge[],
  scopes: readonly string[],
  credentials: Credentials | null,
): Promise<string | null> {
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
  if (bearer !== undefined) return `Bearer ${await fetchToken(client, registry, bearer, scopes, credentials)}`;
  const basic = challenges.some(({ scheme }) => scheme === 'basic');
  return basic && credentials?.kind === 'password' ? basicHeader(credentials) : null;
}

function basicHeader(credentials: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`, 'utf8').toString('base64')}`;
}

/** @see distribution, "Token Authentication Specification" and "OAuth2 Token Authentication" */
async function fetchToken(
  client: HttpClient,
  registry: URL,
  challenge: Challenge,
  scopes: readonly string[],
  credentials: Credentials | null,
): Promise<string> {
  const { realm = '', service } = challenge.parameters;
  if (!URL.canParse(realm)) throw badAnswer(registry, 'names no valid token server in its challenge');
  const url = new URL(realm);
  requireSafeTarget(registry, url);
  // A registry that could name any server as its realm could collect its users' passwords there (CVE-2020-15157).
  const trusted = sameSite(registry.hostname, url.hostname) ? credentials : null;
  const parameters = new URLSearchParams(url.search);
  if (service !== undefined) parameters.set('service', service);
  for (const scope of scopes) parameters.append('scope', scope);

  const response =
    trusted?.kind === 'identity'
      ? await client.send({
          method: 'POST',
          url,
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          body: Buffer.from(refreshForm(service, scopes, trusted.token)),
        })
      : await client.send({
          method: 'GET',
          url: new URL(`?${parameters}`, url),
          authorization: trusted === null ? undefined : basicHeader(trusted),
        });
  const body = await readBody(response, 1024 * 1024);
  if (response.status === 200) return tokenOf(body, registry);
  const refused = unauthorized(registry, url, response.status, credentials, trusted);
  if (response.status === 429 || response.status >= 500) {
    throw new TransientError(refused, parseRetryAfter(response.headers['retry-after'], Date.now()));
  }
  // Some give nothing where one of several repositories is denied (GitLab); only the first has to be granted.
  if (scopes.length > 1) return fetchToken(client, registry, challenge, scopes.slice(0, 1), credentials);
  throw refused;
}

function refreshForm(service: string | undefined, scopes: readonly string[], token: string): string {
  return new URLSearchParams({
    grant_type: 'refresh_token',
    client_id: 'tsbuild',
    service: service ?? '',
    scope: scopes.join(' '),
    refresh_token: token,
  }).toString();
}

function tokenOf(body: Buffer, registry: URL): string {
  let answer: { token?: unknown; access_token?: unknown };
  try {
    answer = JSON.parse(body.toString('utf8'));
  } catch {
    throw badAnswer(registry, 'has a token server that does not answer in JSON');
  }
  const token = answer.token || answer.access_token;
  // What goes into a header must be one word.
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token))
    throw badAnswer(registry, 'has a token server that gave no token');
  return token;
}

/**
 * True where both names are one operator's by their look: equal, or below the registry's own domain
 * (registry-1.docker.io and auth.docker.io; registry.gitlab.com and gitlab.com).
 */
export function sameSite(registry: string, other: string): boolean {
  if (registry === other) return true;
  const labels = registry.split('.');
  if (registry.includes(':') || /^[0-9.]+$/.test(registry) || labels.length < 2) return false;
  const parent = labels.slice(1);
  // 'foo.co.uk' must not trust 'bar.co.uk': two short labels at the end are a public suffix for all we know.
  const publicSuffix = parent.length < 2 || (parent.length === 2 && parent[1]!.length === 2 && parent[0]!.length <= 3);
  const site = publicSuffix ? registry : parent.join('.');
  return other === site || other.endsWith(`.${site}`);
}

function unauthorized(
  registry: URL,
  realm: URL,
  status: number,
  credentials: Credentials | null,
  sent: Credentials | null,
): StoreError {
  return new StoreError('REGISTRY_UNAUTHORIZED', {
    message: `${realm.host} gives no token for ${registry.host} (HTTP ${status})`,
    hint:
      credentials !== null && sent === null
        ? `your password for ${registry.host} was not sent: it asks to send it to ${realm.host}, another host`
        : `${describeSent(sent)}; log in with 'tsbuild login', and check that you may use this repository`,
  });
}

function badAnswer(registry: URL, problem: string): StoreError {
  return new StoreError('REGISTRY_ANSWER_INVALID', { message: `${registry.host} ${problem}` });
}
