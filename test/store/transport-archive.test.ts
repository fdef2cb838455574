import { execFileSync, spawnSync } from 'node:child_process';
import { createReadStream, createWriteStream, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { loadArchive, saveArchive } from '#store';
import { packMembers } from '../../store/transport/archive-pack.js';
import { diffIdsOf, sampleImage, tarOf, tempDir, tempStore } from './image-samples.js';

const formats = ['docker-archive', 'oci-archive'] as const;

for (const format of formats) {
  test(`a ${format} that we write is read back the same, from a file, a pipe, and gzip`, async () => {
    const from = await tempStore();
    const image = await sampleImage(from);
    const path = join(await tempDir(), 'out.tar');
    const names = ['docker.io/library/app:1', 'localhost:5000/app:2'];
    await saveArchive(from.store, from.lease, [{ image, names }], path, { format });
    const gzip = gzipSync(readFileSync(path));
    writeFileSync(`${path}.gz`, gzip);
    const pipe = new PassThrough();
    for (let i = 0; i < gzip.length; i += 1000) pipe.write(gzip.subarray(i, i + 1000));
    pipe.end();
    for (const source of [path, `${path}.gz`, createReadStream(path), pipe]) {
      const to = await tempStore();
      const loaded = await loadArchive(to.store, to.lease, source);
      expect(loaded).toHaveLength(1);
      expect(loaded[0]!.names).toEqual(names);
      expect(loaded[0]!.image.digest).toBe(image.digest);
      expect(diffIdsOf(loaded[0]!.image)).toEqual(diffIdsOf(image));
    }
  });

  test(`skopeo reads a ${format} of ours, and we read the one that it makes of it`, async () => {
    const from = await tempStore();
    const image = await sampleImage(from);
    const dir = await tempDir();
    await saveArchive(from.store, from.lease, [{ image, names: ['docker.io/library/app:1'] }], `${dir}/ours.tar`, {
      format,
    });
    const facts = JSON.parse(
      execFileSync('skopeo', ['inspect', '--config', `${format}:${dir}/ours.tar`], { encoding: 'utf8' }),
    );
    expect(facts).toMatchObject({ architecture: 'amd64', rootfs: { diff_ids: diffIdsOf(image) } });
    for (const theirs of formats) {
      const target = `${dir}/${theirs}.tar`;
      execFileSync('skopeo', ['copy', '--quiet', `${format}:${dir}/ours.tar`, `${theirs}:${target}:example.org/app:2`]);
      const to = await tempStore();
      const [loaded] = await loadArchive(to.store, to.lease, target);
      // Between formats skopeo writes the config anew.
      if (theirs === format) expect(loaded!.image.configDigest).toBe(image.configDigest);
      expect(diffIdsOf(loaded!.image)).toEqual(diffIdsOf(image));
      expect(loaded!.names).toEqual(['example.org/app:2']);
    }
  });

  test(`a ${format} of several images holds the layers they share once`, async () => {
    const from = await tempStore();
    const [one, two] = [await sampleImage(from, '1'), await sampleImage(from, '2')];
    const path = join(await tempDir(), 'out.tar');
    const images = [
      { image: one, names: ['a:1', 'b:1'] },
      { image: two, names: [] },
    ];
    await saveArchive(from.store, from.lease, images, path, { format });
    const members = execFileSync('tar', ['-tf', path], { encoding: 'utf8' }).split('\n');
    const shared = members.filter((name) => name.includes(one.layers[0]!.diffId.slice(7)));
    expect(shared).toHaveLength(1);
    const to = await tempStore();
    const loaded = await loadArchive(to.store, to.lease, path);
    expect(loaded.map(({ image, names }) => [image.digest, names])).toEqual([
      [one.digest, ['docker.io/library/a:1', 'docker.io/library/b:1']],
      [two.digest, []],
    ]);
  });
}

test('the same images give the same archive, as a file and as a stream', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  const dir = await tempDir();
  await saveArchive(place.store, place.lease, [{ image, names: ['app:1'] }], join(dir, 'a.tar'));
  await saveArchive(place.store, place.lease, [{ image, names: ['app:1'] }], createWriteStream(join(dir, 'b.tar')));
  expect(readFileSync(join(dir, 'a.tar')).equals(readFileSync(join(dir, 'b.tar')))).toBe(true);
});

