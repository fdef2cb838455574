// What clients of `serve` read: names, manifests, blobs and parts of them, lists.
import { openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { exportLayout, importLayout, type StoredImage, tagImage } from '#store';
import { parseRange } from '../../store/serve/range.js';
import { RepositoryNames } from '../../store/serve/repository-names.js';
import { digestOf, sampleImage, tempDir, tempStore } from './image-samples.js';
import { pushBlob, serve } from './serve-client.js';

async function servedImage(
  ...tags: string[]
): Promise<Awaited<ReturnType<typeof serve>> & { image: StoredImage; dir: string }> {
  const place = await tempStore();
  const image = await sampleImage(place);
  for (const tag of tags) tagImage(place.store, tag, image.digest);
  return { ...(await serve(place.store)), image, dir: place.store.dir };
}

test('an image that was built here is served as it lies, by tag and by digest, with HEAD and with GET', async () => {
  const { ask, image } = await servedImage('app:1');
  for (const reference of ['1', image.digest]) {
    const got = await ask('GET', `/v2/app/manifests/${reference}`);
    expect([got.status, got.headers['docker-content-digest']]).toEqual([200, image.digest]);
    expect(digestOf(got.body)).toBe(image.digest);
    const head = await ask('HEAD', `/v2/app/manifests/${reference}`);
    expect([head.status, head.body.length, head.headers['content-length']]).toEqual([200, 0, `${got.body.length}`]);
    expect(head.headers['content-type']).toBe('application/vnd.oci.image.manifest.v1+json');
  }
  for (const { digest, size } of [image.manifest.config, ...image.manifest.layers]) {
    const { status, body } = await ask('GET', `/v2/app/blobs/${digest}`);
    expect([status, body.length, digestOf(body)]).toEqual([200, size, digest]);
  }
  const etag = `"${image.digest}"`;
  expect((await ask('GET', '/v2/app/manifests/1', { headers: { 'if-none-match': etag } })).status).toBe(304);
});

test('names are those of the store: short ones, those of registries, and those of the server itself', async () => {
  const place = await tempStore();
  const served = await serve(place.store, { ownNames: ['builder.example:5000'] });
  const image = await sampleImage(place);
  const tags = [
    'app:1',
    'team/app:2',
    'quay.io/team/app:3',
    'builder.example:5000/mine:4',
    `${served.name}/own:5`,
    'other:5000/no:6',
  ];
  for (const tag of tags) tagImage(place.store, tag, image.digest);
  const { ask } = served;
  const status = async (path: string): Promise<number> => (await ask('HEAD', `/v2/${path}`)).status;
  expect(await status('app/manifests/1')).toBe(200);
  expect(await status('library/app/manifests/1')).toBe(200);
  expect(await status('docker.io/library/app/manifests/1')).toBe(200);
  expect(await status('team/app/manifests/2')).toBe(200);
  expect(await status('quay.io/team/app/manifests/3')).toBe(200);
  expect(await status('mine/manifests/4')).toBe(200);
  expect(await status('own/manifests/5')).toBe(200);
  expect(await status('team/app/manifests/3')).toBe(404);
  const { repositories } = (await ask('GET', '/v2/_catalog')).json() as { repositories: string[] };
  expect(repositories).toEqual(['app', 'mine', 'own', 'quay.io/team/app', 'team/app']);
});

test('of one tag in several spellings the one that was set last counts, and deleting it deletes all', async () => {
  const place = await tempStore();
  const { ask, name } = await serve(place.store);
  const [one, two] = [await sampleImage(place, 'one'), await sampleImage(place, 'two')];
  tagImage(place.store, `${name}/app:1`, one.digest);
  await new Promise((resolve) => setTimeout(resolve, 5));
  tagImage(place.store, 'app:1', two.digest);
  const digest = async (): Promise<unknown> =>
    (await ask('HEAD', '/v2/app/manifests/1')).headers['docker-content-digest'];
  expect(await digest()).toBe(two.digest);
  await new Promise((resolve) => setTimeout(resolve, 5));
  tagImage(place.store, `${name}/app:1`, one.digest);
  expect(await digest()).toBe(one.digest);
  expect((await ask('DELETE', '/v2/app/manifests/1')).status).toBe(202);
  expect((await ask('HEAD', '/v2/app/manifests/1')).status).toBe(404);
});

test('with a prefix nothing else is seen, and pushes go below it', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  for (const tag of ['team/app:1', 'app:1', 'teamwork/app:1']) tagImage(place.store, tag, image.digest);
  const { ask } = await serve(place.store, { prefix: 'team' });
  expect((await ask('GET', '/v2/_catalog')).json()).toEqual({ repositories: ['app'] });
  expect((await ask('HEAD', '/v2/team/app/manifests/1')).status).toBe(404);
  const manifest = (await ask('GET', '/v2/app/manifests/1')).body;
  const put = await ask('PUT', '/v2/app/manifests/2', { body: manifest });
  expect(put.status).toBe(201);
  expect(place.store.database.tag('docker.io/team/app:2')?.digest).toBe(image.digest);
});

