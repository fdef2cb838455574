// What clients of `serve` write: blobs in all ways, manifests, and what becomes of them in the store.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findImage, findLayer, mediaTypes, parseDiffId, readImage } from '#store';
import { digestOf, tempStore } from './image-samples.js';
import { type Ask, manifestOf, pushArtifact, pushBlob, pushImageBlobs, putManifest, serve } from './serve-client.js';

const manifestType: Readonly<Record<string, string>> = { 'content-type': mediaTypes.ociManifest };

async function begin(ask: Ask, repository = 'app'): Promise<string> {
  const { status, headers } = await ask('POST', `/v2/${repository}/blobs/uploads/`);
  expect(status).toBe(202);
  return headers.location!;
}

test('a blob comes at once, after a POST, in a stream, and in chunks', async () => {
  const { store } = await tempStore();
  const { ask } = await serve(store);
  const bytes = Buffer.from('some content'.repeat(1000));
  const digest = digestOf(bytes);
  const [half, rest] = [bytes.subarray(0, 5000), bytes.subarray(5000)];
  const ways: Record<string, (repository: string) => Promise<number>> = {
    atOnce: async (r) => (await ask('POST', `/v2/${r}/blobs/uploads/?digest=${digest}`, { body: bytes })).status,
    afterwards: async (r) => (await ask('PUT', `${await begin(ask, r)}?digest=${digest}`, { body: bytes })).status,
    inAStream: async (r) => {
      const place = await begin(ask, r);
      const headers = { 'transfer-encoding': 'chunked' };
      expect((await ask('PATCH', place, { body: bytes, headers })).headers.range).toBe(`0-${bytes.length - 1}`);
      return (await ask('PUT', `${place}?digest=${digest}`)).status;
    },
    inChunks: async (r) => {
      const place = await begin(ask, r);
      const first = await ask('PATCH', place, { body: half, headers: { 'content-range': '0-4999' } });
      expect([first.status, first.headers.range]).toEqual([202, '0-4999']);
      const headers = { 'content-range': `5000-${bytes.length - 1}` };
      return (await ask('PUT', `${first.headers.location}?digest=${digest}`, { body: rest, headers })).status;
    },
  };
  for (const [name, way] of Object.entries(ways)) {
    const repository = name.toLowerCase();
    expect([name, await way(repository)]).toEqual([name, 201]);
    expect((await ask('GET', `/v2/${repository}/blobs/${digest}`)).body.equals(bytes)).toBe(true);
  }
});

test('a chunk that is not the next one is refused, and the client told where to go on', async () => {
  const { ask } = await serve((await tempStore()).store);
  const place = await begin(ask);
  const chunk = (range: string, body: string) => ask('PATCH', place, { body, headers: { 'content-range': range } });
  expect((await chunk('0-2', 'abc')).status).toBe(202);
  for (const range of ['0-2', '4-6', '2-4', '3-9', '9-3', 'x', '3-99999999999999999999']) {
    const { status, code } = await chunk(range, 'def');
    expect([range, status, code]).toEqual([range, 416, 'BLOB_UPLOAD_INVALID']);
  }
  const asked = await ask('GET', place);
  expect([asked.status, asked.headers.range, asked.headers.location]).toEqual([204, '0-2', place]);
  expect((await chunk('3-5', 'def')).status).toBe(202);
  expect((await ask('PUT', `${place}?digest=${digestOf('abcdef')}`)).status).toBe(201);
});

test('an upload is cancelled, and one with the wrong digest is given up', async () => {
  const { store } = await tempStore();
  const { ask } = await serve(store);
  const cancelled = await begin(ask);
  expect((await ask('DELETE', cancelled)).status).toBe(204);
  const wrong = await begin(ask);
  const put = await ask('PUT', `${wrong}?digest=${digestOf('a')}`, { body: 'b' });
  expect([put.status, put.code]).toEqual([400, 'DIGEST_INVALID']);
  const atOnce = await ask('POST', `/v2/app/blobs/uploads/?digest=${digestOf('a')}`, { body: 'b' });
  expect([atOnce.status, atOnce.code]).toEqual([400, 'DIGEST_INVALID']);
  for (const place of [cancelled, wrong]) {
    for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
      const { status, code } = await ask(method, `${place}?digest=${digestOf('a')}`);
      expect([method, status, code]).toEqual([method, 404, 'BLOB_UPLOAD_UNKNOWN']);
    }
  }
  expect((await ask('HEAD', `/v2/app/blobs/${digestOf('b')}`)).status).toBe(404);
  expect(store.database.blobs()).toEqual([]);
});