test('an archive with compressed layers is smaller and loads the same', async () => {
  const [from, to] = [await tempStore(), await tempStore()];
  const image = await sampleImage(from);
  const path = join(await tempDir(), 'out.tar');
  await saveArchive(from.store, from.lease, [{ image, names: ['a:1'] }], path, {
    format: 'oci-archive',
    compression: 'gzip',
  });
  const [loaded] = await loadArchive(to.store, to.lease, path);
  expect(diffIdsOf(loaded!.image)).toEqual(diffIdsOf(image));
  const refused = saveArchive(from.store, from.lease, [{ image, names: [] }], path, { compression: 'gzip' });
  await expect(refused).rejects.toMatchObject({ code: 'SAVE_COMPRESSION' });
});

test('an old docker save, with folders and a symlink for a layer that occurs twice, is read', async () => {
  const dir = await tempDir();
  const layer = tarOf({ a: 'a' });
  const { store, lease } = await tempStore();
  const { digestOf } = await import('./image-samples.js');
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [digestOf(layer), digestOf(layer)] },
  });
  const script = `mkdir -p one two && ln -s ../one/layer.tar two/layer.tar && tar -cf out.tar ./one ./two ./config.json ./manifest.json`;
  writeFileSync(join(dir, 'config.json'), config);
  writeFileSync(
    join(dir, 'manifest.json'),
    JSON.stringify([
      { Config: 'config.json', RepoTags: ['app:1', 'UPPER:1'], Layers: ['one/layer.tar', 'two/layer.tar'] },
    ]),
  );
  execFileSync('mkdir', [join(dir, 'one')]);
  writeFileSync(join(dir, 'one/layer.tar'), layer);
  execFileSync('sh', ['-c', script], { cwd: dir });
  const [loaded] = await loadArchive(store, lease, join(dir, 'out.tar'));
  expect(loaded!.image.layers.map(({ diffId }) => diffId)).toEqual([digestOf(layer), digestOf(layer)]);
  expect(loaded!.names).toEqual(['docker.io/library/app:1']);
});

const dockerManifest = (layers: string[], config = 'c.json') =>
  JSON.stringify([{ Config: config, RepoTags: null, Layers: layers }]);
const emptyConfig = JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } });
const bad: [what: string, code: string, archive: Buffer][] = [
  ['is no tar', 'TAR_', Buffer.from('hello, I am no tar at all'.repeat(100))],
  ['is empty', 'ARCHIVE_INVALID', Buffer.alloc(0)],
  ['holds no image', 'ARCHIVE_INVALID', tarOf({ 'etc/passwd': 'x' })],
  [
    'names a config outside itself',
    'ARCHIVE_INVALID',
    tarOf({ 'manifest.json': dockerManifest([], '../../../etc/passwd') }),
  ],
  [
    'names a layer that it lacks',
    'ARCHIVE_INVALID',
    tarOf({
      'manifest.json': dockerManifest(['l.tar']),
      'c.json': JSON.stringify({
        architecture: 'a',
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] },
      }),
    }),
  ],
  [
    'lists more layers than its config',
    'IMAGE_LAYERS_MISMATCH',
    tarOf({ 'manifest.json': dockerManifest(['l.tar']), 'c.json': emptyConfig }),
  ],
  ['has a manifest.json of another form', 'ARCHIVE_INVALID', tarOf({ 'manifest.json': '[{"Config":7}]' })],
  [
    'has a manifest.json with duplicate keys',
    'IMAGE_DOCUMENT_INVALID',
    tarOf({ 'manifest.json': '[{"Config":"a","Config":"b"}]' }),
  ],
  [
    'has an index that points outside',
    'DIGEST_INVALID',
    tarOf({
      'oci-layout': '{"imageLayoutVersion":"1.0.0"}',
      'index.json':
        '{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"sha256:../../manifest.json","size":3}]}',
    }),
  ],
  ['is gzip cut short', 'ARCHIVE_INVALID', gzipSync(tarOf({ a: 'a'.repeat(10_000) })).subarray(0, 60)],
  ['is xz cut short', 'ARCHIVE_INVALID', Buffer.from('fd377a585a000004e6d6b446', 'hex')],
];
for (const [what, code, archive] of bad) {
  test(`an archive that ${what} is refused, from a file and from a pipe`, async () => {
    const { store, lease } = await tempStore();
    const path = join(await tempDir(), 'bad.tar');
    writeFileSync(path, archive);
    for (const source of [path, createReadStream(path)]) {
      await expect(loadArchive(store, lease, source)).rejects.toMatchObject({ code: expect.stringMatching(code) });
    }
    expect(store.database.images()).toEqual([]);
  });
}

