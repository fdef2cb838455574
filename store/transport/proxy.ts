// The way through a proxy, as the environment says it. Names and exceptions are read as Go's tools and curl read them.
import type { Socket } from 'node:net';
import { StoreError } from '../errors.js';
import type { Environment } from './auth-files.js';

/**
 * The proxy that requests to `url` take: http_proxy, https_proxy and no_proxy, in both spellings. Null: the direct way,
 * which is always that to this machine itself.
 *
 * @throws StoreError PROXY_INVALID
 */
export function proxyFor(url: URL, environment: Environment): URL | null {
  const name = `${url.protocol.slice(0, -1)}_proxy`;
  const text = environment[name] || environment[name.toUpperCase()];
  if (!text || isLoopback(url.hostname) || isExcepted(url, environment.no_proxy || environment.NO_PROXY || ''))
    return null;
  const full = text.includes('://') ? text : `http://${text}`;
  const proxy = URL.canParse(full) ? new URL(full) : null;
  if (proxy?.protocol === 'http:') return proxy;
  throw new StoreError('PROXY_INVALID', {
    message: `${environment[name] ? name : name.toUpperCase()} names no proxy that can be used: it has to be http://HOST:PORT`,
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
export async function openTunnel(proxy: URL, url: URL, idleMs: number): Promise<Socket> {
  const { request } = await import('node:http');
  const target = `${url.hostname}:${url.port || 443}`;
  const authorization = proxyAuthorization(proxy);
  const headers = { host: target, ...(authorization && { 'proxy-authorization': authorization }) };
  return new Promise((resolve, reject) => {
    const asking = request({
      host: proxy.hostname,
      port: proxy.port || 80,
      method: 'CONNECT',
      path: target,
      headers,
      agent: false,
    });
    asking.setTimeout(idleMs, () =>
      asking.destroy(Object.assign(new Error('the proxy does not answer'), { code: 'ETIMEDOUT' })),
    );
    asking.on('error', reject);
    asking.on('connect', (response, socket) => {
      socket.setTimeout(0);
      if (response.statusCode === 200) return resolve(socket);
      socket.destroy();
      reject(new Error(`the proxy ${proxy.host} answered ${response.statusCode} to a connection to ${target}`));
    });
    asking.end();
  });
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

/** 'example.com' and '.example.com' mean the domain and all below it; '*' means every host; a port narrows it down. */
function isExcepted(url: URL, list: string): boolean {
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list.split(',').some((entry) => {
    const [, host = '', wantedPort] = /^\s*(.*?)(?::(\d+))?\s*$/.exec(entry.toLowerCase()) ?? [];
    if (host === '' || (wantedPort !== undefined && wantedPort !== port)) return false;
    if (host === '*') return true;
    const domain = host.replace(/^\*?\./, '');
    return url.hostname === domain || url.hostname.endsWith(`.${domain}`);
  });
}
