// One request and its answer, as the handlers see them.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Store } from '../content/handle.js';
import type { Action, Identity } from './access.js';
import { errorBody, RequestError } from './errors.js';
import type { Holdings } from './holdings.js';
import type { ManifestForms } from './manifest-forms.js';
import type { Quota } from './quota.js';
import type { Repository, RepositoryNames } from './repository-names.js';
import type { Uploads } from './uploads.js';
import type { VerifiedFiles } from './verified-files.js';

/** What all requests share. */
export interface Registry {
  readonly store: Store;
  readonly names: RepositoryNames;
  readonly holdings: Holdings;
  readonly forms: ManifestForms;
  readonly uploads: Uploads;
  readonly quota: Quota;
  readonly verified: VerifiedFiles;
  readonly readOnly: boolean;
  readonly maxBlobBytes: number;
  readonly keepUnreferencedMs: number;
  readonly bodyTimeoutMs: number;
  /** Something was written that should reach the disk soon. */
  wrote(): void;
  /** For the operator: a layer that is damaged, an image that can't be one. */
  notice(text: string): void;
}

export interface Exchange {
  readonly registry: Registry;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: string;
  readonly query: URLSearchParams;
  readonly identity: Identity;
  /** True if the client may do that in the repository. */
  may(action: Action, repository: Repository): boolean;
  /** Counts, and says when the client has been heard of last. */
  readonly traffic: { bytesIn: number; bytesOut: number };
}

/** Silence on a connection is its client's, but for the time of `work`, which is ours and may take long. */
export async function whileClientWaits<T>({ request: { socket } }: Exchange, work: () => Promise<T>): Promise<T> {
  const silenceMs = socket.timeout ?? 0;
  socket.setTimeout(0);
  try {
    return await work();
  } finally {
    socket.setTimeout(silenceMs);
  }
}

export type Headers = Readonly<Record<string, string | number>>;

/** Sends a whole answer; of one to HEAD the headers only. */
export function answer(
  { request, response, traffic }: Pick<Exchange, 'request' | 'response' | 'traffic'>,
  status: number,
  headers: Headers,
  body: string | Uint8Array = '',
): void {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  const hasBody = status !== 204 && status !== 304;
  response.writeHead(status, { ...headers, ...(hasBody && { 'content-length': bytes.length }) });
  if (request.method === 'HEAD' || !hasBody || bytes.length === 0) return void response.end();
  traffic.bytesOut += bytes.length;
  response.end(bytes);
}

export function answerJson(exchange: Exchange, value: unknown, headers: Headers = {}): void {
  answer(exchange, 200, { 'content-type': 'application/json', ...headers }, `${JSON.stringify(value)}\n`);
}

export function answerError(exchange: Pick<Exchange, 'request' | 'response' | 'traffic'>, error: RequestError): void {
  // What is still on its way will not be read: the connection can't be used for another request.
  const unread = exchange.request.complete ? {} : { connection: 'close' };
  answer(exchange, error.status, { 'content-type': 'application/json', ...unread, ...error.headers }, errorBody(error));
}

export function requireMethod({ method }: Exchange, ...allowed: readonly string[]): void {
  if (allowed.includes(method)) return;
  throw new RequestError(405, 'UNSUPPORTED', `${method} is not supported here`, { allow: allowed.join(', ') });
}
