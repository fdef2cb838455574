// Uploads that break, against Debian's registry behind a proxy that cuts connections, and registries with ways of their own.
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type PushOptions, pullImage, pushImage, putImage, type StoredImage, serveStore } from '#store';
import { addLayer, configOf, diffIdsOf, digestOf, randomText, sampleImage, tempStore } from './image-samples.js';
import { hasRegistry, startRegistry, startScripted } from './transport-server.js';

const environment = { HOME: '/nonexistent', PATH: process.env.PATH };
const retry = { pauseMs: 1, maxPauseMs: 5 };

/** Passes bytes on to the registry; `cut` of what a client has sent on one connection ends it there. */
async function startCutting(registry: string, cuts: number[]): Promise<{ name: string; sent(): number }> {
  let sent = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const onward = connect(Number(registry.split(':')[1]), '127.0.0.1');
    let ofThis = 0;
    for (const socket of [client, onward]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => [client, onward].forEach((each) => void each.destroy()));
    }
    client.on('data', (chunk) => {
      ofThis += chunk.length;
      sent += chunk.length;
      if (cuts[0] !== undefined && ofThis > cuts[0]) {
        cuts.shift();
        // What came so far arrives, the rest never.
        onward.end(chunk);
        client.destroy();
      } else {
        onward.write(chunk);
      }
    });
    onward.pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { name: `127.0.0.1:${(server.address() as AddressInfo).port}`, sent: () => sent };
}

const layerBytes = 8_000_000;

async function bigImage(): Promise<{
  push(name: string, options?: PushOptions): Promise<unknown>;
  image: StoredImage;
}> {
  const place = await tempStore();
  const big = await addLayer(place, { big: randomText(layerBytes, 'big') });
  const image = await putImage(place.store, place.lease, { config: configOf([big]) });
  const push = (name: string, options: PushOptions = {}): Promise<unknown> =>
    pushImage(place.store, place.lease, image, name, { environment, retry, compression: 'none', ...options });
  return { push, image };
}

describe.skipIf(!hasRegistry())('against docker-registry', () => {
  // Release 2.8 cancels an upload that broke within a piece when it is asked how far it came.
  test('an upload in pieces that breaks several times ends whole', async () => {
    const registry = await startRegistry();
    const path = await startCutting(registry.name, [2_500_000, 700_000, 1_900_000]);
    const { push, image } = await bigImage();
    await push(`${path.name}/app:1`, { chunkBytes: 1_000_000 });
    const status = registry.requests().filter((line) => /^GET .*\/blobs\/uploads\//.test(line));
    expect(status.length).toBeGreaterThanOrEqual(3);
    expect(path.sent()).toBeGreaterThan(layerBytes);
    const to = await tempStore();
    expect(diffIdsOf(await pullImage(to.store, to.lease, `${registry.name}/app:1`, { environment }))).toEqual(
      diffIdsOf(image),
    );
  });

  test('an upload in one request that breaks is sent again', async () => {
    const registry = await startRegistry();
    const path = await startCutting(registry.name, [3_000_000]);
    const { push, image } = await bigImage();
    await push(`${path.name}/app:1`);
    const to = await tempStore();
    expect(diffIdsOf(await pullImage(to.store, to.lease, `${registry.name}/app:1`, { environment }))).toEqual(
      diffIdsOf(image),
    );
  });

  test('two at once that push the same both succeed; then nothing is sent any more', async () => {
    const registry = await startRegistry();
    const [one, two] = [await bigImage(), await bigImage()];
    await Promise.all([one.push(`${registry.name}/app:1`), two.push(`${registry.name}/app:2`)]);
    const before = registry.requests().length;
    await two.push(`${registry.name}/app:3`);
    const after = registry.requests().slice(before);
    expect(after.filter((line) => !/^HEAD .*\/blobs\/sha256:|^PUT .*\/manifests\/|^GET \/v2\/ ?$/.test(line))).toEqual(
      [],
    );
  });
});

test('an upload to a server that keeps what came goes on in the middle of a piece, and a download where it broke', async () => {
  const { store } = await tempStore();
  const serving = await serveStore(store, { listen: [{ host: '127.0.0.1', port: 0 }] });
  onTestFinished(() => serving.close(AbortSignal.abort()));
  const registry = new URL(serving.urls[0] ?? '').host;
  const path = await startCutting(registry, [2_500_000, 2_700_000, 1_900_000]);
  const { push, image } = await bigImage();
  // The server has noticed the end of a connection when it is asked.
  await push(`${path.name}/app:1`, { chunkBytes: 4_000_000, retry: { pauseMs: 400 } });
  // The pieces that broke were not sent from their beginning again.
  expect(path.sent()).toBeLessThan(layerBytes + 1_000_000);
  const to = await tempStore();
  expect(diffIdsOf(await pullImage(to.store, to.lease, `${registry}/app:1`, { environment }))).toEqual(
    diffIdsOf(image),
  );
});

interface Quirks {
  readonly started?: (response: ServerResponse, request: IncomingMessage) => void;
  readonly patched?: (request: IncomingMessage, response: ServerResponse, arrived: Buffer) => boolean;
  readonly finished?: (request: IncomingMessage, response: ServerResponse) => boolean;
  readonly status?: (response: ServerResponse) => void;
  readonly head?: number;
}

interface Quirky {
  readonly name: string;
  readonly blobs: Map<string, Buffer>;
  /** 'POST uploads', 'PATCH uploads', … */
  readonly log: string[];
}

/** A registry that takes uploads one at a time, with ways of its own. */
async function startQuirky(quirks: Quirks): Promise<Quirky> {
  const blobs = new Map<string, Buffer>();
  const log: string[] = [];
  let arrived = Buffer.alloc(0);
  const { name } = await startScripted((request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    const kind = /\/(uploads|manifests|blobs)\//.exec(url.pathname)?.[1] ?? 'api';
    if (kind !== 'api') log.push(`${request.method} ${url.pathname.includes('/uploads/') ? 'uploads' : kind}`);
    const place = { location: '/v2/app/blobs/uploads/1?_state=a%2Bb==&x=%7e' };
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      if (kind === 'api') return void response.end();
      if (request.method === 'HEAD') {
        const known = blobs.get(url.pathname.split('/').at(-1) ?? '');
        if (quirks.head !== undefined) return void response.writeHead(quirks.head).end();
        return void response.writeHead(known ? 200 : 404, known && { 'content-length': known.length }).end();
      }
      if (request.method === 'POST') {
        arrived = Buffer.alloc(0);
        if (quirks.started) return quirks.started(response, request);
        return void response.writeHead(202, place).end();
      }
      if (request.method === 'PATCH') {
        if (quirks.patched?.(request, response, arrived)) return;
        arrived = Buffer.concat([arrived, body]);
        return void response.writeHead(202, { ...place, range: `0-${arrived.length - 1}` }).end();
      }
      if (request.method === 'GET' && url.pathname.includes('/uploads/')) {
        if (quirks.status) return quirks.status(response);
        return void response.writeHead(204, { ...place, range: `0-${Math.max(0, arrived.length - 1)}` }).end();
      }
      if (request.method === 'GET') {
        const known = blobs.get(url.pathname.split('/').at(-1) ?? '');
        if (known === undefined) return void response.writeHead(404).end();
        response.writeHead(206, { 'content-range': `bytes 0-0/${known.length}` }).end(known.subarray(0, 1));
        return;
      }
      if (kind === 'manifests') return void response.writeHead(201).end();
      const bytes = Buffer.concat([arrived, body]);
      if (quirks.finished?.(request, response)) return;
      const digest = url.searchParams.get('digest') ?? '';
      if (digestOf(bytes) !== digest) return void response.writeHead(400).end('{"errors":[{"code":"DIGEST_INVALID"}]}');
      blobs.set(digest, bytes);
      response.writeHead(201).end();
    });
  });
  return { name, blobs, log };
}

