// A file from a URL. What is here already is not fetched again: with a checksum nobody is asked, otherwise the server is,
// by the ETag or the time that it gave.
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  type HttpClient,
  type HttpResponse,
  httpOptions,
  openHttpClient,
  StoreError,
  TransientError,
  withRetries,
} from '#store';
import { BuildError, withoutCredentials } from '../base/index.js';
import { type DownloadCache, type KnownAnswer, openDownloadCache } from './download-cache.js';
import type { RemoteIo } from './remote-io.js';

export interface Download {
  /** In the lease's directory. */
  readonly path: string;
  readonly size: number;
  /** SHA-256, hex. */
  readonly sha256: string;
  /** When the server says that it changed; null: it does not say. */
  readonly modifiedSec: number | null;
}

/**
 * @param sha256 what the content has to hash to (hex); null: whatever comes
 * @throws BuildError DOWNLOAD_FAILED, DOWNLOAD_CHECKSUM_MISMATCH; the reason of `io.signal`
 */
export async function download(url: string, sha256: string | null, io: RemoteIo): Promise<Download> {
  const cache = openDownloadCache(io.store, io.lease);
  const authorization = findAuthorization(url, io);
  const known = cache.answer(url, authorization);
  if (sha256 !== null) {
    const found = await taken(cache, { ...(known?.digest === sha256 ? known : nothingKnown), digest: sha256 });
    if (found !== null) return found;
  }
  const client = await openClient(url, io);
  try {
    return await withRetries({ attempts: 4 }, () =>
      fetchOnce(url, { sha256, authorization, known, cache, client, io }),
    );
  } catch (error) {
    io.signal.throwIfAborted();
    throw failed(url, error);
  } finally {
    client.close();
  }
}

const nothingKnown = { etag: null, lastModified: null };

async function openClient(url: string, io: RemoteIo): Promise<HttpClient> {
  const options = await httpOptions({}, io.environment);
  if (URL.canParse(url)) return openHttpClient(options);
  throw new BuildError('DOWNLOAD_FAILED', { message: `${withoutCredentials(url)} is no URL`, hint: 'correct it' });
}

/** HTTP_AUTH_HEADER_<host> is sent as it is, HTTP_AUTH_TOKEN_<host> as a bearer's token. */
function findAuthorization(url: string, io: RemoteIo): string | undefined {
  const host = URL.canParse(url) ? new URL(url).hostname : '';
  const secret = (id: string): string | undefined => io.secret(`${id}_${host}`)?.toString('utf8').trim();
  const token = secret('HTTP_AUTH_TOKEN');
  return token === undefined ? secret('HTTP_AUTH_HEADER') : `Bearer ${token}`;
}

interface Attempt {
  readonly sha256: string | null;
  readonly authorization: string | undefined;
  readonly known: KnownAnswer | null;
  readonly cache: DownloadCache;
  readonly client: HttpClient;
  readonly io: RemoteIo;
}

async function fetchOnce(url: string, attempt: Attempt): Promise<Download> {
  const { authorization, known, cache, client, io } = attempt;
  const headers = { 'accept-encoding': 'identity', ...conditions(known) };
  const response = await client.send({ method: 'GET', url: new URL(url), headers, authorization, signal: io.signal });
  if (known !== null && isUnchanged(response, known)) {
    response.body.destroy();
    const found = await taken(cache, known);
    if (found !== null) return checked(url, found, attempt.sha256);
    return fetchOnce(url, { ...attempt, known: null }); // it went while we asked
  }
  if (response.status !== 200) throw refused(url, response);
  const found = await save(response, io);
  checked(url, found, attempt.sha256);
  cache.keep(found.path, found.sha256);
  const { etag = null, 'last-modified': lastModified = null } = response.headers;
  cache.remember(url, authorization, { digest: found.sha256, etag, lastModified });
  return found;
}

