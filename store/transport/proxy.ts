// The way through a proxy, as the environment says it. Names and exceptions are read as Go's tools and curl read them.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { StoreError } from '../errors.js';
import type { Environment } from './auth-files.js';
import { TransientError } from './retry.js';

/**
 * The proxy that requests to `url` take: http_proxy, https_proxy and no_proxy, in both spellings. Null: the direct way,
 * which is always that to this machine itself.
 *
 * @throws StoreError PROXY_INVALID
 */
export async function proxyFor(url: URL, environment: Environment): Promise<URL | null> {
  const name = `${url.protocol.slice(0, -1)}_proxy`;
  const text = environment[name] || environment[name.toUpperCase()];
  if (!text || isLoopback(url.hostname)) return null;
  if (await isExcepted(url, environment.no_proxy || environment.NO_PROXY || '')) return null;
  const full = text.includes('://') ? text : `http://${text}`;
  const proxy = URL.canParse(full) ? new URL(full) : null;
  if (proxy?.protocol === 'http:' || proxy?.protocol === 'https:') return proxy;
  throw new StoreError('PROXY_INVALID', {
    message: `${environment[name] ? name : name.toUpperCase()} names no proxy that can be used: it has to be http://HOST:PORT or https://HOST:PORT`,
    hint: `correct it, or list ${url.hostname} in no_proxy`,
  });
}

/** What a proxy wants to know of who asks; undefined without a user in its URL. */
export function proxyAuthorization(proxy: URL): string | undefined {
  if (proxy.username === '') return undefined;
  const user = [proxy.username, proxy.password].map(decodeURIComponent).join(':');
  return `Basic ${Buffer.from(user).toString('base64')}`;
}

/**
 * A connection through the proxy to the URL's host, for TLS to be spoken over.
 * @see RFC 9110, 9.3.6 "CONNECT"
 */
export async function openTunnel(proxy: URL, url: URL, proxyTls: ConnectionOptions, idleMs: number): Promise<Socket> {
  const secure = proxy.protocol === 'https:';
  const { request } = await (secure ? import('node:https') : import('node:http'));
  const target = `${url.hostname}:${url.port || 443}`;
  const authorization = proxyAuthorization(proxy);
  const headers = { host: target, ...(authorization && { 'proxy-authorization': authorization }) };
  return new Promise((resolve, reject) => {
    const asking = request({
      ...proxyTls,
      host: proxy.hostname,
      port: proxy.port || (secure ? 443 : 80),
      method: 'CONNECT',
      path: target,
      headers,
      agent: false,
    });
    const failed = (problem: string): void => reject(proxyFailure(proxy, target, problem));
    asking.setTimeout(idleMs, () =>
      asking.destroy(Object.assign(new Error('it does not answer'), { code: 'ETIMEDOUT' })),
    );
    asking.on('error', (cause: NodeJS.ErrnoException) => failed(cause.message || String(cause.code)));
    asking.on('response', (response) => {
      response.destroy();
      failed('it is no proxy for such connections');
    });
    asking.on('connect', (response, socket) => {
      socket.setTimeout(0);
      if (response.statusCode === 200) return resolve(socket);
      socket.destroy();
      const refused = proxyFailure(proxy, target, meaningOf(response));
      reject((response.statusCode ?? 0) >= 500 ? new TransientError(refused) : refused);
    });
    asking.end();
  });
}

function meaningOf({ statusCode }: IncomingMessage): string {
  return statusCode === 407 ? 'it wants a user and password (HTTP 407)' : `HTTP ${statusCode}`;
}

/** Its URL may hold a password: only where it is gets told. */
function proxyFailure(proxy: URL, target: string, problem: string): StoreError {
  return new StoreError('PROXY_FAILED', {
    message: `the proxy ${proxy.host} makes no connection to ${target}: ${problem}`,
    hint: `https_proxy names it (http://USER:PASSWORD@HOST:PORT where it wants a login); no_proxy lists what is reached without it`,
  });
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

/**
 * 'example.com' and '.example.com' mean the domain and all below it; '*' means every host; '10.0.0.0/8' a network; a port
 * narrows it down.
 */
async function isExcepted(url: URL, list: string): Promise<boolean> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  for (const entry of list
    .toLowerCase()
    .split(',')
    .map((each) => each.trim())) {
    if (entry.includes('/') ? await isInNetwork(host, entry) : isNamed(host, port, entry)) return true;
  }
  return false;
}

async function isInNetwork(host: string, network: string): Promise<boolean> {
  const { BlockList, isIP } = await import('node:net');
  const [, address = '', length = ''] = /^\[?([^\]/]+)\]?\/(\d{1,3})$/.exec(network) ?? [];
  const family = isIP(address);
  if (family === 0 || isIP(host) !== family || Number(length) > (family === 4 ? 32 : 128)) return false;
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  const known = new BlockList();
  known.addSubnet(address, Number(length), kind);
  return known.check(host, kind);
}

function isNamed(host: string, port: string, entry: string): boolean {
  const [, bracketed, plain, wantedPort] = /^(?:\[(.*)\]|([^:]*|[^[]*:[^[]*:.*?))(?::(\d+))?$/.exec(entry) ?? [];
  const name = bracketed ?? plain ?? '';
  if (name === '' || (wantedPort !== undefined && wantedPort !== port)) return false;
  if (name === '*') return true;
  const domain = name.replace(/^\*?\./, '');
  return host === domain || host.endsWith(`.${domain}`);
}