const once1 = (): (() => boolean) => {
  let done = false;
  return () => {
    const first = !done;
    done = true;
    return first;
  };
};

test("the parameters of an upload's place are given back byte for byte", async () => {
  const seen: string[] = [];
  const registry = await startQuirky({
    finished: (request) => {
      seen.push((request.url ?? '').split('?')[1] ?? '');
      return false;
    },
  });
  const { push } = await bigImage();
  await push(`${registry.name}/app:1`);
  expect(seen.every((query) => query.startsWith('_state=a%2Bb==&x=%7e&digest=sha256%3A'))).toBe(true);
  expect(seen).toHaveLength(2);
});

const ways: [what: string, quirks: () => Quirks, posts?: number][] = [
  [
    'says 201 of an upload that begins',
    () => ({ started: (r) => void r.writeHead(201, { location: '/v2/app/blobs/uploads/1' }).end() }),
  ],
  ['names places relatively', () => ({ started: (r) => void r.writeHead(202, { location: '1' }).end() })],
  [
    'names a place once',
    () => ({
      started: (r) => void r.writeHead(202, { location: '/v2/app/blobs/uploads/1' }).end(),
      status: (r) => void r.writeHead(204, { range: '0-999999' }).end(),
    }),
  ],
  [
    'knows no mounts without a source',
    () => ({
      started: (r, request) =>
        void (request.url?.includes('mount=')
          ? r.writeHead(400).end('{"errors":[{"code":"NAME_INVALID"}]}')
          : r.writeHead(202, { location: '/v2/app/blobs/uploads/1' }).end()),
    }),
    4,
  ],
  ['knows no HEAD', () => ({ head: 405 })],
  [
    'wants larger pieces',
    () => ({
      started: (r) =>
        void r.writeHead(202, { location: '/v2/app/blobs/uploads/1', 'oci-chunk-min-length': '3000000' }).end(),
      patched: (request, r) => Number(request.headers['content-length']) < 2_000_000 && Boolean(r.writeHead(416).end()),
    }),
  ],
  [
    'answers 416 to a piece it has already',
    () => {
      const first = once1();
      return {
        patched: (request, r, arrived) =>
          arrived.length > 0 &&
          first() &&
          Boolean(r.writeHead(416, { range: `0-${arrived.length - 1}` }).end(request.url && '')),
      };
    },
  ],
  [
    'forgets an upload in the middle',
    () => {
      const first = once1();
      return {
        patched: (_, r, arrived) =>
          arrived.length > 2_000_000 &&
          first() &&
          Boolean(r.writeHead(404).end('{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}')),
      };
    },
    3,
  ],
  [
    'knows no status of uploads',
    () => {
      const first = once1();
      return {
        patched: (_, r, arrived) => arrived.length > 2_000_000 && first() && Boolean(r.writeHead(503).end()),
        status: (r) => void r.writeHead(405).end(),
      };
    },
    3,
  ],
  [
    'fails at the end of an upload in pieces',
    () => {
      const first = once1();
      return {
        finished: (request, r) =>
          request.headers['content-length'] === '0' && first() && Boolean(r.writeHead(502).end('<html>')),
      };
    },
    2,
  ],
];
for (const [what, quirks, posts = 2] of ways) {
  test(`a registry that ${what} gets every byte`, async () => {
    const registry = await startQuirky(quirks());
    const { push, image } = await bigImage();
    await push(`${registry.name}/app:1`, { chunkBytes: 1_000_000 });
    expect([...registry.blobs.keys()].sort()).toEqual([...diffIdsOf(image), image.configDigest].sort());
    expect(registry.log.filter((line) => line === 'POST uploads')).toHaveLength(posts);
    if (what === 'knows no HEAD') {
      registry.log.length = 0;
      await push(`${registry.name}/app:2`);
      expect(registry.log.filter((line) => line.endsWith('uploads'))).toEqual([]);
    }
  });
}

