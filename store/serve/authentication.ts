// Who a request is from, and what is asked of one that does not say: passwords in each request (basic), or a token that is
// had for a password at /token. @see OCI distribution-spec v1.1; Docker's token authentication specification
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { type AccessRule, type Action, type Identity, mayDo } from './access.js';
import { readDocument } from './body.js';
import { RequestError } from './errors.js';
import { answerJson, type Exchange, requireMethod } from './exchange.js';
import type { Passwords } from './htpasswd.js';
import type { Repository, RepositoryNames } from './repository-names.js';
import { Tokens, tokenLifeMs } from './tokens.js';

export interface AuthenticationOptions {
  readonly kind: 'basic' | 'token';
  /** Null: nobody has a password here. */
  readonly passwords: Passwords | null;
  /** Clients are known by their certificates. */
  readonly certificates: boolean;
  readonly rules: readonly AccessRule[] | null;
  /** What tokens are for: this server. */
  readonly service: string;
}

/** No name and no password: what skopeo and podman say where they have no login. */
const nothing = 'Basic Og==';
const maxFormBytes = 16 << 10;
const catalogScope = 'registry:catalog:*';
const mostScopes = 50;

export class Authentication {
  readonly #options: AuthenticationOptions;
  readonly #tokens: Tokens | null;

  constructor(options: AuthenticationOptions) {
    this.#options = options;
    this.#tokens = options.kind === 'token' && options.passwords !== null ? new Tokens(options.service) : null;
  }

  /** True where a request should say who it is from. */
  get asks(): boolean {
    return this.#options.passwords !== null;
  }

