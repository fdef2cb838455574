// The ways to servers: direct or by a proxy, plain or with TLS, connections kept for the next request.
import type { RequestOptions } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import type { ConnectionOptions } from 'node:tls';
import type { Environment } from './auth-files.js';
import { openTunnel, proxyAuthorization, proxyFor } from './proxy.js';
import type { TlsMaterial } from './registry-tls.js';

export interface HttpOptions {
  /** PEM certificates to trust besides the built-in ones. */
  readonly extraCa?: readonly string[];
  /** A connection on which nothing moves for so long is given up. */
  readonly idleTimeoutMs?: number;
  /** Names proxies; none by default. */
  readonly environment?: Environment | undefined;
  /** Certificates for a host. */
  readonly certificates?: ((url: URL) => Promise<TlsMaterial>) | undefined;
  /** False: whatever certificate a server shows is good. */
  readonly verifyTls?: boolean | undefined;
}

export const defaultIdleMs = 60_000;

export interface Connector {
  readonly request: (url: URL, options: RequestOptions) => import('node:http').ClientRequest;
  readonly destroy: () => void;
}

/** One agent with keep-alive for each way to a server, made (and its module loaded) when it is first needed. */
export function connectors(options: HttpOptions): { get(url: URL): Promise<Connector>; close(): void } {
  const made = new Map<string, Promise<Connector>>();
  return {
    async get(url) {
      const proxy = await proxyFor(url, options.environment ?? {});
      // Certificates are a host's own; what is not encrypted shares one agent.
      const key = `${url.protocol === 'https:' ? url.origin : ''} ${proxy?.href}`;
      const known = made.get(key) ?? connector(url, proxy, options);
      made.set(key, known);
      return known;
    },
    close() {
      for (const connector of made.values()) connector.then(({ destroy }) => destroy()).catch(() => {});
    },
  };
}

function connector(url: URL, proxy: URL | null, options: HttpOptions): Promise<Connector> {
  if (url.protocol === 'https:') return secureConnector(url, proxy, options);
  return proxy === null ? plainConnector() : forwardConnector(proxy, options);
}

/** What comes while we hash or write waits in memory, and is then read at once: by 64 KiB a blob takes a fifth longer. */
const agentOptions = { keepAlive: true, highWaterMark: 1 << 20 };

async function plainConnector(): Promise<Connector> {
  const { Agent, request } = await import('node:http');
  const agent = new Agent(agentOptions);
  return { request: (url, more) => request(url, { ...more, agent }), destroy: () => agent.destroy() };
}

async function secureConnector(url: URL, proxy: URL | null, options: HttpOptions): Promise<Connector> {
  const [{ Agent, request }, tls] = await Promise.all([import('node:https'), tlsOptions(url, options)]);
  const agent = new Agent({ ...agentOptions, ...tls });
  if (proxy !== null) await tunnel(agent, proxy, url, tls, options);
  return { request: (target, more) => request(target, { ...more, agent }), destroy: () => agent.destroy() };
}

/** Naming `ca` replaces the built-in list. */
async function tlsOptions(url: URL, options: HttpOptions): Promise<ConnectionOptions> {
  const { ca: own = [], ...pair } = (await options.certificates?.(url)) ?? {};
  const extra = [...(options.extraCa ?? []), ...own];
  const verify = options.verifyTls === false ? { rejectUnauthorized: false } : {};
  if (extra.length === 0) return { ...pair, ...verify };
  const { rootCertificates } = await import('node:tls');
  return { ca: [...rootCertificates, ...extra], ...pair, ...verify };
}

/** The proxy is asked for the whole URL. @see RFC 9112, 3.2.2 "absolute-form" */
async function forwardConnector(proxy: URL, options: HttpOptions): Promise<Connector> {
  const secure = proxy.protocol === 'https:';
  const { Agent, request } = await (secure ? import('node:https') : import('node:http'));
  const agent = new Agent({ ...agentOptions, ...(secure && (await tlsOptions(proxy, options))) });
  const authorization = proxyAuthorization(proxy);
  return {
    request: (url, { headers, ...more }) =>
      request({
        ...more,
        host: proxy.hostname,
        port: proxy.port || (secure ? 443 : 80),
        path: `${url.origin}${url.pathname}${url.search}`,
        auth: url.username === '' ? null : [url.username, url.password].map(decodeURIComponent).join(':'),
        headers: { host: url.host, ...headers, ...(authorization && { 'proxy-authorization': authorization }) },
        agent,
      }),
    destroy: () => agent.destroy(),
  };
}

/** Has every connection of the agent made through the proxy. */
async function tunnel(
  agent: HttpsAgent,
  proxy: URL,
  target: URL,
  tls: ConnectionOptions,
  options: HttpOptions,
): Promise<void> {
  const { connect } = await import('node:tls');
  const proxyTls = proxy.protocol === 'https:' ? await tlsOptions(proxy, options) : {};
  const idleMs = options.idleTimeoutMs ?? defaultIdleMs;
  const made: typeof agent.createConnection = (_, done) => {
    openTunnel(proxy, target, proxyTls, idleMs).then(
      (socket) => done?.(null, connect({ ...tls, socket, ...serverName(target) })),
      (cause) => done?.(cause, undefined as never),
    );
    return undefined;
  };
  agent.createConnection = made;
}

/** An address is no name that a server could be asked for by. @see RFC 6066, 3 */
function serverName({ hostname }: URL): { servername?: string } {
  return /^[0-9.]+$|^\[/.test(hostname) ? {} : { servername: hostname };
}
