// How many layers move at once, in which order, and over how many connections.
import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { pullImage, pushImage, putImage } from '#store';
import { largestFirst } from '../../store/transport/progress.js';
import { addLayer, configOf, diffIdsOf, randomText, tempStore } from './image-samples.js';
import { hasRegistry, startRegistry, startScripted } from './transport-server.js';

const environment = { HOME: '/nonexistent', PATH: process.env.PATH };

test('small ones do not wait for all the large ones, and the largest does not come last', async () => {
  const ends = new Map<number, () => void>();
  const working = largestFirst(
    [1, 2, 3, 300, 100, 200],
    2,
    (size) => size,
    (size) => new Promise<void>((end) => void ends.set(size, end)),
  );
  const end = async (size: number): Promise<number[]> => {
    ends.get(size)?.();
    await new Promise((resolve) => setImmediate(resolve));
    return [...ends.keys()];
  };
  expect([...ends.keys()]).toEqual([1, 300]);
  expect(await end(1)).toEqual([1, 300, 2]);
  expect(await end(2)).toEqual([1, 300, 2, 3]);
  expect(await end(300)).toEqual([1, 300, 2, 3, 200]);
  expect(await end(3)).toEqual([1, 300, 2, 3, 200, 100]);
  for (const size of [100, 200]) await end(size);
  await working;
});

test('after a failure nothing is begun any more, and what is under way ends', async () => {
  const begun: number[] = [];
  let ended = 0;
  const working = largestFirst(
    [1, 2, 3, 4, 5, 6],
    3,
    (size) => size,
    async (size) => {
      begun.push(size);
      await new Promise((resolve) => setTimeout(resolve, size));
      if (size === 1) throw new Error('one failed');
      await new Promise((resolve) => setTimeout(resolve, 20));
      ended += 1;
    },
  );
  await expect(working).rejects.toThrow('one failed');
  expect(begun).toHaveLength(3);
  expect(ended).toBe(2);
});

for (const jobs of [1, 4]) {
  test.skipIf(!hasRegistry())(
    `a push and a pull of ${jobs} layers at once keep to it, over connections that are kept`,
    async () => {
      const inner = await startRegistry();
      const sockets = new Set<Socket>();
      let [now, most] = [0, 0];
      const registry = await startScripted(async (request, response) => {
        sockets.add(request.socket);
        const blob = /\/blobs\//.test(request.url ?? '') && request.method !== 'HEAD';
        if (blob) most = Math.max(most, ++now);
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk as Buffer);
        const answer = await fetch(`http://${inner.name}${request.url}`, {
          method: request.method ?? 'GET',
          headers: Object.fromEntries(
            Object.entries(request.headers).filter(([name]) =>
              /^(accept|content-type|content-range|range)$/.test(name),
            ),
          ) as Record<string, string>,
          ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
        });
        const bytes = Buffer.from(await answer.arrayBuffer());
        await new Promise((resolve) => setTimeout(resolve, 20));
        if (blob) now -= 1;
        const location = answer.headers.get('location')?.replace(inner.name, registry.name);
        response.writeHead(answer.status, {
          'content-type': answer.headers.get('content-type') ?? '',
          'content-length': answer.headers.get('content-length') ?? bytes.length,
          ...(location && { location }),
        });
        response.end(bytes);
      });
      const [from, to] = [await tempStore(), await tempStore()];
      const layers = [];
      for (let i = 0; i < 8; i += 1)
        layers.push(await addLayer(from, { [`f${i}`]: randomText(1000 * (i + 1), `${i}`) }));
      const image = await putImage(from.store, from.lease, { config: configOf(layers) });
      await pushImage(from.store, from.lease, image, `${registry.name}/app:1`, { environment, jobs });
      requireUseOf(most, jobs);
      most = 0;
      const pulled = await pullImage(to.store, to.lease, `${registry.name}/app:1`, { environment, jobs });
      expect(diffIdsOf(pulled)).toEqual(diffIdsOf(image));
      requireUseOf(most, jobs);
      expect(sockets.size).toBeLessThanOrEqual(2 * (jobs + 1));
    },
  );
}

/** On a busy machine not all of them meet. */
function requireUseOf(most: number, jobs: number): void {
  expect(most).toBeLessThanOrEqual(jobs);
  expect(most).toBeGreaterThanOrEqual(Math.min(2, jobs));
}