/** @see RFC 9110, 13.1.2 and 13.1.3 */
function conditions(known: KnownAnswer | null): Record<string, string> {
  if (known?.etag) return { 'if-none-match': known.etag };
  return known?.lastModified ? { 'if-modified-since': known.lastModified } : {};
}

/** Some servers send an ETag and never compare it. */
function isUnchanged({ status, headers }: HttpResponse, { etag }: KnownAnswer): boolean {
  return status === 304 || (status === 200 && etag !== null && !etag.startsWith('W/') && headers.etag === etag);
}

async function save(response: HttpResponse, io: RemoteIo): Promise<Download> {
  const path = io.lease.path('download');
  const hash = createHash('sha256');
  const total = Number(response.headers['content-length'] ?? Number.NaN);
  let size = 0;
  const watch = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      size += chunk.length;
      io.onProgress('download', size, Number.isNaN(total) ? null : total);
      done(null, chunk);
    },
  });
  try {
    await pipeline(response.body, watch, createWriteStream(path, { flags: 'wx', mode: 0o600 }), { signal: io.signal });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === 'ECONNRESET' || code === 'ETIMEDOUT' ? new TransientError(error as Error) : error;
  }
  return { path, size, sha256: hash.digest('hex'), modifiedSec: timeOf(response.headers['last-modified']) };
}

async function taken(cache: DownloadCache, answer: KnownAnswer): Promise<Download | null> {
  const path = await cache.take(answer.digest);
  if (path === null) return null;
  const { size } = await stat(path);
  return { path, size, sha256: answer.digest, modifiedSec: timeOf(answer.lastModified) };
}

function timeOf(header: string | null | undefined): number | null {
  const ms = Date.parse(header ?? '');
  return Number.isNaN(ms) || ms < 0 ? null : Math.floor(ms / 1000);
}

function checked(url: string, found: Download, sha256: string | null): Download {
  if (sha256 === null || found.sha256 === sha256) return found;
  throw new BuildError('DOWNLOAD_CHECKSUM_MISMATCH', {
    message: `${withoutCredentials(url)} has the checksum sha256:${found.sha256}, not sha256:${sha256}`,
    hint: 'if the file was meant to change, write its new checksum; otherwise find out who changed it',
  });
}

const statusHints: Readonly<Record<number, (host: string) => string>> = {
  401: (host) => `give a secret HTTP_AUTH_TOKEN_${host} or HTTP_AUTH_HEADER_${host} with --secret`,
  403: (host) => `give a secret HTTP_AUTH_TOKEN_${host} or HTTP_AUTH_HEADER_${host} with --secret, if it needs one`,
  404: () => 'check the URL',
};

function refused(url: string, response: HttpResponse): Error {
  const { status, body, url: from } = response;
  body.destroy();
  const error = new BuildError('DOWNLOAD_FAILED', {
    message: `${withoutCredentials(url)}: the server answered ${status} ${body.statusMessage ?? ''}`.trimEnd(),
    hint: statusHints[status]?.(from.hostname) ?? 'try again later, or ask whoever runs the server',
  });
  return status === 429 || status >= 500 ? new TransientError(error) : error;
}

/** What the client says of registries, said of a file. */
function failed(url: string, error: unknown): unknown {
  if (error instanceof BuildError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof StoreError && !error.code.startsWith('REGISTRY_')) return error;
  return new BuildError('DOWNLOAD_FAILED', {
    message: `${withoutCredentials(url)} can't be downloaded: ${message === 'aborted' ? 'the connection broke off' : message}`,
    hint: hints[code ?? ''] ?? 'check the URL, and that this machine can reach it',
    cause: error,
  });
}

const hints: Readonly<Record<string, string>> = {
  REGISTRY_TLS: 'if you trust its certificate authority, name its PEM file in TSBUILD_EXTRA_CA_CERTS',
  REGISTRY_REDIRECT_REFUSED: 'name the place that the file really is at',
  ENOSPC:
    "the store's disk is full: free some space, for example with 'tsbuild gc', or put the store on a larger disk with --store",
};
