// One HTTP request, redirects followed, failures told apart: what may pass (TransientError) and what won't.
import type { IncomingHttpHeaders, IncomingMessage, RequestOptions } from 'node:http';
import type { Readable } from 'node:stream';
import { StoreError } from '../errors.js';
import type { Environment } from './auth-files.js';
import { openTunnel, proxyAuthorization, proxyFor } from './proxy.js';
import { TransientError } from './retry.js';

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent to the origin of `url` only, never along a redirect to another one. */
  readonly authorization?: string | undefined;
  /** A stream is opened anew for every request on the way. */
  readonly body?: Uint8Array | (() => Readable) | undefined;
  /** Gives up the request, and the answer while it is read. */
  readonly signal?: AbortSignal | undefined;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** To be read to its end, or destroyed. */
  readonly body: IncomingMessage;
  /** Where the answer came from, after redirects. */
  readonly url: URL;
}

export interface HttpClient {
  /** @throws TransientError; StoreError REGISTRY_UNREACHABLE, REGISTRY_TLS, REGISTRY_REDIRECT_REFUSED */
  send(request: HttpRequest): Promise<HttpResponse>;
  close(): void;
}

export interface HttpOptions {
  /** PEM certificates to trust besides the built-in ones. */
  readonly extraCa?: readonly string[];
  /** A connection on which nothing moves for so long is given up. */
  readonly idleTimeoutMs?: number;
  /** Names proxies; none by default. */
  readonly environment?: Environment | undefined;
}

const maxRedirects = 10;
const defaultIdleMs = 60_000;

export async function openHttpClient(options: HttpOptions): Promise<HttpClient> {
  const open = connectors(options);
  return {
    async send(request) {
      let current = request;
      for (let hop = 0; ; hop += 1) {
        const response = await exchange(await open.get(current.url), current, options);
        const next = redirectTarget(current, response);
        if (next === null) return response;
        response.body.resume();
        if (hop === maxRedirects) throw refused(request.url, `redirects more than ${maxRedirects} times`);
        current = redirected(current, next);
      }
    },
    close: open.close,
  };
}

interface Connector {
  readonly request: (url: URL, options: RequestOptions) => import('node:http').ClientRequest;
  readonly destroy: () => void;
}

/** One keep-alive agent a protocol, each made (and its module loaded) when it is first needed; connections through a proxy are made for one request. */
function connectors(options: HttpOptions): { get(url: URL): Promise<Connector>; close(): void } {
  const made = new Map<string, Promise<Connector>>();
  return {
    async get(url) {
      const proxy = proxyFor(url, options.environment ?? {});
      if (proxy !== null)
        return url.protocol === 'https:' ? tunnelConnector(proxy, url, options) : forwardConnector(proxy);
      const known = made.get(url.protocol) ?? (url.protocol === 'https:' ? secureConnector(options) : plainConnector());
      made.set(url.protocol, known);
      return known;
    },
    close() {
      for (const connector of made.values()) connector.then(({ destroy }) => destroy()).catch(() => {});
    },
  };
}

async function plainConnector(): Promise<Connector> {
  const { Agent, request } = await import('node:http');
  const agent = new Agent({ keepAlive: true });
  return { request: (url, more) => request(url, { ...more, agent }), destroy: () => agent.destroy() };
}

async function secureConnector(options: HttpOptions): Promise<Connector> {
  const [{ Agent, request }, ca] = await Promise.all([import('node:https'), trusted(options)]);
  const agent = new Agent({ keepAlive: true, ...ca });
  return { request: (url, more) => request(url, { ...more, agent }), destroy: () => agent.destroy() };
}

/** Naming `ca` replaces the built-in list. */
async function trusted({ extraCa = [] }: HttpOptions): Promise<{ ca?: string[] }> {
  if (extraCa.length === 0) return {};
  const { rootCertificates } = await import('node:tls');
  return { ca: [...rootCertificates, ...extraCa] };
}

/** The proxy is asked for the whole URL. @see RFC 9112, 3.2.2 "absolute-form" */
async function forwardConnector(proxy: URL): Promise<Connector> {
  const { request } = await import('node:http');
  const authorization = proxyAuthorization(proxy);
  return {
    request: (url, { headers, ...more }) =>
      request({
        ...more,
        host: proxy.hostname,
        port: proxy.port || 80,
        path: `${url.origin}${url.pathname}${url.search}`,
        auth: url.username === '' ? null : [url.username, url.password].map(decodeURIComponent).join(':'),
        headers: { host: url.host, ...headers, ...(authorization && { 'proxy-authorization': authorization }) },
        agent: false,
      }),
    destroy: () => {},
  };
}

async function tunnelConnector(proxy: URL, target: URL, options: HttpOptions): Promise<Connector> {
  const [{ request }, { connect }, ca] = await Promise.all([
    import('node:https'),
    import('node:tls'),
    trusted(options),
  ]);
  const socket = await openTunnel(proxy, target, options.idleTimeoutMs ?? defaultIdleMs).catch((cause: unknown) => {
    throw failure(proxy, cause as NodeJS.ErrnoException);
  });
  const createConnection = () => connect({ socket, servername: target.hostname, ...ca });
  return {
    request: (url, more) => request(url, { ...more, agent: false, createConnection }),
    destroy: () => socket.destroy(),
  };
}

