// One HTTP request, redirects followed, failures told apart: what may pass (TransientError) and what won't.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { StoreError } from '../errors.js';
import { type Connector, connectors, defaultIdleMs, type HttpOptions } from './http-connect.js';
import { failure, timedOut } from './http-failure.js';

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

const maxRedirects = 10;

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

function exchange(connector: Connector, request: HttpRequest, options: HttpOptions): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    const { method, url, authorization, body, signal } = request;
    // Bytes are named by digests of what they are: nobody on the way is to compress them.
    const asIs = { 'user-agent': 'tsbuild', 'accept-encoding': 'identity' };
    const headers = { ...asIs, ...request.headers, ...(authorization && { authorization }) };
    const outgoing = connector.request(url, { method, headers, ...(signal && { signal }) });
    // Registries read a blob once more before they answer its PUT.
    const idleMs = (options.idleTimeoutMs ?? defaultIdleMs) * (method === 'PUT' ? 5 : 1);
    const giveUp = (problem: string): void => void outgoing.destroy(timedOut(problem));
    outgoing.setTimeout(idleMs, () => giveUp('nothing moved on the connection for too long'));
    // A server that sends its answer's headers byte by byte keeps the connection busy, but has not answered.
    let waiting: NodeJS.Timeout | undefined;
    outgoing.on('finish', () => {
      waiting = setTimeout(() => giveUp('no answer came for too long'), idleMs);
    });
    outgoing.on('close', () => clearTimeout(waiting));
    let source: Readable | undefined;
    outgoing.on('error', (cause: NodeJS.ErrnoException) => {
      source?.destroy();
      reject(failure(url, cause));
    });
    outgoing.on('response', (response) => {
      clearTimeout(waiting);
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

/**
 * The whole body.
 *
 * @throws TransientError when the connection breaks; StoreError REGISTRY_ANSWER_INVALID when it is longer than `maxBytes`
 */
export async function readBody(response: HttpResponse, maxBytes: number, deadlineMs = 60_000): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  const timer = setTimeout(() => response.body.destroy(timedOut('the answer took too long')), deadlineMs);
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