test('a pushed image is one of the store: its gzip layer becomes a layer, its bytes stay', async () => {
  const { store, lease } = await tempStore();
  const { ask } = await serve(store);
  const image = await pushImageBlobs(ask, 'team/app', { 'etc/x': 'hello' });
  const { status, headers } = await putManifest(ask, 'team/app', '1', image);
  expect([status, headers.location]).toEqual([201, `/v2/team/app/manifests/${image.digest}`]);
  const { digest } = findImage(store, 'team/app:1');
  const stored = await readImage(store, digest);
  expect([digest, stored.layers[0]!.diffId]).toEqual([image.digest, digestOf(image.tar)]);
  expect((await ask('GET', '/v2/team/app/manifests/1')).body.equals(image.manifest)).toBe(true);
  expect((await ask('GET', `/v2/team/app/blobs/${digestOf(image.layer)}`)).body.equals(image.layer)).toBe(true);
  void lease;
});

test('a pushed layer that is not compressed is stored once', async () => {
  const { store } = await tempStore();
  const { ask } = await serve(store);
  const image = await pushImageBlobs(ask, 'app', { x: 'y'.repeat(100_000) }, { compress: false });
  const blob = join(store.dir, 'blobs/sha256', digestOf(image.tar).slice(7));
  expect(existsSync(blob)).toBe(true);
  expect((await putManifest(ask, 'app', '1', image)).status).toBe(201);
  expect(existsSync(blob)).toBe(false);
  const layer = findLayer(store, parseDiffId(digestOf(image.tar)))!;
  expect([layer.size, statSync(layer.tarPath).nlink]).toEqual([image.tar.length, 1]);
  // And sent again, it is known.
  await pushBlob(ask, 'other', image.tar);
  expect(existsSync(blob)).toBe(false);
  expect((await ask('GET', `/v2/other/blobs/${digestOf(image.tar)}`)).body.equals(image.tar)).toBe(true);
});

