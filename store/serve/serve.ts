// The store as a registry: listeners, their limits, upkeep, and an end that lets requests finish.
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, isIPv6 } from 'node:net';
import { hostname } from 'node:os';
import { createSecureContext } from 'node:tls';
import { applyFlushed, startFlush } from '../content/flush.js';
import type { Store } from '../content/handle.js';
import { StoreError } from '../errors.js';
import { parseAccessRule } from './access.js';
import { type AccessLog, accessLine, openAccessLog } from './access-log.js';
import { Authentication } from './authentication.js';
import { type Desk, serveRequest } from './dispatch.js';
import type { Registry } from './exchange.js';
import { Holdings } from './holdings.js';
import { Passwords } from './htpasswd.js';
import { ManifestForms } from './manifest-forms.js';
import { Metrics } from './metrics.js';
import { Quota } from './quota.js';
import { RepositoryNames } from './repository-names.js';
import type { ListenAddress, ServeOptions, Serving } from './serve-options.js';
import { Uploads } from './uploads.js';
import { VerifiedFiles } from './verified-files.js';

const dayMs = 86_400_000;
const upkeepMs = 60_000;
const flushDelayMs = 1000;

/**
 * Serves `store` by the OCI distribution protocol until `close`.
 *
 * @throws StoreError SERVE_*: an address that can't be had, files that can't be read or make no sense
 */
export async function startServing(store: Store, options: ServeOptions): Promise<Serving> {
  const passwords = options.htpasswdPath === undefined ? null : new Passwords(options.htpasswdPath);
  const rules = options.accessRules?.map(parseAccessRule) ?? null;
  const secure = options.tls === undefined ? null : secureOptions(options.tls);
  const log = openLog(options);
  const flusher = new Flusher(store);
  const servers: Server[] = [];
  const underWay: Desk['underWay'] = new Set();
  let desk: Desk | null = null;
  const onRequest: RequestListener = (request, response) => {
    if (desk === null) response.destroy();
    else void serveRequest(desk, request, response);
  };
  try {
    const addresses: AddressInfo[] = [];
    for (const address of options.listen) {
      const server =
        secure === null
          ? createHttpServer(httpLimits, onRequest)
          : createHttpsServer({ ...httpLimits, ...secure }, onRequest);
      server.on('checkContinue', onRequest); // continued when the body is read
      server.maxConnections = options.maxConnections ?? 1000;
      server.timeout = 120_000; // of silence
      addresses.push(await listen(server, address));
      servers.push(server);
    }
    const registry = registryOf(store, options, flusher, namesOf(options, addresses));
    const service = registry.service;
    const authentication = new Authentication({
      kind: options.authentication ?? 'basic',
      passwords,
      certificates: options.tls?.clientCaPath !== undefined,
      rules,
      service,
    });
    desk = { registry, authentication, metrics: options.metrics === true ? new Metrics() : null, log, underWay };
    let closed: Promise<void> | null = null;
    const upkeep = setInterval(() => keepUp(registry), upkeepMs);
    return {
      urls: addresses.map((address) => `${secure === null ? 'http' : 'https'}://${shown(address)}`),
      isOpen: passwords === null && options.tls?.clientCaPath === undefined,
      close: (now) => {
        closed ??= (async () => {
          clearInterval(upkeep);
          await closeAll(servers, desk!, options.graceMs ?? 10_000, now);
          flusher.close();
          log?.close();
        })();
        return closed;
      },
    };
  } catch (error) {
    for (const server of servers) server.close();
    log?.close();
    throw error;
  }
}

function openLog({ accessLogPath, onAccess }: ServeOptions): AccessLog | null {
  if (accessLogPath !== undefined) return openAccessLog(accessLogPath);
  if (onAccess === undefined) return null;
  return { write: (record) => onAccess(accessLine(record)), close: () => {} };
}

/** requestTimeout would end long uploads: silence ends them, and slowness (see body.ts). */
const httpLimits = {
  headersTimeout: 30_000,
  requestTimeout: 0,
  keepAliveTimeout: 65_000,
  maxHeaderSize: 16 << 10,
} as const;

