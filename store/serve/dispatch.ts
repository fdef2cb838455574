// A request's way: its path, who it is from, what they may, its handler, and what became of it.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { addUsers } from '../content/damaged.js';
import type { Store } from '../content/handle.js';
import { StoreError } from '../errors.js';
import type { Action } from './access.js';
import type { AccessLog } from './access-log.js';
import type { Authentication } from './authentication.js';
import { blobRequest } from './blob-requests.js';
import { ConnectionLost } from './body.js';
import { asRequestError, RequestError } from './errors.js';
import { answer, answerError, type Exchange, type Registry, requireMethod } from './exchange.js';
import { catalog, referrers, tagList } from './listings.js';
import { manifestRequest } from './manifest-requests.js';
import type { Metrics } from './metrics.js';
import type { Repository } from './repository-names.js';
import { type Route, routeOf } from './route.js';
import { continueUpload, startUpload } from './upload-requests.js';

export interface Desk {
  readonly registry: Registry;
  readonly authentication: Authentication;
  readonly metrics: Metrics | null;
  readonly log: AccessLog | null;
  /** Requests that are being answered. */
  readonly underWay: Set<ServerResponse>;
}

/** How long a client whose body is not wanted may go on sending it. */
const patienceMs = 5000;

/** Answers one request; never throws. */
export async function serveRequest(desk: Desk, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const started = performance.now();
  const time = new Date().toISOString();
  const traffic = { bytesIn: 0, bytesOut: 0 };
  const seen: Seen = { route: 'other', user: null, error: undefined };
  const [path = '', query = ''] = splitOnce(request.url ?? '', '?');
  const remote = request.socket.remoteAddress ?? '';
  desk.underWay.add(response);
  response.on('close', () => {
    desk.underWay.delete(response);
    if (!request.complete) setTimeout(() => request.destroy(), patienceMs).unref();
    const method = request.method ?? '';
    const durationMs = Math.round((performance.now() - started) * 10) / 10;
    const status = response.headersSent ? response.statusCode : 499;
    const { route, user, error } = seen;
    desk.metrics?.add({ route, method, status, durationMs, ...traffic });
    const agent = request.headers['user-agent'] ?? '';
    const complete = response.writableFinished;
    desk.log?.write({
      time,
      remote,
      user,
      method,
      path,
      status,
      error,
      ...traffic,
      durationMs,
      userAgent: agent,
      complete,
    });
  });
  try {
    response.setHeader('docker-distribution-api-version', 'registry/2.0');
    response.setHeader('x-content-type-options', 'nosniff');
    const route = routeOf(path);
    seen.route = route?.kind ?? 'other';
    if (route === null) throw new RequestError(404, 'UNSUPPORTED', 'there is nothing at this path');
    await handle(desk, route, request, response, new URLSearchParams(query), traffic, seen);
  } catch (error) {
    seen.error = fail(desk, { request, response, traffic }, error);
  }
}

interface Seen {
  route: string;
  user: string | null;
  error: string | undefined;
}

async function handle(
  desk: Desk,
  route: Route,
  request: IncomingMessage,
  response: ServerResponse,
  query: URLSearchParams,
  traffic: Exchange['traffic'],
  seen: Seen,
): Promise<void> {
  const { authentication, registry } = desk;
  const isOpen = route.kind === 'health' || route.kind === 'token';
  const identity = isOpen ? { user: null } : await authentication.identify(request);
  seen.user = identity.user;
  const exchange: Exchange = {
    registry,
    request,
    response,
    method: request.method ?? '',
    query,
    identity,
    may: (action, repository) => authentication.may(identity, action, repository),
    traffic,
  };
  switch (route.kind) {
    case 'health':
      requireMethod(exchange, 'GET', 'HEAD');
      return answer(exchange, 200, { 'content-type': 'text/plain' }, 'ok\n');
    case 'token':
      return authentication.answerToken(exchange);
    case 'base':
      requireMethod(exchange, 'GET', 'HEAD');
      requireLogin(exchange, authentication);
      return answer(exchange, 200, { 'content-type': 'application/json' }, '{}\n');
    case 'metrics':
      return tellMetrics(desk, exchange);
    case 'catalog':
      return catalog(exchange, authentication.listable(request, identity));
    default: {
      const repository = registry.names.repository(route.name);
      const needed = neededFor(exchange, route);
      if (!needed.every((action) => exchange.may(action, repository))) {
        throw authentication.refusal(request, identity, needed, repository);
      }
      return inRepository(exchange, route, repository);
    }
  }
}

type RepositoryRoute = Extract<Route, { name: string }>;

async function inRepository(exchange: Exchange, route: RepositoryRoute, repository: Repository): Promise<void> {
  switch (route.kind) {
    case 'tags':
      return tagList(exchange, repository);
    case 'uploads':
      return startUpload(exchange, repository);
    case 'upload':
      return continueUpload(exchange, repository, route.reference);
    case 'blob':
      return blobRequest(exchange, repository, route.reference);
    case 'manifest':
      return manifestRequest(exchange, repository, route.reference);
    case 'referrers':
      return referrers(exchange, repository, route.reference);
  }
}

function neededFor({ method }: Exchange, { kind }: RepositoryRoute): readonly Action[] {
  if (kind === 'uploads' || kind === 'upload') return ['pull', 'push'];
  if (method === 'DELETE') return ['delete'];
  return method === 'PUT' ? ['pull', 'push'] : ['pull'];
}

/** Clients ask here whether they should log in. */
function requireLogin({ request, identity }: Exchange, authentication: Authentication): void {
  if (!authentication.asks || identity.user !== null || identity.granted !== undefined) return;
  throw authentication.challenge(request, null, 'a login is needed');
}

function tellMetrics({ metrics, registry, authentication, underWay }: Desk, exchange: Exchange): void {
  requireMethod(exchange, 'GET');
  if (metrics === null)
    throw new RequestError(404, 'UNSUPPORTED', 'metrics are told where the server was started with --metrics');
  requireLogin(exchange, authentication);
  const { uploads, store } = registry;
  const text = metrics.text({
    requestsUnderWay: underWay.size,
    uploadsOpen: uploads.count,
    uploadBytes: uploads.bytes,
    storedBytes: store.database.objectBytes(),
  });
  answer(exchange, 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }, text);
}

/** Tells the client what went wrong, if it can still be told. Returns the spec's code. */
function fail(
  desk: Desk,
  exchange: Pick<Exchange, 'request' | 'response' | 'traffic'>,
  error: unknown,
): string | undefined {
  const { response } = exchange;
  if (error instanceof ConnectionLost) {
    response.destroy();
    return undefined;
  }
  const known = asRequestError(error);
  if (known === null || known.status >= 500) desk.registry.notice(noticeOf(desk.registry.store, error));
  const told = known ?? new RequestError(500, 'UNKNOWN', 'the server failed');
  if (response.headersSent) response.destroy();
  else answerError(exchange, told);
  return told.code;
}

/** A failure of the store in words; of a bug all there is. */
function noticeOf(store: Store, error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!(error instanceof StoreError)) return error.stack ?? error.message;
  addUsers(store, error);
  return [error.message, error.hint].filter(Boolean).join('; ');
}

function splitOnce(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
