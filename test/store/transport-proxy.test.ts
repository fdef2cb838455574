// Through a proxy: real connections of a small real one, to a registry that only it can find.
import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { describe, expect, onTestFinished, test } from 'vitest';
import { pullImage, pushImage } from '#store';
import { proxyFor } from '../../store/transport/proxy.js';
import { certificate } from './certificates.js';
import { diffIdsOf, sampleImage, tempDir, tempStore } from './image-samples.js';
import { hasRegistry, startRegistry } from './transport-server.js';

interface Proxy {
  readonly port: number;
  /** 'CONNECT registry.test:5000', 'GET http://…'. */
  readonly asked: string[];
}

/** Finds every name on the loopback. Wants the user 'me' with the password 'pass word'. */
async function startProxy(status = 200): Promise<Proxy> {
  const asked: string[] = [];
  const allowed = (incoming: IncomingMessage): boolean =>
    incoming.headers['proxy-authorization'] === `Basic ${Buffer.from('me:pass word').toString('base64')}`;
  const server = createServer((incoming, answer) => {
    asked.push(`${incoming.method} ${incoming.url}`);
    if (!allowed(incoming)) return void answer.writeHead(407).end();
    const { port, pathname, search } = new URL(incoming.url ?? '');
    const { 'proxy-authorization': _, ...headers } = incoming.headers;
    const onward = request({ port, path: pathname + search, method: incoming.method, headers }, (response) => {
      answer.writeHead(response.statusCode ?? 0, response.headers);
      response.pipe(answer);
    });
    incoming.pipe(onward);
  });
  server.on('connect', (incoming: IncomingMessage, socket: Duplex) => {
    asked.push(`CONNECT ${incoming.url}`);
    socket.on('error', () => {});
    if (!allowed(incoming)) return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
    if (status !== 200) return void socket.end(`HTTP/1.1 ${status} No\r\n\r\n`);
    const onward = connect(Number(incoming.url?.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      onward.pipe(socket).pipe(onward);
    });
    onward.on('error', () => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, asked };
}

describe.skipIf(!hasRegistry())('a registry behind a proxy', () => {
  test('is reached by TLS through tunnels, few of them for many requests', async () => {
    const dir = await tempDir();
    const tls = certificate(dir, 'server', { names: 'DNS:registry.test' });
    const registry = await startRegistry({ tls });
    const proxy = await startProxy();
    const name = `registry.test:${registry.name.split(':')[1]}`;
    const environment = {
      HOME: '/nonexistent',
      https_proxy: `http://me:pass%20word@localhost:${proxy.port}`,
      TSBUILD_EXTRA_CA_CERTS: tls.cert,
    };
    const [from, to] = [await tempStore(), await tempStore()];
    const image = await sampleImage(from);
    await pushImage(from.store, from.lease, image, `${name}/app:1`, { environment });
    const pulled = await pullImage(to.store, to.lease, `${name}/app:1`, { environment });
    expect(diffIdsOf(pulled)).toEqual(diffIdsOf(image));
    expect(new Set(proxy.asked)).toEqual(new Set([`CONNECT ${name}`]));
    expect(registry.requests().length).toBeGreaterThan(12);
    expect(proxy.asked.length).toBeLessThanOrEqual(8);
  });

  test('is asked by plain HTTP with whole URLs', async () => {
    const registry = await startRegistry();
    const proxy = await startProxy();
    const name = `registry.test:${registry.name.split(':')[1]}`;
    const environment = { HOME: '/nonexistent', HTTP_PROXY: `http://me:pass%20word@localhost:${proxy.port}` };
    const place = await tempStore();
    await pushImage(place.store, place.lease, await sampleImage(place), `${name}/app:1`, {
      environment,
      plainHttp: true,
    });
    expect(proxy.asked).toContain(`PUT http://${name}/v2/app/manifests/1`);
  });
});

const refusals: [what: string, login: string, status: number, problem: string][] = [
  ['that wants a password', '', 200, 'it wants a user and password (HTTP 407)'],
  ['that refuses', 'me:pass%20word@', 403, 'HTTP 403'],
  ['that finds nothing', 'me:pass%20word@', 502, 'HTTP 502'],
];
for (const [what, login, status, problem] of refusals) {
  test(`a proxy ${what} is named, its password is not`, async () => {
    const proxy = await startProxy(status);
    const { store, lease } = await tempStore();
    const environment = { HOME: '/nonexistent', HTTPS_PROXY: `http://${login}localhost:${proxy.port}` };
    const retry = { attempts: 2, pauseMs: 1 };
    const error = await pullImage(store, lease, 'registry.test/app:1', { environment, retry }).catch(
      (thrown) => thrown,
    );
    expect(error).toMatchObject({
      code: 'PROXY_FAILED',
      message: `the proxy localhost:${proxy.port} makes no connection to registry.test:443: ${problem}`,
      hint: expect.stringContaining('no_proxy'),
    });
    expect(proxy.asked).toHaveLength(status === 502 ? 2 : 1);
    expect(`${error} ${error.hint}`).not.toMatch(/pass.word/);
  });
}

test('a proxy that is not there is named', async () => {
  const { store, lease } = await tempStore();
  const environment = { HOME: '/nonexistent', HTTPS_PROXY: 'http://127.0.0.1:1' };
  await expect(pullImage(store, lease, 'registry.test/app:1', { environment })).rejects.toMatchObject({
    code: 'PROXY_FAILED',
    message: expect.stringMatching(
      /^the proxy 127\.0\.0\.1:1 makes no connection to registry\.test:443: .*ECONNREFUSED/,
    ),
  });
});

const ways: [url: string, noProxy: string, direct: boolean][] = [
  ['https://reg.example.com', 'example.com', true],
  ['https://reg.example.com', '.example.com', true],
  ['https://reg.example.com', 'other.org, EXAMPLE.com', true],
  ['https://notexample.com', 'example.com', false],
  ['https://reg.example.com:5000', 'example.com:5000', true],
  ['https://reg.example.com', 'example.com:5000', false],
  ['https://reg.example.com', 'example.com:443', true],
  ['https://10.1.2.3', '10.0.0.0/8', true],
  ['https://11.1.2.3', '10.0.0.0/8', false],
  ['https://10.1.2.3:5000', '10.1.2.3', true],
  ['https://10.1.2.3', '10.1.2.3:80', false],
  ['https://[fd00::1]:5000', 'fd00::/8', true],
  ['https://[fe00::1]', 'fd00::/8', false],
  ['https://[fd00::1]:5000', 'fd00::1', true],
  ['https://[fd00::1]:5000', '[fd00::1]:5000', true],
  ['https://reg.example.com', '10.0.0.0/99,/,:,', false],
  ['https://reg.example.com', '*', true],
  ['https://localhost:5000', '', true],
  ['https://127.0.0.2', '', true],
];
for (const [url, noProxy, direct] of ways) {
  test(`${url} is reached ${direct ? 'directly' : 'by the proxy'} with no_proxy=${noProxy}`, async () => {
    const proxy = await proxyFor(new URL(url), { HTTPS_PROXY: 'proxy.example:3128', NO_PROXY: noProxy });
    expect(proxy?.href ?? null).toBe(direct ? null : 'http://proxy.example:3128/');
  });
}

test('a proxy of another kind is refused, naming the variable and not what is in it', async () => {
  await expect(proxyFor(new URL('https://a.example'), { HTTPS_PROXY: 'socks5://u:canary@h:1' })).rejects.toMatchObject({
    code: 'PROXY_INVALID',
    message: expect.stringMatching(/^HTTPS_PROXY names no proxy(?!.*canary)/),
  });
});
