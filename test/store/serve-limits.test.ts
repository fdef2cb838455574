// What `serve` does not take: too much, too slowly, with names and numbers that are lies; and what it tells its operator.
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { routeOf } from '../../store/serve/route.js';
import { digestOf, tempDir, tempStore } from './image-samples.js';
import { pushBlob, pushImageBlobs, putManifest, serve } from './serve-client.js';

const content = (bytes: number): Buffer => Buffer.alloc(bytes, 'x');

test('a blob that is too large is refused before it comes, or where it becomes too large', async () => {
  const { store } = await tempStore();
  const { ask } = await serve(store, { maxBlobBytes: 1000 });
  await pushBlob(ask, 'app', content(1000));
  const big = content(1001);
  const atOnce = `/v2/app/blobs/uploads/?digest=${digestOf(big)}`;
  const inAStream = { 'transfer-encoding': 'chunked' };
  for (const headers of [{}, inAStream]) {
    const { status, code } = await ask('POST', atOnce, { body: big, headers });
    expect([status, code]).toEqual([413, 'SIZE_INVALID']);
  }
  const { location } = (await ask('POST', '/v2/app/blobs/uploads/')).headers;
  expect((await ask('PATCH', location!, { body: content(600) })).status).toBe(202);
  expect((await ask('PATCH', location!, { body: content(600) })).status).toBe(413);
  expect(readdirSync(join(store.dir, 'uploads'))).toHaveLength(1);
});

