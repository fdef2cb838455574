// What refers to an image: asked of registries that list it, and of those where clients keep the list.
import { Readable } from 'node:stream';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Digest, mediaTypes, pushImage, readReferrers, serveStore } from '#store';
import { openRegistry, type Registry } from '../../store/transport/registry-client.js';
import { putManifest, uploadBlob } from '../../store/transport/registry-upload.js';
import { digestOf, sampleImage, tempStore } from './image-samples.js';
import { hasRegistry, startRegistry, startScripted } from './transport-server.js';

const environment = { HOME: '/nonexistent', PATH: process.env.PATH };
const empty = Buffer.from('{}');
const emptyDescriptor = { mediaType: mediaTypes.ociEmpty, digest: digestOf(empty), size: 2 };

function artifact(subject: { digest: Digest; size: number }, artifactType: string, n: number): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      artifactType,
      config: emptyDescriptor,
      layers: [emptyDescriptor],
      subject: { mediaType: mediaTypes.ociManifest, ...subject },
      annotations: { n: String(n) },
    }),
  );
}

/** An image there, and `attach` for what refers to it, each in a session of its own. */
async function pushed(name: string): Promise<{ digest: Digest; attach(type: string, n: number): Promise<Digest> }> {
  const place = await tempStore();
  const sent = await pushImage(place.store, place.lease, await sampleImage(place), `${name}/app:1`, { environment });
  const { digest, size } = sent.manifest.descriptor;
  const session = async (): Promise<Registry> => {
    const registry = await openRegistry({ registry: name, repository: 'app' }, 'push', { environment });
    onTestFinished(() => registry.close());
    return registry;
  };
  // Once: docker-registry loses a blob that several send at the same time.
  const open = (): Readable => Readable.from([empty], { objectMode: false });
  await uploadBlob(await session(), { descriptor: emptyDescriptor, open }, null, () => {});
  const attach = async (type: string, n: number): Promise<Digest> => {
    const registry = await session();
    const bytes = artifact({ digest, size }, type, n);
    await putManifest(registry, digestOf(bytes), bytes, mediaTypes.ociManifest);
    return digestOf(bytes);
  };
  return { digest, attach };
}

const kinds: [kind: string, start: () => Promise<string>, from: 'api' | 'tag', skip: boolean][] = [
  ['that lists nothing itself', async () => (await startRegistry()).name, 'tag', !hasRegistry()],
  [
    'with the API',
    async () => {
      const { store } = await tempStore();
      const serving = await serveStore(store, { listen: [{ host: '127.0.0.1', port: 0 }] });
      onTestFinished(() => serving.close(AbortSignal.abort()));
      return new URL(serving.urls[0] ?? '').host;
    },
    'api',
    false,
  ],
];
for (const [kind, start, from, skip] of kinds) {
  describe.skipIf(skip)(`a registry ${kind}`, () => {
    test('tells what refers to an image, all or of one type', async () => {
      const name = await start();
      const { digest, attach } = await pushed(name);
      expect(await readReferrers(`${name}/app:1`, { environment })).toMatchObject({ subject: digest, manifests: [] });
      const [one, two] = [await attach('application/a', 1), await attach('application/b', 2)];
      await attach('application/b', 2); // again: it is there once
      const all = await readReferrers(`${name}/app:1`, { environment });
      expect(all.from).toBe(from);
      expect(all.manifests.map((each) => each.digest).sort()).toEqual([one, two].sort());
      expect(
        await readReferrers(`${name}/app@${digest}`, { environment, artifactType: 'application/b' }),
      ).toMatchObject({
        manifests: [
          { digest: two, artifactType: 'application/b', mediaType: mediaTypes.ociManifest, annotations: { n: '2' } },
        ],
      });
    });

    test('keeps all that are attached at the same time', async () => {
      const name = await start();
      const { attach } = await pushed(name);
      const attached = await Promise.all([1, 2, 3, 4, 5].map((n) => attach('application/c', n)));
      const { manifests } = await readReferrers(`${name}/app:1`, { environment });
      expect(manifests.map((each) => each.digest).sort()).toEqual([...attached].sort());
    });
  });
}

const subject: Digest = `sha256:${'a'.repeat(64)}`;
const entry = (n: number, artifactType: string): object => ({
  mediaType: mediaTypes.ociManifest,
  digest: `sha256:${String(n).padStart(64, '0')}`,
  size: 1,
  artifactType,
});
const index = (manifests: readonly object[]): string =>
  JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });

test('a list in pages is read to its end, and filtered where the registry does not', async () => {
  const registry = await startScripted((request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    const page = Number(url.searchParams.get('page') ?? 0);
    if (!url.pathname.includes('/referrers/')) return void response.end('{}');
    if (page < 3) response.setHeader('link', `<${url.pathname}?page=${page + 1}>; rel="next"`);
    response
      .setHeader('content-type', mediaTypes.ociIndex)
      .end(index([entry(page, page % 2 ? 'b' : 'a'), entry(0, 'a')]));
  });
  const read = (artifactType?: string) =>
    readReferrers(`${registry.name}/app@${subject}`, { environment, artifactType });
  expect((await read()).manifests).toHaveLength(4);
  expect((await read('b')).manifests.map(({ digest }) => digest.at(-1))).toEqual(['1', '3']);
  expect(registry.requests.some(({ url }) => url?.endsWith('?artifactType=b'))).toBe(true);
});

const refusals: [what: string, body: string, link: string | null, code: string][] = [
  ['without end', index([]), `</v2/app/referrers/${subject}>; rel="next"`, 'REGISTRY_ANSWER_INVALID'],
  ['that goes on elsewhere', index([]), '<file:///etc/passwd>; rel="next"', 'REGISTRY_REDIRECT_REFUSED'],
  [
    'that is a manifest',
    JSON.stringify({ schemaVersion: 2, config: emptyDescriptor, layers: [] }),
    null,
    'IMAGE_DOCUMENT_INVALID',
  ],
  ['with a bad digest', index([{ ...entry(1, 'a'), digest: 'sha256:../../x' }]), null, 'DIGEST_INVALID'],
];
for (const [what, body, link, code] of refusals) {
  test(`a list ${what} is refused`, async () => {
    const registry = await startScripted((request, response) => {
      if (request.url?.includes('/referrers/') && link !== null) response.setHeader('link', link);
      response.end(body);
    });
    await expect(readReferrers(`${registry.name}/app@${subject}`, { environment })).rejects.toMatchObject({ code });
  });
}