test('an image from a registry, whose compressed layers the store does not keep, is served over its tars', async () => {
  const [from, to] = [await tempStore(), await tempStore()];
  const image = await sampleImage(from);
  const layout = join(await tempDir(), 'layout');
  await exportLayout(from.store, from.lease, image, layout, { compression: 'gzip', tag: '1' });
  const came = await importLayout(to.store, to.lease, layout, {});
  expect(came.manifest.layers[0]!.mediaType).toMatch(/gzip$/);
  tagImage(to.store, 'app:1', came.digest);
  const { ask } = await serve(to.store);
  const got = await ask('GET', '/v2/app/manifests/1');
  const manifest = got.json() as { config: { digest: string }; layers: { digest: string; mediaType: string }[] };
  expect(manifest.config.digest).toBe(came.configDigest);
  expect((await ask('GET', `/v2/app/manifests/${came.digest}`)).code).toBe('MANIFEST_UNKNOWN');
  expect(manifest.layers.map(({ digest }) => digest)).toEqual(came.config.rootfs.diff_ids);
  expect(digestOf(got.body)).toBe(got.headers['docker-content-digest']);
  for (const { digest } of manifest.layers) {
    expect(digestOf((await ask('GET', `/v2/app/blobs/${digest}`)).body)).toBe(digest);
  }
  // By its digest too, also from a server that has not made it.
  const second = await serve(to.store);
  const byDigest = await second.ask('GET', `/v2/app/manifests/${got.headers['docker-content-digest']}`);
  expect(byDigest.body.equals(got.body)).toBe(true);
  expect((await second.ask('GET', `/v2/other/manifests/${got.headers['docker-content-digest']}`)).status).toBe(404);
});

test('parts of blobs', async () => {
  const { ask, image } = await servedImage('app:1');
  const [layer] = image.layers;
  const tar = readFileSync(layer!.tarPath);
  const path = `/v2/app/blobs/${layer!.diffId}`;
  const cases: [range: string, status: number, bytes: Buffer][] = [
    ['bytes=0-0', 206, tar.subarray(0, 1)],
    ['bytes=100-199', 206, tar.subarray(100, 200)],
    ['bytes=1000-', 206, tar.subarray(1000)],
    ['bytes=-7', 206, tar.subarray(-7)],
    [`bytes=0-${tar.length * 2}`, 206, tar],
    ['bytes=0-1,5-6', 200, tar], // several at once are one: all
    ['lines=1-2', 200, tar],
  ];
  for (const [range, status, bytes] of cases) {
    const got = await ask('GET', path, { headers: { range } });
    expect([range, got.status, got.body.equals(bytes)]).toEqual([range, status, true]);
  }
  for (const range of [`bytes=${tar.length}-`, 'bytes=5-4', 'bytes=-', 'bytes=x-']) {
    const { status, code, headers } = await ask('GET', path, { headers: { range } });
    expect([range, status, code]).toEqual([range, 416, 'SIZE_INVALID']);
    expect(headers['content-range']).toBe(`bytes */${tar.length}`);
  }
  const changed = { range: 'bytes=0-0', 'if-range': '"another"' };
  expect((await ask('GET', path, { headers: changed })).status).toBe(200);
});

test('a range is what RFC 9110 says of it', () => {
  fc.assert(
    fc.property(fc.nat(50), fc.option(fc.nat(60)), fc.option(fc.nat(60)), (size, first, last) => {
      const bytes = Buffer.alloc(size);
      const ends = (range: ReturnType<typeof parseRange>): number =>
        bytes.subarray(range!.start, range!.end + 1).length;
      const header = `bytes=${first ?? ''}-${last ?? ''}`;
      const wanted = first === null ? Math.min(last ?? 0, size) : Math.min(last ?? size - 1, size - 1) - first + 1;
      const isValid = wanted > 0 && (first === null || last === null || first <= last);
      if (isValid) expect(ends(parseRange(header, size))).toBe(wanted);
      else expect(() => parseRange(header, size)).toThrow();
    }),
  );
});