test('a registry that mounts what it knows from anywhere gets no bytes', async () => {
  const registry = await startQuirky({
    started: (response, request) => {
      const digest = new URL(request.url ?? '', 'http://x').searchParams.get('mount') ?? '';
      response.writeHead(201, { location: `/v2/app/blobs/${digest}`, 'docker-content-digest': digest }).end();
    },
  });
  const { push } = await bigImage();
  await push(`${registry.name}/app:1`);
  expect(registry.log.filter((line) => /^(PATCH|PUT) uploads/.test(line))).toEqual([]);
});

test('a token that expires in the middle of an upload is renewed, and the piece sent again', async () => {
  let issued = 0;
  const tokens = await startScripted((_, response) => {
    issued += 1;
    response.end(JSON.stringify({ token: `t${issued}` }));
  });
  const seen: string[] = [];
  const inner = await startQuirky({});
  const registry = await startScripted(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.method === 'PATCH') seen.push(`${request.headers['content-range']} ${request.headers.authorization}`);
    const valid = seen.length < 4 ? 'Bearer t1' : 'Bearer t2';
    if (request.headers.authorization !== valid) {
      return void response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${tokens.name}/token"` }).end();
    }
    const headers: Record<string, string> = { 'content-type': 'application/octet-stream' };
    const answer = await fetch(`http://${inner.name}${request.url}`, {
      method: request.method ?? 'GET',
      headers,
      ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
    });
    const location = answer.headers.get('location');
    response.writeHead(answer.status, location === null ? {} : { location }).end();
  });
  const { push, image } = await bigImage();
  await push(`${registry.name}/app:1`, { chunkBytes: 1_000_000 });
  expect([...inner.blobs.keys()].sort()).toEqual([...diffIdsOf(image), image.configDigest].sort());
  expect(issued).toBe(2);
  expect(seen.slice(3, 5)).toEqual(['3000000-3999999 Bearer t1', '3000000-3999999 Bearer t2']);
});

test('a registry that keeps a manifest under another digest is told', async () => {
  const registry = await startScripted((request, response) => {
    if (request.method === 'HEAD') response.writeHead(200).end();
    else if (request.method === 'PUT') response.writeHead(201, { 'docker-content-digest': digestOf('other') }).end();
    else response.end();
  });
  const place = await tempStore();
  const pushing = pushImage(place.store, place.lease, await sampleImage(place), `${registry.name}/app:1`, {
    environment,
  });
  await expect(pushing).rejects.toMatchObject({
    code: 'REGISTRY_ANSWER_INVALID',
    message: expect.stringContaining(`as ${digestOf('other')}: it has changed it`),
  });
});

test('an upload that a proxy finds too large is told so, once', async () => {
  const registry = await startQuirky({
    finished: (_, response) =>
      Boolean(response.writeHead(413).end('<html><title>413 Request Entity Too Large</title></html>')),
  });
  const { push } = await bigImage();
  await expect(push(`${registry.name}/app:1`)).rejects.toMatchObject({
    code: 'REGISTRY_UPLOAD_TOO_LARGE',
    message: expect.stringMatching(/HTTP 413: 413 Request Entity Too Large$/),
    hint: expect.stringContaining('limit has to be raised'),
  });
});
