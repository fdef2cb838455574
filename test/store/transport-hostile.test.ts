// Registries that fail, lie or try to take what is not theirs.
import { writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { mediaTypes, type PullOptions, pullImage, pushImage, putImage, type StoredImage } from '#store';
import { addLayer, configOf, digestOf, randomText, sampleImage, tempDir, tempStore } from './image-samples.js';
import { asksForLayer, servedLayer, servedManifest, serveImage, serveLayer } from './served-image.js';
import { startScripted } from './transport-server.js';

const environment = { HOME: '/nonexistent', PATH: process.env.PATH };
const retry = { pauseMs: 1, maxPauseMs: 5 };

async function pull(name: string, options: PullOptions = {}): Promise<StoredImage> {
  const { store, lease } = await tempStore();
  try {
    return await pullImage(store, lease, `${name}/app:1`, { environment, retry, ...options });
  } catch (error) {
    expect(store.database.images()).toEqual([]);
    expect(store.database.layers()).toEqual([]);
    throw error;
  }
}

for (const status of [408, 429, 500, 502, 503]) {
  test(`a registry that answers ${status} now and then is asked again`, async () => {
    let count = 0;
    const registry = await startScripted((request, response) => {
      count += 1;
      if (count % 2 === 0) response.writeHead(status, { 'retry-after': '0' }).end('later');
      else serveImage(request, response);
    });
    expect((await pull(registry.name)).digest).toBe(digestOf(servedManifest));
  });
}

test('a registry that is broken for good is given up, saying what it said', async () => {
  const registry = await startScripted((_, response) => {
    response
      .writeHead(503)
      .end(JSON.stringify({ errors: [{ code: 'UNAVAILABLE', message: 'down \u001b[31mfor repair' }] }));
  });
  await expect(pull(registry.name)).rejects.toMatchObject({
    code: 'REGISTRY_ANSWER_INVALID',
    message: expect.stringMatching(/HTTP 503: UNAVAILABLE down \[31mfor repair$/),
  });
  expect(registry.requests.length).toBeLessThan(10);
});

test('a download that breaks off is continued where it broke', async () => {
  let breaks = 0;
  const ranges: (string | undefined)[] = [];
  const registry = await startScripted((request, response) => {
    if (!asksForLayer(request)) return serveImage(request, response);
    ranges.push(request.headers.range);
    if (breaks === 3) return serveLayer(request, response);
    breaks += 1;
    const start = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
    response.writeHead(start > 0 ? 206 : 200, {
      'content-length': servedLayer.length - start,
      ...(start > 0 && { 'content-range': `bytes ${start}-${servedLayer.length - 1}/${servedLayer.length}` }),
    });
    response.write(servedLayer.subarray(start, start + 300_000), () => setTimeout(() => response.destroy(), 20));
  });
  expect((await pull(registry.name)).digest).toBe(digestOf(servedManifest));
  expect(ranges[0]).toBeUndefined();
  expect(ranges.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range ?? ''))).toBe(true);
});

test('a server without ranges starts anew, and the image is right', async () => {
  let count = 0;
  const registry = await startScripted((request, response) => {
    if (!asksForLayer(request)) return serveImage(request, response);
    count += 1;
    if (count > 1) return void response.end(servedLayer);
    response.writeHead(200, { 'content-length': servedLayer.length });
    response.write(servedLayer.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 20));
  });
  expect((await pull(registry.name)).digest).toBe(digestOf(servedManifest));
  expect(count).toBe(2);
});

test('connections that stall are given up and tried again, a bounded number of times', async () => {
  const registry = await startScripted((request, response) => {
    if (!asksForLayer(request)) return serveImage(request, response);
    response.writeHead(200, { 'content-length': servedLayer.length });
    response.write(Buffer.from('x'));
  });
  const begin = Date.now();
  await expect(pull(registry.name, { idleTimeoutMs: 100, retry: { ...retry, attempts: 3 } })).rejects.toMatchObject({
    code: 'REGISTRY_UNREACHABLE',
  });
  expect(Date.now() - begin).toBeLessThan(10_000);
});