function exchange(connector: Connector, request: HttpRequest, options: HttpOptions): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    const { method, url, authorization, body, signal } = request;
    const headers = { 'user-agent': 'tsbuild', ...request.headers, ...(authorization && { authorization }) };
    const outgoing = connector.request(url, { method, headers, ...(signal && { signal }) });
    // Registries read a blob once more before they answer its PUT.
    const idleMs = (options.idleTimeoutMs ?? defaultIdleMs) * (method === 'PUT' ? 5 : 1);
    outgoing.setTimeout(idleMs, () =>
      outgoing.destroy(Object.assign(new Error('nothing moved on the connection for too long'), { code: 'ETIMEDOUT' })),
    );
    let source: Readable | undefined;
    outgoing.on('error', (cause: NodeJS.ErrnoException) => {
      source?.destroy();
      reject(failure(url, cause));
    });
    outgoing.on('response', (response) => {
      // An answer before the request's end (401, 413) makes the rest of the body pointless.
      if (source !== undefined && !outgoing.writableEnded) {
        source.destroy();
        response.on('end', () => outgoing.destroy());
      }
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: response, url });
    });
    if (typeof body !== 'function') {
      outgoing.end(body);
      return;
    }
    source = body();
    source.on('error', (cause) => {
      outgoing.destroy();
      reject(cause);
    });
    source.pipe(outgoing);
  });
}

function redirectTarget(request: HttpRequest, response: HttpResponse): URL | null {
  const location = response.headers.location;
  const statuses = request.method === 'GET' || request.method === 'HEAD' ? [301, 302, 303, 307, 308] : [307, 308];
  if (!statuses.includes(response.status) || location === undefined) return null;
  return URL.canParse(location, request.url.href) ? new URL(location, request.url) : null;
}

function redirected(request: HttpRequest, target: URL): HttpRequest {
  requireSafeTarget(request.url, target);
  const sameOrigin = target.origin === request.url.origin;
  return { ...request, url: target, authorization: sameOrigin ? request.authorization : undefined };
}

/**
 * A registry may send us elsewhere, but not off TLS, and not to the link-local addresses where clouds hand out
 * credentials of the machine.
 *
 * @throws StoreError REGISTRY_REDIRECT_REFUSED
 */
export function requireSafeTarget(from: URL, target: URL): void {
  if (target.protocol !== 'https:' && target.protocol !== 'http:')
    throw refused(from, `sends us to a ${target.protocol} URL`);
  if (from.protocol === 'https:' && target.protocol === 'http:')
    throw refused(from, `sends us off TLS, to ${target.origin}`);
  const host = target.hostname;
  if (host !== from.hostname && /^(169\.254\.|\[fe[89ab][0-9a-f]:)|^\[::ffff:a9fe:/i.test(host)) {
    throw refused(from, `sends us to the link-local address ${host}`);
  }
}

function refused(from: URL, problem: string): StoreError {
  return new StoreError('REGISTRY_REDIRECT_REFUSED', {
    message: `${from.origin} ${problem}`,
    hint: 'the registry is misconfigured or not to be trusted',
  });
}

const transientCodes: ReadonlySet<string | undefined> = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ECONNABORTED',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/** What a failed connection means. */
export function failure(url: URL, cause: NodeJS.ErrnoException): Error {
  const code = cause.code;
  if (code !== undefined && /^(CERT_|ERR_TLS_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|EPROTO)/.test(code))
    return tlsFailure(url, cause);
  const error = new StoreError('REGISTRY_UNREACHABLE', {
    message: `${url.host}: ${cause.message || code}`,
    hint: 'check its name and port, and that this machine can reach it',
    cause,
  });
  return transientCodes.has(code) ? new TransientError(error) : error;
}

function tlsFailure(url: URL, cause: NodeJS.ErrnoException): StoreError {
  return new StoreError('REGISTRY_TLS', {
    message: `${url.host}: ${cause.code === 'EPROTO' ? 'it does not speak TLS' : cause.message}`,
    hint:
      cause.code === 'EPROTO'
        ? 'if it speaks plain HTTP, allow that for this command with --plain-http'
        : 'if you trust its certificate authority, name its PEM file in TSBUILD_EXTRA_CA_CERTS',
    cause,
  });
}

/**
 * The whole body.
 *
 * @throws TransientError when the connection breaks; StoreError REGISTRY_ANSWER_INVALID when it is longer than `maxBytes`
 */
export async function readBody(response: HttpResponse, maxBytes: number, deadlineMs = 60_000): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  const timer = setTimeout(
    () => response.body.destroy(Object.assign(new Error('the answer took too long'), { code: 'ETIMEDOUT' })),
    deadlineMs,
  );
  try {
    for await (const chunk of response.body) {
      size += chunk.length;
      if (size > maxBytes) {
        throw new StoreError('REGISTRY_ANSWER_INVALID', {
          message: `${response.url.host} answered with more than ${maxBytes} bytes`,
        });
      }
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof StoreError ? error : failure(response.url, error as NodeJS.ErrnoException);
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks, size);
}