test('a repository and what is served of the store name each other', () => {
  const names = new RepositoryNames(null, ['localhost:5000']);
  const component = fc.stringMatching(/^[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,8}){0,2}$/);
  fc.assert(
    fc.property(fc.array(component, { minLength: 1, maxLength: 4 }), (parts) => {
      const name = parts.join('/');
      const { key } = names.repository(name);
      const back = names.nameOf(`${key}:1`)!;
      expect(names.repository(back).key).toBe(key);
    }),
  );
});

test('lists come in pages', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  for (const tag of ['c', 'a', 'b', 'B', '10', '9']) tagImage(place.store, `app:${tag}`, image.digest);
  for (const name of ['x', 'y/z']) tagImage(place.store, `${name}:1`, image.digest);
  const { ask } = await serve(place.store);
  const pages: unknown[] = [];
  let next: string | undefined = '/v2/app/tags/list?n=4';
  while (next !== undefined) {
    const got = await ask('GET', next);
    pages.push((got.json() as { tags: string[] }).tags);
    next = /^<(.*)>; rel="next"$/.exec(String(got.headers.link ?? ''))?.[1];
  }
  expect(pages).toEqual([
    ['10', '9', 'B', 'a'],
    ['b', 'c'],
  ]);
  expect((await ask('GET', '/v2/app/tags/list?n=0')).json()).toEqual({ name: 'app', tags: [] });
  const [first, second] = [await ask('GET', '/v2/_catalog?n=2'), await ask('GET', '/v2/_catalog?n=2&last=x')];
  expect([first.json(), second.json()]).toEqual([{ repositories: ['app', 'x'] }, { repositories: ['y/z'] }]);
  expect((await ask('GET', '/v2/none/tags/list')).code).toBe('NAME_UNKNOWN');
  expect((await ask('GET', '/v2/app/tags/list?n=x')).status).toBe(400);
});

test('a flipped bit is never sent: not whole, not in part, and a blob can come again', async () => {
  const { ask, image, dir, notices } = await servedImage('app:1');
  const flip = (path: string): void => {
    const fd = openSync(path, 'r+');
    const byte = readFileSync(path)[200]!;
    writeSync(fd, Buffer.from([byte ^ 1]), 0, 1, 200);
  };
  const [first, second] = image.layers;
  flip(first!.tarPath);
  await expect(ask('GET', `/v2/app/blobs/${first!.diffId}`)).rejects.toThrow();
  flip(second!.tarPath);
  const part = await ask('GET', `/v2/app/blobs/${second!.diffId}`, { headers: { range: 'bytes=0-9' } });
  expect([part.status, part.code]).toEqual([404, 'BLOB_UNKNOWN']);
  expect(notices.join()).toMatch(/damaged/);

  const content = Buffer.from('x'.repeat(1000));
  const digest = await pushBlob(ask, 'app', content);
  flip(join(dir, 'blobs/sha256', digest.slice(7)));
  await expect(ask('GET', `/v2/app/blobs/${digest}`)).rejects.toThrow();
  expect((await ask('HEAD', `/v2/app/blobs/${digest}`)).status).toBe(404);
  await pushBlob(ask, 'app', content);
  expect((await ask('GET', `/v2/app/blobs/${digest}`)).body.equals(content)).toBe(true);
});

test('a part of a file that changed since it was found right is not sent unseen', async () => {
  const { ask, image } = await servedImage('app:1');
  const [layer] = image.layers;
  const range = { headers: { range: 'bytes=0-9' } };
  expect((await ask('GET', `/v2/app/blobs/${layer!.diffId}`, range)).status).toBe(206);
  const bytes = readFileSync(layer!.tarPath);
  bytes[600]! ^= 1;
  const fd = openSync(layer!.tarPath, 'r+');
  writeSync(fd, bytes);
  expect((await ask('GET', `/v2/app/blobs/${layer!.diffId}`, range)).status).toBe(404);
});

test('a store that can only be read is served', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  tagImage(place.store, 'app:1', image.digest);
  const { ask } = await serve(place.store, { readOnly: true });
  expect((await ask('GET', '/v2/app/manifests/1')).status).toBe(200);
  const refused: [string, string][] = [
    ['POST', 'blobs/uploads/'],
    ['PUT', 'manifests/2'],
    ['DELETE', 'manifests/1'],
    ['DELETE', `blobs/${image.configDigest}`],
  ];
  for (const [method, path] of refused) {
    const { status, code } = await ask(method, `/v2/app/${path}`, { body: method === 'DELETE' ? '' : '{}' });
    expect([method, status, code]).toEqual([method, 405, 'UNSUPPORTED']);
  }
});