const lies: [what: string, code: string, answer: (request: IncomingMessage, response: ServerResponse) => void][] = [
  [
    'other bytes of the same length',
    'BLOB_DIGEST_MISMATCH',
    (_, response) => {
      const other = Buffer.from(servedLayer);
      other[10_000] = (other[10_000] ?? 0) ^ 1;
      response.end(other);
    },
  ],
  [
    'more bytes than announced',
    'BLOB_SIZE_MISMATCH',
    (_, response) => {
      response.write(servedLayer);
      response.end('more');
    },
  ],
  ['another length', 'BLOB_SIZE_MISMATCH', (_, response) => void response.setHeader('content-length', 5).end('short')],
  [
    'fewer bytes, again and again',
    'BLOB_SIZE_MISMATCH',
    (request, response) => serveLayer(request, response, servedLayer.subarray(0, 5000)),
  ],
  [
    'a range that was not asked for',
    'REGISTRY_ANSWER_INVALID',
    (_, response) => {
      response
        .writeHead(206, { 'content-range': `bytes 7-${servedLayer.length - 1}/${servedLayer.length}` })
        .end(servedLayer.subarray(7));
    },
  ],
  [
    'a redirect to a file',
    'REGISTRY_REDIRECT_REFUSED',
    (_, response) => void response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  ],
  [
    "a redirect to the cloud's metadata",
    'REGISTRY_REDIRECT_REFUSED',
    (_, response) => void response.writeHead(307, { location: 'http://169.254.169.254/latest/meta-data' }).end(),
  ],
  [
    'redirects without end',
    'REGISTRY_REDIRECT_REFUSED',
    (request, response) => void response.writeHead(302, { location: request.url ?? '' }).end(),
  ],
];
for (const [what, code, answer] of lies) {
  test(`a registry that serves a layer with ${what} is refused`, async () => {
    const registry = await startScripted((request, response) =>
      asksForLayer(request) ? answer(request, response) : serveImage(request, response),
    );
    await expect(pull(registry.name, { retry: { ...retry, attempts: 3 } })).rejects.toMatchObject({
      code: expect.stringMatching(`^(${code}|LAYER_COMPRESSION_DAMAGED)$`),
    });
  });
}

const badManifests: [what: string, code: string, send: (response: ServerResponse) => void][] = [
  [
    'of schema 1',
    'IMAGE_SCHEMA1',
    (r) =>
      r
        .setHeader('content-type', 'application/vnd.docker.distribution.manifest.v1+prettyjws')
        .end('{"schemaVersion":1,"fsLayers":[]}'),
  ],
  [
    'under another digest',
    'BLOB_DIGEST_MISMATCH',
    (r) => r.setHeader('docker-content-digest', digestOf('x')).end(servedManifest),
  ],
  [
    'under another media type',
    'IMAGE_DOCUMENT_INVALID',
    (r) => r.setHeader('content-type', mediaTypes.ociIndex).end(servedManifest),
  ],
  [
    'without end',
    'REGISTRY_ANSWER_INVALID',
    (r) => {
      const more = (): void => void (r.write(Buffer.alloc(1 << 20, ' ')) ? setImmediate(more) : r.once('drain', more));
      more();
    },
  ],
  [
    'of an artifact',
    'IMAGE_LAYER_TYPE',
    (r) =>
      r.end(
        servedManifest
          .toString()
          .replace(mediaTypes.ociLayerGzip, 'application/vnd.cncf.helm.chart.content.v1.tar+gzip'),
      ),
  ],
  ['that is an HTML page', 'IMAGE_DOCUMENT_INVALID', (r) => r.setHeader('content-type', 'text/html').end('<html>')],
];
for (const [what, code, send] of badManifests) {
  test(`a manifest ${what} is refused`, async () => {
    const registry = await startScripted((request, response) =>
      (request.url ?? '').includes('/manifests/') ? send(response) : serveImage(request, response),
    );
    await expect(pull(registry.name)).rejects.toMatchObject({ code });
  });
}

async function authFile(entries: Record<string, string>): Promise<{ REGISTRY_AUTH_FILE: string }> {
  const path = join(await tempDir(), 'auth.json');
  const auths = Object.entries(entries).map(([host, login]) => [host, { auth: Buffer.from(login).toString('base64') }]);
  writeFileSync(path, JSON.stringify({ auths: Object.fromEntries(auths) }));
  return { REGISTRY_AUTH_FILE: path };
}

test('a redirect to another host carries no password and no token', async () => {
  const storage = await startScripted(serveImage);
  const registry = await startScripted((request, response) => {
    if (request.headers.authorization === undefined) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end();
    } else if (asksForLayer(request)) {
      response.writeHead(307, { location: `http://${storage.name}${request.url}` }).end();
    } else {
      serveImage(request, response);
    }
  });
  const env = { ...environment, ...(await authFile({ [registry.name]: 'user:secret' })) };
  expect((await pull(registry.name, { environment: env })).digest).toBe(digestOf(servedManifest));
  expect(storage.requests).toHaveLength(1);
  expect(storage.requests[0]?.headers.authorization).toBeUndefined();
});