  /** @throws RequestError UNAUTHORIZED for a wrong password or token; without any, nobody in particular */
  async identify(request: IncomingMessage): Promise<Identity> {
    const certified = this.#options.certificates ? certifiedName(request) : null;
    const { authorization } = request.headers;
    if (authorization === undefined || authorization === nothing || this.#options.passwords === null) {
      return { user: certified };
    }
    const token = /^Bearer +([\w.~+/=-]+)$/i.exec(authorization)?.[1];
    if (this.#tokens !== null && token !== undefined) {
      const identity = this.#tokens.read(token);
      if (identity !== null) return identity;
      throw this.challenge(request, null, 'the token is not valid, or no longer', 'invalid_token');
    }
    const named = basicCredentials(authorization);
    if (named !== null && (await this.#options.passwords.isRight(named.user, named.password)))
      return { user: named.user };
    throw this.challenge(request, null, 'user name or password is wrong');
  }

  may({ user, granted }: Identity, action: Action, repository: Repository): boolean {
    const { rules } = this.#options;
    const knowsUsers = this.asks || this.#options.certificates;
    if (granted !== undefined && granted.get(repository.key)?.has(action) !== true) return false;
    return mayDo(rules, knowsUsers, user, action, repository.name);
  }

  /** The repositories that the client may know of. @throws RequestError UNAUTHORIZED where a token for that is needed first */
  listable(request: IncomingMessage, { user, granted }: Identity): (repository: Repository) => boolean {
    if (granted !== undefined && !granted.has(catalogScope)) {
      throw this.challenge(request, catalogScope, 'listing repositories needs a token for it', 'insufficient_scope');
    }
    if (user === null && granted === undefined && this.asks) {
      throw this.challenge(request, catalogScope, 'listing repositories needs a login');
    }
    return (repository) => this.may({ user }, 'pull', repository);
  }

  /** A request that is not allowed: who has not said who they are is asked to. */
  refusal(
    request: IncomingMessage,
    identity: Identity,
    actions: readonly Action[],
    { name, key }: Repository,
  ): RequestError {
    const couldBeGranted =
      identity.granted !== undefined && !actions.every((each) => identity.granted?.get(key)?.has(each));
    if (this.asks && (identity.user === null || couldBeGranted)) {
      const scope = `repository:${name}:${actions.join(',')}`;
      const problem = couldBeGranted ? 'insufficient_scope' : undefined;
      return this.challenge(request, scope, `${actions.join(' and ')} in ${name} needs a login`, problem);
    }
    return new RequestError(
      403,
      'DENIED',
      `${identity.user ?? 'an unknown client'} may not ${actions.join(' and ')} in ${name}`,
    );
  }

  challenge(request: IncomingMessage, scope: string | null, message: string, problem?: string): RequestError {
    const { service } = this.#options;
    if (this.#tokens === null) {
      return new RequestError(401, 'UNAUTHORIZED', message, { 'www-authenticate': `Basic realm="${service}"` });
    }
    const scheme = 'encrypted' in request.socket ? 'https' : 'http';
    const words = [`realm="${scheme}://${hostOf(request)}/token"`, `service="${service}"`];
    if (scope !== null) words.push(`scope="${scope}"`);
    if (problem !== undefined) words.push(`error="${problem}"`);
    return new RequestError(401, 'UNAUTHORIZED', message, { 'www-authenticate': `Bearer ${words.join(',')}` });
  }

  /** GET and POST /token: a token for as much of what is asked as the user may. */
  async answerToken(exchange: Exchange): Promise<void> {
    requireMethod(exchange, 'GET', 'POST');
    const { passwords, service } = this.#options;
    if (this.#tokens === null || passwords === null)
      throw new RequestError(404, 'UNSUPPORTED', 'this registry gives no tokens');
    const { request, query } = exchange;
    const form =
      exchange.method === 'POST' ? new URLSearchParams((await readDocument(exchange, maxFormBytes)).toString()) : query;
    const [user, password] = [form.get('username'), form.get('password')];
    const given =
      exchange.method === 'POST' && form.get('grant_type') === 'password' && user !== null && password !== null
        ? { user, password }
        : basicCredentials(request.headers.authorization ?? '');
    if (given !== null && !(await passwords.isRight(given.user, given.password))) {
      throw new RequestError(401, 'UNAUTHORIZED', 'user name or password is wrong', {
        'www-authenticate': `Basic realm="${service}"`,
      });
    }
    if (given === null && request.headers.authorization !== undefined) {
      throw new RequestError(401, 'UNAUTHORIZED', 'a token is had for a user name and a password');
    }
    const identity: Identity = { user: given?.user ?? null };
    const scopes = form.getAll('scope').flatMap((each) => each.split(' ').filter((word) => word !== ''));
    const granted = this.#grant(exchange.registry.names, identity, scopes.slice(0, mostScopes));
    const token = this.#tokens.issue({ user: identity.user, granted });
    const issued = new Date().toISOString();
    answerJson(
      exchange,
      { token, access_token: token, expires_in: tokenLifeMs / 1000, issued_at: issued },
      { 'cache-control': 'no-store' },
    );
  }

  #grant(names: RepositoryNames, identity: Identity, scopes: readonly string[]): Map<string, Set<Action>> {
    const granted = new Map<string, Set<Action>>();
    for (const scope of scopes) {
      if (scope === catalogScope) granted.set(catalogScope, new Set(['pull']));
      const [, name, actions] = /^repository(?:\([^)]*\))?:(.+):([\w,*]+)$/.exec(scope) ?? [];
      if (name === undefined || actions === undefined) continue;
      const repository = repositoryOrNull(names, name);
      if (repository === null) continue;
      const wanted: readonly string[] = actions === '*' ? ['pull', 'push', 'delete'] : actions.split(',');
      const all: readonly Action[] = ['pull', 'push', 'delete'];
      const given = all.filter((action) => wanted.includes(action) && this.may(identity, action, repository));
      if (given.length > 0) granted.set(repository.key, new Set([...(granted.get(repository.key) ?? []), ...given]));
    }
    return granted;
  }
}

function repositoryOrNull(names: RepositoryNames, name: string): Repository | null {
  try {
    return names.repository(name);
  } catch (error) {
    if (error instanceof RequestError) return null;
    throw error;
  }
}

function basicCredentials(authorization: string): { readonly user: string; readonly password: string } | null {
  const encoded = /^Basic +([\w+/=-]+)$/i.exec(authorization)?.[1];
  if (encoded === undefined) return null;
  const text = Buffer.from(encoded, 'base64').toString();
  const colon = text.indexOf(':');
  return colon < 0 ? null : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** What a client's certificate, which the handshake has verified, names as its subject. */
function certifiedName(request: IncomingMessage): string | null {
  const { subject } = (request.socket as TLSSocket).getPeerCertificate?.() ?? {};
  const name = (subject as { CN?: unknown } | undefined)?.CN;
  return typeof name === 'string' ? name : null;
}

/** As the client calls this server; nothing that could end the header's quotes. */
function hostOf({ headers, socket }: IncomingMessage): string {
  const { host } = headers;
  if (host !== undefined && /^[\w.-]+(:\d+)?$|^\[[\da-f:]+\](:\d+)?$/i.test(host)) return host;
  return `${socket.localAddress}:${socket.localPort}`;
}