function registryOf(
  store: Store,
  options: ServeOptions,
  flusher: Flusher,
  ownNames: readonly string[],
): Registry & { readonly service: string } {
  const holdings = new Holdings(store);
  const uploads = new Uploads(store, {
    maxUploads: options.maxUploads ?? 1000,
    timeoutMs: options.uploadTimeoutMs ?? dayMs,
  });
  return {
    store,
    names: new RepositoryNames(options.prefix ?? null, ownNames),
    holdings,
    forms: new ManifestForms(store, holdings),
    uploads,
    quota: new Quota(store, holdings, options, () => uploads.bytes),
    verified: new VerifiedFiles(),
    readOnly: options.readOnly === true || store.readOnly,
    maxBlobBytes: options.maxBlobBytes ?? 2 ** 40,
    keepUnreferencedMs: options.keepUnreferencedMs ?? 7 * dayMs,
    bodyTimeoutMs: options.bodyTimeoutMs ?? 60_000,
    wrote: () => flusher.soon(),
    notice: options.onNotice ?? (() => {}),
    service: options.ownNames?.[0] ?? ownNames[0] ?? 'tsbuild',
  };
}

/** What this server is called in references: 'localhost:5000'. */
function namesOf({ ownNames = [], listen: wanted }: ServeOptions, addresses: readonly AddressInfo[]): string[] {
  const names = addresses.flatMap(({ port }, i) => {
    const { host } = wanted[i]!;
    const isLocal = /^(127\.|localhost$|::1$)/.test(host);
    const isAny = host === '0.0.0.0' || host === '::';
    const hosts = isAny ? ['localhost', '127.0.0.1', hostname()] : isLocal ? ['localhost', '127.0.0.1'] : [];
    return [...hosts, isAny ? [] : isIPv6(host) ? `[${host}]` : host].flat().map((each) => `${each}:${port}`);
  });
  return [...new Set([...ownNames, ...names])];
}

function shown({ address, port, family }: AddressInfo): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}

function listen(server: Server, { host, port }: ListenAddress): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(cantListen(host, port, cause)));
    server.listen({ host, port }, () => resolve(server.address() as AddressInfo));
  });
}

function cantListen(host: string, port: number, cause: NodeJS.ErrnoException): StoreError {
  const place = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const [reason, hint] = {
    EADDRINUSE: ['something listens there already', 'end it, or choose another port with --listen'],
    EACCES: ['permission denied', 'ports below 1024 are for root: choose a higher one with --listen'],
    EADDRNOTAVAIL: ['this machine has no such address', "'ip address' shows those it has"],
    ENOTFOUND: ['no such host', 'check its name'],
  }[cause.code ?? ''] ?? [cause.message, 'choose another address with --listen'];
  return new StoreError('SERVE_ADDRESS', { message: `can't listen at ${place}: ${reason}`, hint, cause });
}

function secureOptions({ certPath, keyPath, clientCaPath }: NonNullable<ServeOptions['tls']>): Record<string, unknown> {
  const secure = {
    cert: readPem(certPath),
    key: readPem(keyPath),
    minVersion: 'TLSv1.2' as const,
    ...(clientCaPath !== undefined && { ca: readPem(clientCaPath), requestCert: true, rejectUnauthorized: true }),
  };
  try {
    createSecureContext(secure);
  } catch (cause) {
    throw new StoreError('SERVE_TLS_INVALID', {
      message: `${certPath} and ${keyPath} make no certificate and its key: ${(cause as Error).message}`,
      hint: 'both are files in PEM form: the certificate with its chain, and its key without a passphrase',
      cause,
    });
  }
  return secure;
}

function readPem(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new StoreError('SERVE_FILE_UNREADABLE', {
      message: `${path} can't be read (${(cause as NodeJS.ErrnoException).code})`,
      hint: 'check its name and its permissions',
      cause,
    });
  }
}

function keepUp(registry: Registry): void {
  try {
    if (!registry.store.readOnly) registry.uploads.expire();
  } catch (error) {
    registry.notice(`upkeep failed: ${(error as Error).message}`);
  }
}

async function closeAll(
  servers: readonly Server[],
  { underWay }: Desk,
  graceMs: number,
  now: AbortSignal | undefined,
): Promise<void> {
  const closed = Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  for (const response of underWay) if (!response.headersSent) response.setHeader('connection', 'close');
  for (const server of servers) server.closeIdleConnections();
  const cut = (): void => {
    for (const server of servers) server.closeAllConnections();
  };
  const timer = setTimeout(cut, graceMs);
  if (now?.aborted) cut();
  now?.addEventListener('abort', cut);
  await closed;
  clearTimeout(timer);
}

/** What was written reaches the disk soon after, not only when the server ends. */
class Flusher {
  readonly #store: Store;
  #timer: NodeJS.Timeout | null = null;

  constructor(store: Store) {
    this.#store = store;
  }

  soon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      applyFlushed(this.#store);
      startFlush(this.#store);
    }, flushDelayMs);
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}
