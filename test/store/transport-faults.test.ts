// Each way in which a registry or the network fails for a while, many times over: the transfer ends whole, or not at all.
// The rounds are few here and many at night.

import { readdirSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openLease, openStore, pullImage, pushImage, putImage, serveStore } from '#store';
import { addLayer, configOf, diffIdsOf, digestOf, randomText, tempDir, tempStore } from './image-samples.js';
import { asksForLayer, rangeStart, servedLayer, servedManifest, serveImage } from './served-image.js';
import { startScripted } from './transport-server.js';

const rounds = process.env.TSBUILD_NIGHTLY ? 50 : 3;
const environment = { HOME: '/nonexistent', PATH: process.env.PATH };
const retry = { pauseMs: 1, maxPauseMs: 20, attempts: 40 };
const timing = { timeout: 600_000 };

/** Numbers that are the same in each run. */
function numbers(seed: number): () => number {
  let state = seed + 1;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** Fails some requests in its way, the others it leaves. */
type Fault = (random: () => number) => (request: IncomingMessage, response: ServerResponse) => boolean;

const sometimes =
  (share: number, fail: (request: IncomingMessage, response: ServerResponse, random: () => number) => void): Fault =>
  (random) =>
  (request, response) => {
    if (request.url === '/v2/' || random() > share) return false;
    fail(request, response, random);
    return true;
  };

const layerOnly =
  (fault: Fault): Fault =>
  (random) => {
    const fail = fault(random);
    return (request, response) => asksForLayer(request) && fail(request, response);
  };

function partOf(request: IncomingMessage, response: ServerResponse, random: () => number): Buffer {
  const start = rangeStart(request);
  const whole = servedLayer.length;
  response.writeHead(start > 0 ? 206 : 200, {
    'content-length': whole - start,
    ...(start > 0 && { 'content-range': `bytes ${start}-${whole - 1}/${whole}` }),
  });
  return servedLayer.subarray(start, start + 70_000 + Math.floor(random() * 500_000));
}

const faults: [what: string, fault: Fault, idleTimeoutMs: number][] = [
  [
    'answers 5xx',
    sometimes(0.4, (_, r, random) => void r.writeHead(500 + Math.floor(random() * 5)).end('<html>down')),
    20_000,
  ],
  [
    'answers 429 with Retry-After',
    sometimes(0.4, (_, r) => void r.writeHead(429, { 'retry-after': '0' }).end()),
    20_000,
  ],
  [
    'answers 429 until a date',
    sometimes(0.4, (_, r) => void r.writeHead(429, { 'retry-after': new Date().toUTCString() }).end()),
    20_000,
  ],
  ['breaks off before an answer', sometimes(0.4, (request) => void request.socket.destroy()), 20_000],
  [
    'breaks off within a layer',
    layerOnly(sometimes(0.6, (request, r, random) => void r.write(partOf(request, r, random), () => r.destroy()))),
    20_000,
  ],
  [
    'ends a layer early',
    layerOnly(
      sometimes(
        0.6,
        (request, r) =>
          void r.writeHead(200, { connection: 'close' }).end(servedLayer.subarray(0, rangeStart(request) + 70_000)),
      ),
    ),
    20_000,
  ],
  [
    'answers with a wrong range',
    layerOnly((random) => {
      const wrong = sometimes(
        0.5,
        (_, r) => void r.writeHead(206, { 'content-range': `bytes 7-99/${servedLayer.length}` }).end('x'.repeat(93)),
      )(random);
      const broken = sometimes(
        0.7,
        (request, r, more) => void r.write(partOf(request, r, more), () => r.destroy()),
      )(random);
      return (request, response) => wrong(request, response) || broken(request, response);
    }),
    20_000,
  ],
  [
    'knows no ranges, and breaks off',
    layerOnly((random) => (request, response) => {
      if (rangeStart(request) === 0)
        return sometimes(
          1,
          (_, r) =>
            void r
              .writeHead(200, { 'content-length': servedLayer.length })
              .write(servedLayer.subarray(0, 90_000), () => r.destroy()),
        )(random)(request, response);
      response.end(servedLayer);
      return true;
    }),
    20_000,
  ],
  [
    'lets a layer drip',
    layerOnly(
      sometimes(0.5, (request, r) => {
        partOf(request, r, () => 0);
        let at = rangeStart(request);
        const drip = setInterval(() => r.write(servedLayer.subarray(at, ++at)), 10);
        r.on('close', () => clearInterval(drip));
      }),
    ),
    400,
  ],
  [
    'lets the head of an answer drip',
    layerOnly(
      sometimes(0.5, (request) => {
        request.socket.write('HTTP/1.1 200 OK\r\n');
        const drip = setInterval(() => request.socket.write('x-a: b\r\n'), 10);
        request.socket.on('close', () => clearInterval(drip));
      }),
    ),
    400,
  ],
];
for (const [what, fault, idleTimeoutMs] of faults) {
  test(`a pull is whole though the registry ${what}, ${rounds} times`, timing, async () => {
    for (let round = 0; round < rounds; round += 1) {
      const fail = fault(numbers(round * 7919 + what.length));
      const registry = await startScripted((request, response) => {
        if (!fail(request, response)) serveImage(request, response);
      });
      const dir = join(await tempDir(), 'store');
      const store = await openStore(dir);
      const lease = await openLease(store, 'test');
      const image = await pullImage(store, lease, `${registry.name}/app:1`, { environment, retry, idleTimeoutMs });
      expect(image.digest).toBe(digestOf(servedManifest));
      expect(image.manifest.layers[0]?.digest).toBe(digestOf(servedLayer));
      await lease.release();
      await store.close();
    }
  });
}

test('a pull that fails for good leaves nothing of a layer, whatever came of it', async () => {
  const dir = join(await tempDir(), 'store');
  const store = await openStore(dir);
  const registry = await startScripted((request, response) => {
    if (!asksForLayer(request)) return serveImage(request, response);
    if (rangeStart(request) > 0) return void response.writeHead(503).end();
    response.writeHead(200, { 'content-length': servedLayer.length });
    response.write(servedLayer.subarray(0, 900_000), () => response.destroy());
  });
  const lease = await openLease(store, 'test');
  const pulling = pullImage(store, lease, `${registry.name}/app:1`, {
    environment,
    retry: { attempts: 2, pauseMs: 1 },
  });
  await expect(pulling).rejects.toMatchObject({
    code: 'REGISTRY_ANSWER_INVALID',
    message: expect.stringContaining('HTTP 503'),
  });
  expect(store.database.layers()).toEqual([]);
  expect(store.database.images()).toEqual([]);
  await lease.release();
  await store.close();
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  expect(
    files
      .map(({ name }) => name)
      .filter((name) => !/^(format\.json|meta\.db.*|lock|.*\.lock|config\.json|reserve)$/.test(name)),
  ).toEqual([]);
});

test(`a push is whole though the registry fails on the way, ${rounds} times`, timing, async () => {
  const { store: served } = await tempStore();
  const serving = await serveStore(served, { listen: [{ host: '127.0.0.1', port: 0 }] });
  onTestFinished(() => serving.close(AbortSignal.abort()));
  const inner = serving.urls[0] ?? '';
  const from = await tempStore();
  for (let round = 0; round < rounds; round += 1) {
    const random = numbers(round);
    const registry = await startScripted(async (request, response) => {
      const luck = random();
      if (request.url !== '/v2/' && luck < 0.1) return void response.writeHead(503).end();
      if (request.url !== '/v2/' && luck < 0.2) return void request.socket.destroy();
      const chunks: Buffer[] = [];
      try {
        for await (const chunk of request) chunks.push(chunk as Buffer);
      } catch {
        return;
      }
      const { host: _, connection: __, 'content-length': ___, ...headers } = request.headers;
      const answer = await fetch(`${inner}${request.url}`, {
        method: request.method ?? 'GET',
        headers: headers as Record<string, string>,
        ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
      });
      const bytes = Buffer.from(await answer.arrayBuffer());
      // What the registry has done may stay unheard.
      if (luck > 0.9) return void request.socket.destroy();
      const known = [...answer.headers].filter(
        ([name]) => !['transfer-encoding', 'connection', 'keep-alive', 'content-length'].includes(name),
      );
      const length = request.method === 'HEAD' ? answer.headers.get('content-length') : String(bytes.length);
      response
        .writeHead(answer.status, {
          ...Object.fromEntries(known),
          ...(length !== null && { 'content-length': length }),
        })
        .end(bytes);
    });
    const layer = await addLayer(from, { big: randomText(1_500_000, `push ${round}`) });
    const image = await putImage(from.store, from.lease, { config: configOf([layer]) });
    const options = { environment, retry, chunkBytes: 300_000 };
    const sent = await pushImage(from.store, from.lease, image, `${registry.name}/app:${round}`, options);
    const to = await tempStore();
    const pulled = await pullImage(to.store, to.lease, `${new URL(inner).host}/app:${round}`, { environment });
    expect(pulled.digest).toBe(sent.manifest.descriptor.digest);
    expect(diffIdsOf(pulled)).toEqual([layer.diffId]);
  }
});
