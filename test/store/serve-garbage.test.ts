// What the collector leaves of what was pushed, and takes; and uploads that outlive their server.
import { existsSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { collectGarbage, openStore, type Store, untag } from '#store';
import { digestOf, tempDir } from './image-samples.js';
import { pushArtifact, pushBlob, pushImageBlobs, putManifest, serve } from './serve-client.js';

/** Without a lease of the test's own: what is kept is kept by its rows. */
async function bareStore(dir?: string): Promise<Store> {
  const store = await openStore(dir ?? join(await tempDir(), 'store'));
  onTestFinished(() => store.close());
  return store;
}

test('what was pushed a moment ago stays, with and without a tag; then only what is needed', async () => {
  const store = await bareStore();
  const other = await bareStore(store.dir);
  const { ask } = await serve(store);
  const status = async (path: string): Promise<number> => (await ask('HEAD', `/v2/app/${path}`)).status;
  const loose = await pushBlob(ask, 'app', 'nobody needs it');
  const tagged = await pushImageBlobs(ask, 'app', { a: 'tagged' });
  await collectGarbage(other);
  expect((await putManifest(ask, 'app', '1', tagged)).status).toBe(201);
  const untagged = await pushImageBlobs(ask, 'app', { a: 'untagged' });
  expect((await putManifest(ask, 'app', untagged.digest, untagged)).status).toBe(201);
  const subject = { mediaType: tagged.mediaType, digest: tagged.digest, size: tagged.manifest.length };
  const about = await pushArtifact(ask, 'app', 'a signature', { subject });
  expect((await putManifest(ask, 'app', about.digest, about)).status).toBe(201);
  const aboutThat = await pushArtifact(ask, 'app', 'about the signature', {
    subject: { mediaType: about.mediaType, digest: about.digest, size: about.manifest.length },
  });
  expect((await putManifest(ask, 'app', aboutThat.digest, aboutThat)).status).toBe(201);

  await collectGarbage(other);
  for (const digest of [untagged.digest, about.digest, aboutThat.digest])
    expect(await status(`manifests/${digest}`)).toBe(200);
  expect(await status(`blobs/${loose}`)).toBe(200);

  vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 8 * 86_400_000);
  await collectGarbage(other);
  vi.restoreAllMocks();
  expect(await status(`blobs/${loose}`)).toBe(404);
  expect(await status(`manifests/${untagged.digest}`)).toBe(404);
  for (const digest of [tagged.digest, about.digest, aboutThat.digest])
    expect(await status(`manifests/${digest}`)).toBe(200);
  expect((await ask('GET', `/v2/app/blobs/${digestOf(tagged.layer)}`)).body.equals(tagged.layer)).toBe(true);
  expect(await status(`blobs/${digestOf('a signature')}`)).toBe(200);

  // What is about something goes with it.
  untag(other, 'app:1');
  vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 8 * 86_400_000);
  await collectGarbage(other);
  vi.restoreAllMocks();
  expect([store.database.blobs(), store.database.layers()]).toEqual([[], []]);
  expect((await ask('GET', '/v2/app/tags/list')).code).toBe('NAME_UNKNOWN');
});