test('an image whose layer is not what its config says is kept, and can be run by nobody', async () => {
  const { store } = await tempStore();
  const { ask, notices } = await serve(store);
  const good = await pushImageBlobs(ask, 'app', { x: 'good' });
  expect((await putManifest(ask, 'app', 'good', good)).status).toBe(201);
  // A known layer under a blob that is another one: were it believed, it would be sent to others as that layer.
  const evil = await pushImageBlobs(ask, 'app', { x: 'evil' }, { diffId: digestOf(good.tar) });
  expect((await putManifest(ask, 'app', 'evil', evil)).status).toBe(201);
  expect(notices.join()).toMatch(/can't be run.*is not the layer/);
  expect(store.database.image(evil.digest as `sha256:${string}`)).toBeNull();
  const forms = store.database.compressions(parseDiffId(digestOf(good.tar)));
  expect(forms.map(({ digest }) => digest)).toEqual([digestOf(good.layer)]);
  expect((await ask('GET', '/v2/app/manifests/evil')).body.equals(evil.manifest)).toBe(true);
});

test('anything may be pushed: artifacts, and what is about something', async () => {
  const { ask } = await serve((await tempStore()).store);
  const image = await pushImageBlobs(ask, 'app', { x: 'y' });
  await putManifest(ask, 'app', '1', image);
  const subject = { mediaType: image.mediaType, digest: image.digest, size: image.manifest.length };
  for (const type of ['application/vnd.a', 'application/vnd.b']) {
    const about = await pushArtifact(ask, 'app', type, { artifactType: type, subject, annotations: { type } });
    const put = await putManifest(ask, 'app', about.digest, about);
    expect([put.status, put.headers['oci-subject']]).toEqual([201, image.digest]);
  }
  const path = `/v2/app/referrers/${image.digest}`;
  const all = (await ask('GET', path)).json() as { manifests: { artifactType: string; annotations: object }[] };
  expect(all.manifests.map(({ artifactType }) => artifactType).sort()).toEqual([
    'application/vnd.a',
    'application/vnd.b',
  ]);
  const some = await ask('GET', `${path}?artifactType=application/vnd.b`);
  expect(some.headers['oci-filters-applied']).toBe('artifactType');
  expect(some.json()).toMatchObject({ manifests: [{ annotations: { type: 'application/vnd.b' } }] });
  expect((await ask('GET', `/v2/other/referrers/${image.digest}`)).json()).toMatchObject({ manifests: [] });
});

test('a manifest is refused when it is none, or names what is not there', async () => {
  const { ask } = await serve((await tempStore()).store);
  const image = await pushImageBlobs(ask, 'app', { x: 'y' });
  const other = manifestOf(Buffer.from('{}'), [['application/octet-stream', Buffer.from('never sent')]]);
  const lying = image.manifest.toString().replace(/"size":\d+/, '"size":1');
  const put = (body: string | Buffer, headers = manifestType, reference = '1') =>
    ask('PUT', `/v2/app/manifests/${reference}`, { body, headers });
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] };
  const cases: [string, Awaited<ReturnType<typeof put>>, number, string][] = [
    ['no JSON', await put('{'), 400, 'MANIFEST_INVALID'],
    ['schema 1', await put('{"schemaVersion":1}'), 400, 'MANIFEST_INVALID'],
    ['another type than announced', await put(JSON.stringify(index)), 400, 'MANIFEST_INVALID'],
    ['two things at once', await put(JSON.stringify({ ...index, layers: [] })), 400, 'MANIFEST_INVALID'],
    ['missing blobs', await put(other.manifest), 400, 'MANIFEST_BLOB_UNKNOWN'],
    ['a wrong size', await put(lying), 400, 'SIZE_INVALID'],
    ['another digest', await put(image.manifest, manifestType, digestOf('x')), 400, 'DIGEST_INVALID'],
    ['no digest', await put(image.manifest, manifestType, 'sha256:abc'), 400, 'DIGEST_INVALID'],
    ['no tag', await put(image.manifest, manifestType, '-rf'), 400, 'MANIFEST_INVALID'],
    ['too large', await put(Buffer.alloc((4 << 20) + 1, ' ')), 413, 'SIZE_INVALID'],
  ];
  for (const [name, { status, code }, wantedStatus, wantedCode] of cases) {
    expect([name, status, code]).toEqual([name, wantedStatus, wantedCode]);
  }
  const missing = {
    ...index,
    manifests: [{ mediaType: image.mediaType, digest: image.digest, size: image.manifest.length }],
  };
  const early = await put(JSON.stringify(missing), { 'content-type': mediaTypes.ociIndex });
  expect([early.status, early.code]).toEqual([400, 'MANIFEST_BLOB_UNKNOWN']);
  expect((await put(image.manifest, manifestType, image.digest)).status).toBe(201);
  expect((await put(JSON.stringify(missing), { 'content-type': mediaTypes.ociIndex })).status).toBe(201);
});

test('what is deleted is gone, and what something needs is not deleted', async () => {
  const { ask } = await serve((await tempStore()).store);
  const image = await pushImageBlobs(ask, 'app', { x: 'y' });
  for (const tag of ['1', '2', '3']) await putManifest(ask, 'app', tag, image);
  const blob = `/v2/app/blobs/${digestOf(image.layer)}`;
  const used = await ask('DELETE', blob);
  expect([used.status, used.code]).toEqual([405, 'DENIED']);
  expect((await ask('DELETE', '/v2/app/manifests/1')).status).toBe(202);
  expect((await ask('GET', '/v2/app/tags/list')).json()).toEqual({ name: 'app', tags: ['2', '3'] });
  expect((await ask('DELETE', `/v2/app/manifests/${image.digest}`)).status).toBe(202);
  expect((await ask('GET', `/v2/app/manifests/${image.digest}`)).code).toBe('MANIFEST_UNKNOWN');
  expect((await ask('GET', '/v2/app/tags/list')).json()).toEqual({ name: 'app', tags: [] });
  expect((await ask('DELETE', blob)).status).toBe(202);
  expect((await ask('DELETE', blob)).code).toBe('BLOB_UNKNOWN');
  expect((await ask('GET', blob)).status).toBe(404);
});

test('two clients that send the same blob and image at once both succeed', async () => {
  const { store } = await tempStore();
  const { ask } = await serve(store);
  const files = { big: 'z'.repeat(2_000_000) };
  const images = await Promise.all(
    Array.from({ length: 6 }, async (_, i) => {
      const image = await pushImageBlobs(ask, `app${i % 2}`, files);
      expect((await putManifest(ask, `app${i % 2}`, `${i}`, image)).status).toBe(201);
      return image;
    }),
  );
  expect(new Set(images.map(({ digest }) => digest)).size).toBe(1);
  expect(store.database.layers()).toHaveLength(1);
  expect((await readImage(store, findImage(store, 'app1:5').digest)).layers).toHaveLength(1);
});