test('a token server on the same host gets the password, one elsewhere does not', async () => {
  for (const host of ['127.0.0.1', 'localhost']) {
    const tokens = await startScripted((_, response) => response.end('{"access_token":"abc","expires_in":60}'));
    const realm = `http://${host}:${tokens.name.split(':')[1]}/token`;
    const registry = await startScripted((request, response) => {
      if (request.headers.authorization === 'Bearer abc') return serveImage(request, response);
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="reg",scope="x"` }).end();
    });
    const env = { ...environment, ...(await authFile({ [registry.name]: 'user:secret' })) };
    await pull(registry.name, { environment: env });
    const [first] = tokens.requests;
    expect(first?.url).toBe(`/token?service=reg&scope=repository%3Aapp%3Apull`);
    const sent = Buffer.from('user:secret').toString('base64');
    expect(first?.headers.authorization).toBe(host === '127.0.0.1' ? `Basic ${sent}` : undefined);
    // One token serves all requests, also those that go at once.
    expect(tokens.requests).toHaveLength(1);
  }
});

test('a token that expires is renewed once, and an identity token is exchanged', async () => {
  let issued = 0;
  const bodies: string[] = [];
  const tokens = await startScripted((request, response) => {
    issued += 1;
    request.on('data', (chunk) => bodies.push(String(chunk)));
    request.on('end', () => response.end(JSON.stringify({ token: `t${issued}` })));
  });
  const registry = await startScripted((request, response) => {
    const valid = asksForLayer(request) ? 'Bearer t2' : 'Bearer t1';
    if (request.headers.authorization === valid) return serveImage(request, response);
    response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${tokens.name}/token"` }).end();
  });
  const path = join(await tempDir(), 'auth.json');
  writeFileSync(path, JSON.stringify({ auths: { [registry.name]: { identitytoken: 'long-lived' } } }));
  await pull(registry.name, { environment: { ...environment, REGISTRY_AUTH_FILE: path } });
  expect(issued).toBe(2);
  expect(bodies[0]).toContain('grant_type=refresh_token');
  expect(bodies[0]).toContain('refresh_token=long-lived');
});

for (const realm of ['file:///etc/passwd', 'http://169.254.169.254/', 'not a url']) {
  test(`a token server at ${realm} is not asked`, async () => {
    const registry = await startScripted((_, response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end();
    });
    await expect(pull(registry.name)).rejects.toMatchObject({
      code: expect.stringMatching(/^REGISTRY_(REDIRECT_REFUSED|ANSWER_INVALID)$/),
    });
  });
}

test('an upload in pieces that breaks off goes on from where the server says', async () => {
  const received = new Map<string, Buffer>();
  let content = Buffer.alloc(0);
  let breaks = 0;
  const registry = await startScripted((request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    const next = (status: number): void =>
      void response
        .writeHead(status, { location: '/v2/app/blobs/uploads/1?state=z', range: `0-${content.length - 1}` })
        .end();
    const chunks: Buffer[] = [];
    if (request.method === 'HEAD') return void response.writeHead(404).end();
    if (request.method === 'GET') return url.pathname === '/v2/' ? void response.end() : next(204);
    if (request.method === 'PATCH' && breaks < 2) {
      breaks += 1;
      // A part of the piece arrives, then the connection goes.
      request.once('data', (chunk: Buffer) => {
        content = Buffer.concat([content, chunk.subarray(0, 1000)]);
        request.destroy();
      });
      return;
    }
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.method === 'POST') {
        content = Buffer.alloc(0);
        return next(202);
      }
      const body = Buffer.concat(chunks);
      if (request.method === 'PATCH') {
        expect(request.headers['content-range']).toBe(`${content.length}-${content.length + body.length - 1}`);
        content = Buffer.concat([content, body]);
        return next(202);
      }
      if (!url.pathname.includes('/manifests/')) {
        received.set(url.searchParams.get('digest') ?? '', body.length > 0 ? body : content);
        expect(url.searchParams.get('state')).toBe('z');
      }
      response.writeHead(201).end();
    });
  });
  const place = await tempStore();
  const big = await addLayer(place, { big: randomText(1_000_000, 'big') });
  const image = await putImage(place.store, place.lease, { config: configOf([big]) });
  await pushImage(place.store, place.lease, image, `${registry.name}/app:1`, {
    environment,
    retry,
    chunkBytes: 200_000,
  });
  expect(breaks).toBe(2);
  expect(received.size).toBe(2);
  for (const [digest, bytes] of received) expect(digestOf(bytes)).toBe(digest);
});

test('a push to a registry that refuses says why, and does not wait', async () => {
  const registry = await startScripted((request, response) => {
    if (request.method === 'HEAD') response.writeHead(404).end();
    else if (request.url === '/v2/') response.end();
    else response.writeHead(403).end('{"errors":[{"code":"DENIED","message":"read only"}]}');
  });
  const place = await tempStore();
  const pushing = pushImage(place.store, place.lease, await sampleImage(place), `${registry.name}/app:1`, {
    environment,
  });
  await expect(pushing).rejects.toMatchObject({
    code: 'REGISTRY_DENIED',
    message: expect.stringContaining('DENIED read only'),
  });
});

test('layers come from the registry, never from the urls of a descriptor, and as they are', async () => {
  const elsewhere = await startScripted((_, response) => void response.end(servedLayer));
  const foreign = servedManifest
    .toString()
    .replace(/("layers":\[\{)/, `$1"urls":["http://${elsewhere.name}/layer","file:///etc/passwd"],`)
    .replace(mediaTypes.ociLayerGzip, 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip');
  const registry = await startScripted((request, response) =>
    (request.url ?? '').includes('/manifests/')
      ? response.setHeader('content-type', mediaTypes.ociManifest).end(foreign)
      : serveImage(request, response),
  );
  expect((await pull(registry.name)).manifest.layers).toHaveLength(1);
  expect(elsewhere.requests).toEqual([]);
  expect(registry.requests.every(({ headers }) => headers['accept-encoding'] === 'identity')).toBe(true);
});