test('a missing archive and an unwritable target are told apart from broken ones', async () => {
  const place = await tempStore();
  const dir = await tempDir();
  await expect(loadArchive(place.store, place.lease, join(dir, 'none'))).rejects.toMatchObject({
    code: 'ARCHIVE_NOT_FOUND',
  });
  await expect(loadArchive(place.store, place.lease, dir)).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' });
  const image = await sampleImage(place);
  const saving = saveArchive(place.store, place.lease, [{ image, names: [] }], join(dir, 'no/such/dir.tar'));
  await expect(saving).rejects.toMatchObject({ code: 'ARCHIVE_UNWRITABLE' });
  expect(readdirSync(dir)).toEqual([]);
});

test('a damaged layer is not saved, and the target keeps what it had', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  const path = join(await tempDir(), 'out.tar');
  writeFileSync(path, 'the old archive');
  const bytes = readFileSync(image.layers[0]!.tarPath);
  bytes[600] = (bytes[600] ?? 0) ^ 1;
  writeFileSync(image.layers[0]!.tarPath, bytes);
  const saving = saveArchive(place.store, place.lease, [{ image, names: [] }], path);
  await expect(saving).rejects.toMatchObject({ code: 'BLOB_DAMAGED' });
  expect(readFileSync(path, 'utf8')).toBe('the old archive');
});

test('a reader that leaves an archive ends the writing of it, and nothing is left at the target', async () => {
  const place = await tempStore();
  const image = await sampleImage(place);
  const dir = await tempDir();
  const left = new PassThrough();
  left.once('data', () => left.destroy());
  const saving = saveArchive(place.store, place.lease, [{ image, names: ['a:1'] }], left);
  await expect(saving).rejects.toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
  const signal = AbortSignal.abort();
  const aborted = saveArchive(place.store, place.lease, [{ image, names: [] }], join(dir, 'a.tar'), { signal });
  await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
  expect(readdirSync(dir)).toEqual([]);
});

test('a layer larger than the 8 GiB that an octal size can say has its size in the archive', async () => {
  const dir = await tempDir();
  const path = join(dir, 'large');
  const size = 9 * 2 ** 30 + 1;
  writeFileSync(path, '');
  truncateSync(path, size);
  const digest = `sha256:${'0'.repeat(64)}` as const;
  const pieces: Uint8Array[] = [];
  for await (const piece of packMembers(new Map([['large', { path, size, digest }]]))) {
    pieces.push(piece);
    if (pieces.length === 2) break;
  }
  writeFileSync(join(dir, 'start.tar'), Buffer.concat(pieces));
  const listed = spawnSync('tar', ['-tvf', join(dir, 'start.tar')], { encoding: 'utf8' });
  expect(listed.stdout).toMatch(new RegExp(` ${size} 1970-01-01 .* large`));
});