test('quotas: of the registry and of each repository', async () => {
  const { store } = await tempStore();
  const { ask } = await serve(store, { quotaBytes: 10_000, repositoryQuotaBytes: 4000 });
  const push = async (repository: string, bytes: Buffer): Promise<[number, string]> => {
    const path = `/v2/${repository}/blobs/uploads/?digest=${digestOf(bytes)}`;
    const { status, body } = await ask('POST', path, { body: bytes });
    return [
      status,
      status === 201 ? '' : (JSON.parse(body.toString()) as { errors: { message: string }[] }).errors[0]!.message,
    ];
  };
  expect(await push('a', content(3000))).toEqual([201, '']);
  const [status, message] = await push('a', content(1500));
  expect([status, message]).toEqual([413, expect.stringMatching(/^a's quota of 4000 bytes is exceeded/)]);
  expect(await push('b', content(3500))).toEqual([201, '']);
  expect(await push('c', content(3600))).toEqual([
    413,
    expect.stringMatching(/registry's quota of 10000 bytes is exceeded/),
  ]);
  expect((await ask('POST', `/v2/a/blobs/uploads/?mount=${digestOf(content(3500))}&from=b`)).code).toBe('DENIED');
  // Known bytes cost nothing twice, but nobody can tell before they came.
  const { location } = (await ask('POST', '/v2/c/blobs/uploads/')).headers;
  expect((await ask('PATCH', location!, { body: content(3000) })).status).toBe(202);
  expect((await push('d', content(1000)))[0]).toBe(413);
  expect((await ask('DELETE', location!)).status).toBe(204);
  expect((await push('d', content(1000)))[0]).toBe(201);
});

test('an image that unpacks to more than the quota leaves is refused', async () => {
  const { store } = await tempStore();
  const { ask } = await serve(store, { quotaBytes: 100_000 });
  const image = await pushImageBlobs(ask, 'app', { zeros: '0'.repeat(1_000_000) });
  const put = await putManifest(ask, 'app', '1', image);
  expect([put.status, put.code]).toEqual([413, 'DENIED']);
  expect(store.database.layers()).toEqual([]);
});

test('uploads under way are bounded in number and in time', async () => {
  const { store } = await tempStore();
  const { ask } = await serve(store, { maxUploads: 3 });
  const begin = () => ask('POST', '/v2/app/blobs/uploads/');
  for (let i = 0; i < 3; i++) expect((await begin()).status).toBe(202);
  const fourth = await begin();
  expect([fourth.status, fourth.code, fourth.headers['retry-after']]).toEqual([429, 'TOOMANYREQUESTS', '60']);
  vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 25 * 3_600_000);
  const nextDay = await begin();
  vi.restoreAllMocks();
  expect(nextDay.status).toBe(202);
  expect(readdirSync(join(store.dir, 'uploads'))).toHaveLength(1);
});

test('paths, names, digests and ids from an enemy lead nowhere', async () => {
  const { store } = await tempStore();
  const { ask } = await serve(store);
  const digest = digestOf('x');
  const invalidNames = [
    '../x',
    'a/../b',
    'a//b',
    '%2e%2e/x',
    'A',
    'a%00b',
    'a%0Ab',
    '-a',
    'a:b',
    'a@b',
    `${'a'.repeat(300)}`,
    '%1b[31m',
    'sha256:x',
  ];
  for (const name of invalidNames) {
    for (const [method, path] of [
      ['GET', 'manifests/1'],
      ['GET', `blobs/${digest}`],
      ['POST', 'blobs/uploads/'],
      ['GET', 'tags/list'],
      ['PUT', 'manifests/1'],
    ]) {
      const { status, code } = await ask(method!, `/v2/${name}/${path}`);
      expect([name, method, path, status, code]).toEqual([name, method, path, 400, 'NAME_INVALID']);
    }
  }
  const invalidDigests = [
    'sha256:',
    'sha256:../../x',
    `sha256:${'A'.repeat(64)}`,
    `md5:${'a'.repeat(32)}`,
    `sha256:${'a'.repeat(63)}`,
    'x',
    `sha512:${'a'.repeat(128)}`,
  ];
  for (const each of invalidDigests) {
    const path = encodeURIComponent(each);
    expect([each, (await ask('GET', `/v2/app/blobs/${path}`)).code]).toEqual([each, 'DIGEST_INVALID']);
    expect([each, (await ask('GET', `/v2/app/referrers/${path}`)).code]).toEqual([each, 'DIGEST_INVALID']);
    expect([each, (await ask('POST', `/v2/app/blobs/uploads/?digest=${path}`, { body: 'x' })).code]).toEqual([
      each,
      'DIGEST_INVALID',
    ]);
    expect([each, (await ask('POST', `/v2/app/blobs/uploads/?mount=${path}&from=b`)).code]).toEqual([
      each,
      'DIGEST_INVALID',
    ]);
  }
  for (const id of ['..', '.', '%2e%2e', '..%2f..%2fx', 'x', 'a'.repeat(32), 'a'.repeat(5000), '%00']) {
    for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
      const { status } = await ask(method, `/v2/app/blobs/uploads/${id}?digest=${digest}`);
      expect([id, status === 404 || status === 400]).toEqual([id, true]);
    }
  }
  for (const path of ['/', '/v1/', '/v2/%', '/v2/a/manifests/%ff', '/v2/app/unknown', '//v2/', '/v2/../etc/passwd']) {
    expect((await ask('GET', path)).status).toBeGreaterThanOrEqual(400);
  }
  expect(readdirSync(join(store.dir, 'uploads'))).toEqual([]);
  expect(store.database.blobs()).toEqual([]);
});

test('any path has a route, none, or a clear refusal', () => {
  fc.assert(
    fc.property(fc.webPath(), fc.constantFrom('', '/v2', '/v2/a/b'), (path, prefix) => {
      try {
        const route = routeOf(`${prefix}${path}`);
        expect(route === null || typeof route.kind === 'string').toBe(true);
      } catch (error) {
        expect(error).toMatchObject({ code: 'NAME_INVALID' });
      }
    }),
  );
});

test('a method that means nothing is refused, with those that mean something', async () => {
  const { ask } = await serve((await tempStore()).store);
  for (const path of [
    '/v2/',
    '/v2/_catalog',
    '/v2/app/tags/list',
    '/v2/app/manifests/1',
    `/v2/app/blobs/${digestOf('')}`,
    '/healthz',
  ]) {
    const { status, code, headers } = await ask('PATCH', path);
    expect([path, status, code]).toEqual([path, 405, 'UNSUPPORTED']);
    expect(headers.allow).toContain('GET');
  }
});

/** Speaks for itself; gives what was answered until the server ended it. */
function raw(name: string, speak: (write: (text: string | Buffer) => void) => void): Promise<string> {
  const [host, port] = name.split(':');
  return new Promise((resolve) => {
    const socket = connect(Number(port), host!);
    let heard = '';
    socket.on('data', (text) => {
      heard += text;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(heard));
    speak((text) => socket.write(text));
  });
}

test('a body that hardly comes is cut off, and what came of it stays for another try', async () => {
  const { store } = await tempStore();
  const { ask, name } = await serve(store, { bodyTimeoutMs: 300 });
  const { location } = (await ask('POST', '/v2/app/blobs/uploads/')).headers;
  let dripping: NodeJS.Timeout | undefined;
  await raw(name, (write) => {
    write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n`);
    dripping = setInterval(() => write('x'), 20);
  });
  clearInterval(dripping);
  const range = String((await ask('GET', location!)).headers.range);
  const came = Number(range.slice(2)) + 1;
  expect(came).toBeGreaterThan(0);
  const rest = content(5000 - came);
  expect((await ask('PUT', `${location}?digest=${digestOf(content(5000))}`, { body: rest })).status).toBe(201);
});

test('a client that goes away in the middle leaves what it sent; two at once do not mix', async () => {
  const { ask, name } = await serve((await tempStore()).store);
  const { location } = (await ask('POST', '/v2/app/blobs/uploads/')).headers;
  const half = content(100_000).toString();
  const [host, port] = name.split(':');
  const socket = connect(Number(port), host!);
  socket.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n${half}`);
  const came = async (): Promise<number> => Number(String((await ask('GET', location!)).headers.range).slice(2)) + 1;
  while ((await came()) < half.length) await new Promise((resolve) => setTimeout(resolve, 20));
  const second = await ask('PATCH', location!, { body: 'other' });
  expect([second.status, second.code]).toEqual([409, 'BLOB_UPLOAD_INVALID']);
  socket.destroy();
  for (;;) {
    const { status } = await ask('PATCH', location!, { body: 'end', headers: { 'content-range': '100000-100002' } });
    if (status === 202) break;
    expect(status).toBe(409); // not noticed yet
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect((await ask('PUT', `${location}?digest=${digestOf(`${half}end`)}`)).status).toBe(201);
});

test('a client that is refused is told so without its body being taken, and by 100-continue before it is sent', async () => {
  const { name } = await serve((await tempStore()).store, { maxBlobBytes: 10 });
  const heard = await raw(name, (write) =>
    write(
      `POST /v2/app/blobs/uploads/?digest=${digestOf('')} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n`,
    ),
  );
  expect(heard).toMatch(/^HTTP\/1\.1 413 /);
  expect(heard).not.toContain('100 Continue');
});

test('headers that are too large are refused', async () => {
  const { name } = await serve((await tempStore()).store);
  const heard = await raw(name, (write) => write(`GET /v2/ HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`));
  expect(heard).toMatch(/^HTTP\/1\.1 431 /);
});

test('the access log has a line for each request, whatever is in it', async () => {
  const log = join(await tempDir(), 'log');
  const { ask, close, name } = await serve((await tempStore()).store, { accessLogPath: log });
  const hostile = Buffer.from('x","status":200}\u009b2J\u00e9', 'latin1');
  await raw(name, (write) => {
    write('GET /v2/app/tags/list?x=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: ');
    write(hostile);
    write('\r\n\r\n');
  });
  await ask('GET', '/v2/%1b[2J%0a/tags/list');
  await ask('POST', `/v2/app/blobs/uploads/?digest=${digestOf('abc')}`, { body: 'abc' });
  await close();
  const text = readFileSync(log, 'latin1');
  expect(text).toMatch(/^[\x20-\x7e\n]*$/);
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines.map(({ method, path, status, error }) => [method, path, status, error])).toEqual([
    ['GET', '/v2/app/tags/list', 404, 'NAME_UNKNOWN'],
    ['GET', '/v2/%1b[2J%0a/tags/list', 400, 'NAME_INVALID'],
    ['POST', '/v2/app/blobs/uploads/', 201, undefined],
  ]);
  expect(lines[2]).toMatchObject({ bytesIn: 3, bytesOut: 0, remote: '127.0.0.1', user: null, complete: true });
});

test('metrics are told in the format of Prometheus, when they are wanted', async () => {
  const { store } = await tempStore();
  const silent = await serve(store);
  expect((await silent.ask('GET', '/metrics')).status).toBe(404);
  const { ask } = await serve(store, { metrics: true });
  await pushBlob(ask, 'app', content(1234));
  await ask('BREW', '/v2/app/tags/list').catch(() => {});
  await ask('POST', '/v2/app/blobs/uploads/');
  const { body, headers } = await ask('GET', '/metrics');
  expect(headers['content-type']).toContain('version=0.0.4');
  const text = body.toString();
  for (const line of text.trimEnd().split('\n'))
    expect(line).toMatch(/^(# (HELP|TYPE) tsbuild_\w+ .+|tsbuild_\w+(\{[^}]*\})? [\d.e+-]+)$/);
  expect(text).toContain('tsbuild_http_requests_total{route="uploads",method="POST",status="201"} 1\n');
  expect(text).toContain('tsbuild_http_bytes_received_total 1234\n');
  expect(text).toContain('tsbuild_uploads_open 1\n');
  expect(text).toContain('tsbuild_store_bytes 1234\n');
  expect(text).toMatch(/_bucket\{route="uploads",le="\+Inf"\} 2\n/);
});

test('a server that ends lets requests end, for a while', async () => {
  const { store } = await tempStore();
  const { ask, close, name } = await serve(store, { graceMs: 20_000 });
  const { location } = (await ask('POST', '/v2/app/blobs/uploads/')).headers;
  const [half, rest] = [content(1000), content(2000)];
  const size = async (): Promise<string> => String((await ask('GET', location!)).headers.range);
  let closed: Promise<void> | undefined;
  const heard = await raw(name, async (write) => {
    write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n`);
    write(half);
    while ((await size()) !== '0-999') await new Promise((resolve) => setTimeout(resolve, 20));
    closed = close();
    write(rest);
  });
  expect(heard).toMatch(/^HTTP\/1\.1 202 /);
  await closed;
  await expect(ask('GET', '/v2/')).rejects.toThrow(/ECONNREFUSED/);
});