test('a collector that runs in a loop takes nothing from those who push', async () => {
  const store = await bareStore();
  const other = await bareStore(store.dir);
  const { ask } = await serve(store);
  let pushing = true;
  const collecting = (async () => {
    let count = 0;
    for (; pushing; count++) {
      await collectGarbage(other);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return count;
  })();
  try {
    await Promise.all(
      Array.from({ length: 3 }, async (_, client) => {
        for (let i = 0; i < 4; i++) {
          const image = await pushImageBlobs(ask, `app${client}`, { x: `${client} ${i}` }, { compress: i % 2 === 0 });
          const put = await putManifest(ask, `app${client}`, 'latest', image);
          expect([put.status, put.body.toString()]).toEqual([201, '']);
          expect((await ask('GET', `/v2/app${client}/blobs/${digestOf(image.layer)}`)).body.equals(image.layer)).toBe(
            true,
          );
        }
      }),
    );
  } finally {
    pushing = false;
  }
  expect(await collecting).toBeGreaterThan(1);
});

test('an upload goes on with another server over the same store, also while two are there', async () => {
  const store = await bareStore();
  const first = await serve(store);
  const { location } = (await first.ask('POST', '/v2/app/blobs/uploads/')).headers;
  expect((await first.ask('PATCH', location!, { body: 'one ' })).status).toBe(202);
  const second = await serve(await bareStore(store.dir));
  const asked = await second.ask('GET', location!);
  expect([asked.status, asked.headers.range]).toEqual([204, '0-3']);
  expect((await second.ask('PATCH', location!, { body: 'two ' })).status).toBe(202);
  // What the first one hashed is not the whole any more.
  expect((await first.ask('PATCH', location!, { body: 'three' })).status).toBe(202);
  const digest = digestOf('one two three');
  expect((await first.ask('PUT', `${location}?digest=${digest}`)).status).toBe(201);
  expect((await second.ask('GET', `/v2/app/blobs/${digest}`)).body.toString()).toBe('one two three');
  expect(existsSync(join(store.dir, 'uploads', location!.split('/').at(-1)!))).toBe(false);
});

test('a lost database costs what has no tag, and nothing else', async () => {
  const dir = join(await tempDir(), 'store');
  const store = await openStore(dir, { sync: true });
  const { ask, close } = await serve(store);
  const image = await pushImageBlobs(ask, 'app', { x: 'y' });
  await putManifest(ask, 'app', '1', image);
  const chart = await pushArtifact(ask, 'charts/c', 'a chart');
  await putManifest(ask, 'charts/c', '1', chart);
  await close();
  await store.close();
  for (const name of ['meta.db', 'meta.db-wal', 'meta.db-shm']) rmSync(join(dir, name), { force: true });
  const again = await bareStore(dir);
  const served = await serve(again);
  expect((await served.ask('GET', `/v2/app/blobs/${digestOf(image.layer)}`)).body.equals(image.layer)).toBe(true);
  expect((await served.ask('GET', '/v2/charts/c/manifests/1')).body.equals(chart.manifest)).toBe(true);
  await collectGarbage(again);
  expect((await served.ask('GET', `/v2/charts/c/blobs/${digestOf('a chart')}`)).body.toString()).toBe('a chart');
});

test('after a power cut a tag of an artifact whose bytes were lost goes back to the one before', async () => {
  const dir = join(await tempDir(), 'store');
  const first = await openStore(dir, { bootId: 'first', sync: true });
  const push = async (store: Store, content: string): Promise<string> => {
    const { ask, close } = await serve(store);
    const chart = await pushArtifact(ask, 'chart', content);
    expect((await putManifest(ask, 'chart', '1', chart)).status).toBe(201);
    await close();
    return chart.digest;
  };
  const good = await push(first, 'on the disk');
  await first.close();
  const second = await openStore(dir, { bootId: 'first' });
  await push(second, 'not on the disk');
  second.database.close(); // the machine goes down, before any flusher came back
  for (const name of readdirSync(join(dir, 'flush'))) rmSync(join(dir, 'flush', name));
  writeFileSync(join(dir, 'blobs/sha256', digestOf('not on the disk').slice(7)), 'not on the d\0\0\0');
  const third = await openStore(dir, { bootId: 'second' });
  onTestFinished(() => third.close());
  const { ask } = await serve(third);
  expect((await ask('HEAD', '/v2/chart/manifests/1')).headers['docker-content-digest']).toBe(good);
  expect((await ask('GET', `/v2/chart/blobs/${digestOf('on the disk')}`)).body.toString()).toBe('on the disk');
});

test('an upload that nothing came for in a month goes with the garbage, a younger one stays', async () => {
  const store = await bareStore();
  const { ask } = await serve(store);
  const [old, young] = [
    (await ask('POST', '/v2/app/blobs/uploads/')).headers.location!,
    (await ask('POST', '/v2/app/blobs/uploads/')).headers.location!,
  ];
  const longAgo = Date.now() / 1000 - 31 * 86_400;
  utimesSync(join(store.dir, 'uploads', old.split('/').at(-1)!, 'data'), longAgo, longAgo);
  await collectGarbage(store);
  expect((await ask('GET', old)).code).toBe('BLOB_UPLOAD_UNKNOWN');
  expect((await ask('GET', young)).status).toBe(204);
});
