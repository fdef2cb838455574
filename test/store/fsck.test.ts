import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { checkStore, type Finding, findLayer, openLease, openStore, resolveTag } from '#store';
import { copyStore, hexOf, makeSampleStore, type SampleStore } from './fsck-samples.js';

let sample: SampleStore;
beforeAll(async () => {
  sample = await makeSampleStore();
});

const problems = (findings: readonly Finding[]): Finding[] => findings.filter(({ severity }) => severity === 'problem');

test('a store that is as it should be has nothing to tell, with and without repair', async () => {
  const dir = copyStore(sample);
  for (const repair of [false, true]) {
    const report = await checkStore(dir, { readData: true, repair });
    expect(report).toMatchObject({ ok: true, findings: [], checked: { layers: 2, blobs: 2, tags: 1, trees: 0 } });
  }
});

/** What is done to a store, what is said of it, and what repair comes to without any registry. */
const cases: Record<
  string,
  {
    readonly harm: (dir: string, sample: SampleStore) => void;
    readonly says: Partial<Finding> | ((sample: SampleStore) => Partial<Finding>);
    readonly repaired: 'repaired' | 'quarantined' | 'failed';
    readonly quick?: boolean;
  }
> = {
  'a bit of a tar': {
    harm: (dir, { layers }) => flip(join(dir, 'layers/sha256', hexOf(layers[0]!), 'tar'), 3000),
    says: ({ layers }) => ({
      code: 'DAMAGED',
      kind: 'layer',
      object: layers[0]!,
      neededBy: ['docker.io/library/app:1'],
    }),
    repaired: 'failed',
  },
  'the end of a tar': {
    harm: (dir, { layers }) => truncateSync(join(dir, 'layers/sha256', hexOf(layers[0]!), 'tar'), 512),
    says: { code: 'DAMAGED', kind: 'layer' },
    repaired: 'failed',
    quick: true,
  },
  'a layer': {
    harm: (dir, { layers }) => rmSync(join(dir, 'layers/sha256', hexOf(layers[1]!)), { recursive: true }),
    says: { code: 'MISSING', kind: 'layer', neededBy: ['docker.io/library/app:1'] },
    repaired: 'failed',
    quick: true,
  },
  'a bit of an index': {
    harm: (dir, { layers }) => flip(join(dir, 'layers/sha256', hexOf(layers[0]!), 'index.erofs'), 1500),
    says: { code: 'DAMAGED', kind: 'index' },
    repaired: 'repaired',
  },
  'the end of an index': {
    harm: (dir, { layers }) => truncateSync(join(dir, 'layers/sha256', hexOf(layers[0]!), 'index.erofs'), 100),
    says: { code: 'DAMAGED', kind: 'index' },
    repaired: 'repaired',
    quick: true,
  },
  'a record.json': {
    harm: (dir, { layers }) => writeFileSync(join(dir, 'layers/sha256', hexOf(layers[0]!), 'record.json'), ''),
    says: { code: 'DAMAGED', kind: 'record' },
    repaired: 'repaired',
    quick: true,
  },
  'a manifest': {
    harm: (dir, { manifest }) => flip(join(dir, 'blobs/sha256', hexOf(manifest)), 10),
    says: ({ manifest }) => ({ code: 'DAMAGED', kind: 'blob', object: manifest }),
    repaired: 'failed',
    quick: true,
  },
  'a config': {
    harm: (dir, { config }) => rmSync(join(dir, 'blobs/sha256', hexOf(config))),
    says: ({ config }) => ({ code: 'MISSING', kind: 'blob', object: config }),
    repaired: 'failed',
    quick: true,
  },
  'the copy of a tag': {
    harm: (dir) => writeFileSync(onlyFile(join(dir, 'tags')), '{'),
    says: { code: 'DAMAGED', kind: 'tag' },
    repaired: 'repaired',
    quick: true,
  },
  'format.json': {
    harm: (dir) => rmSync(join(dir, 'format.json')),
    says: { code: 'MISSING', kind: 'store' },
    repaired: 'repaired',
    quick: true,
  },
  'a directory': {
    harm: (dir) => rmSync(join(dir, 'trash'), { recursive: true }),
    says: { code: 'MISSING', kind: 'directory', object: 'trash' },
    repaired: 'repaired',
    quick: true,
  },
  'the database': {
    harm: (dir) => dropDatabase(dir),
    says: { code: 'MISSING', kind: 'database' },
    repaired: 'repaired',
    quick: true,
  },
  'all but nothing of the database': {
    harm: (dir) => {
      dropDatabase(dir);
      writeFileSync(join(dir, 'meta.db'), '');
    },
    says: { code: 'DAMAGED', kind: 'database' },
    repaired: 'repaired',
    quick: true,
  },
  'pages of the database': {
    harm: (dir) => {
      const bytes = readFileSync(join(dir, 'meta.db'));
      bytes.fill(0xa5, 4096, 4 * 4096);
      writeFileSync(join(dir, 'meta.db'), bytes);
    },
    says: { code: 'DAMAGED', kind: 'database' },
    repaired: 'repaired',
    quick: true,
  },
};

describe.each(Object.entries(cases))('with %s lost or damaged', (_what, { harm, says, repaired, quick }) => {
  test('fsck names it, changes nothing, and repair comes to what it can', async () => {
    const dir = copyStore(sample);
    harm(dir, sample);
    const expected = typeof says === 'function' ? says(sample) : says;
    const before = readdirSync(dir, { recursive: true }).filter((name) => !/meta\.db-/.test(String(name)));

    for (const readData of quick ? [false, true] : [true]) {
      const found = await checkStore(dir, { readData });
      expect(problems(found.findings)).toMatchObject([{ ...expected, severity: 'problem', outcome: null }]);
      expect(found.ok).toBe(false);
    }
    expect(readdirSync(dir, { recursive: true }).filter((name) => !/meta\.db-/.test(String(name)))).toEqual(before);

    const mended = await checkStore(dir, { readData: true, repair: true });
    expect(problems(mended.findings)[0]).toMatchObject({ ...expected, outcome: { result: repaired } });
    expect(mended.ok).toBe(repaired !== 'failed');
    const after = await checkStore(dir, { readData: true });
    expect(after.ok).toBe(repaired !== 'failed');
    if (after.ok) {
      expect(after.findings).toEqual([]);
      const store = await openStore(dir);
      expect(resolveTag(store, 'app:1')).toBe(sample.manifest);
      await store.close();
    }
  });
});

test('a layer and a blob that the database does not know are made known again, or put aside', async () => {
  const dir = copyStore(sample);
  const store = await openStore(dir);
  for (const diffId of sample.layers) store.database.forgetLayer(diffId);
  store.database.deleteBlob(sample.config);
  store.database.checkpoint();
  await store.close();
  flip(join(dir, 'layers/sha256', hexOf(sample.layers[1]!), 'tar'), 700);
  const { findings, quarantine } = await checkStore(dir, { repair: true });
  const outcomes = findings
    .filter(({ code }) => code === 'ORPHANED')
    .map(({ object, outcome }) => [object, outcome?.result]);
  expect(new Map(outcomes as [string, string][])).toEqual(
    new Map([
      [sample.layers[0], 'repaired'],
      [sample.layers[1], 'failed'],
      [sample.config, 'repaired'],
    ]),
  );
  expect(quarantine).toMatchObject([
    { kind: 'layer', object: sample.layers[1], neededBy: ['docker.io/library/app:1'], reason: expect.any(String) },
  ]);
});

test('a layer comes back from a compressed blob that is here', async () => {
  const dir = copyStore(sample);
  const { gzipSync } = await import('node:zlib');
  const { putBlob, recordCompression } = await import('#store');
  const tar = join(dir, 'layers/sha256', hexOf(sample.layers[0]!), 'tar');
  const store = await openStore(dir);
  const lease = await openLease(store, 'test');
  const blob = await putBlob(store, lease, gzipSync(readFileSync(tar)));
  recordCompression(store, sample.layers[0]!, { ...blob, mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' });
  await lease.release();
  await store.close();
  flip(tar, 600);
  const { findings, ok } = await checkStore(dir, { readData: true, repair: true });
  expect(findings).toMatchObject([{ kind: 'layer', outcome: { result: 'repaired' } }]);
  expect(findings[0]?.outcome?.message).toMatch(/unpacked again.*quarantine\/layer-/);
  expect(ok).toBe(true);
  expect(await checkStore(dir, { readData: true })).toMatchObject({ ok: true, findings: [] });
});

test('what dead processes left is told of as leftovers, and goes with repair', async () => {
  const dir = copyStore(sample);
  mkdirSync(join(dir, 'tmp/dead'));
  writeFileSync(join(dir, 'tmp/dead.lock'), '');
  writeFileSync(join(dir, 'flush/torn.json'), '{"lay');
  const store = await openStore(dir);
  store.database.leases.put('gone', 'build');
  mkdirSync(join(dir, 'tmp/dead'));
  writeFileSync(join(dir, 'tmp/dead.lock'), '');
  await store.close();
  const { findings, ok } = await checkStore(dir);
  expect(ok).toBe(true);
  expect(findings.map(({ severity, kind, object }) => [severity, kind, object]).sort()).toEqual([
    ['leftover', 'flush list', 'torn.json'],
    ['leftover', 'lease', 'dead'],
    ['leftover', 'lease', 'gone'],
  ]);
  await checkStore(dir, { repair: true });
  expect(await checkStore(dir)).toMatchObject({ findings: [] });
  expect(readdirSync(join(dir, 'tmp'))).toEqual([]);
});

test('what lives is left alone: an open lease with unfinished files is nothing to tell', async () => {
  const dir = copyStore(sample);
  const store = await openStore(dir);
  const lease = await openLease(store, 'test');
  writeFileSync(lease.path('layer'), 'half');
  for (const repair of [false, true]) expect(await checkStore(dir, { repair })).toMatchObject({ findings: [] });
  expect(existsSync(lease.dir)).toBe(true);
  expect(findLayer(store, sample.layers[0]!)).not.toBeNull();
  dropDatabase(dir);
  const { findings } = await checkStore(dir, { repair: true });
  expect(findings[0]).toMatchObject({ kind: 'database', outcome: { result: 'failed' } });
  expect(findings[0]?.outcome?.message).toContain('another process is using the store');
  await lease.release();
  await store.close();
});

test('a database of an earlier day learns of what came after it', async () => {
  const early = await makeSampleStore();
  const dir = copyStore(early);
  const database = readFileSync(join(dir, 'meta.db'));
  const { importLayer, putImage, tagImage } = await import('#store');
  const { bytesOf, sampleTar } = await import('./content-samples.js');
  const store = await openStore(dir, { sync: true });
  const lease = await openLease(store, 'test');
  const layer = await importLayer(store, lease, bytesOf(sampleTar('later').path));
  const config = {
    os: 'linux',
    architecture: 'amd64',
    config: {},
    rootfs: { type: 'layers' as const, diff_ids: [layer.diffId] },
  };
  const image = await putImage(store, lease, { config });
  tagImage(store, 'app:1', image.digest);
  tagImage(store, 'later:1', image.digest);
  await lease.release();
  await store.close();
  dropDatabase(dir);
  writeFileSync(join(dir, 'meta.db'), database);

  const found = await checkStore(dir);
  expect(problems(found.findings).map(({ code, object }) => [code, object])).toEqual([
    ['OUTDATED', 'docker.io/library/app:1'],
    ['ORPHANED', 'docker.io/library/later:1'],
  ]);
  const mended = await checkStore(dir, { repair: true, readData: true });
  expect(mended.findings.map(({ outcome }) => outcome?.result)).toEqual(mended.findings.map(() => 'repaired'));
  expect(await checkStore(dir, { readData: true })).toMatchObject({ ok: true, findings: [] });
  const again = await openStore(dir);
  expect([resolveTag(again, 'app:1'), resolveTag(again, 'later:1')]).toEqual([image.digest, image.digest]);
  await again.close();
});

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at % bytes.length]! ^= 1;
  writeFileSync(path, bytes);
}

function dropDatabase(dir: string): void {
  for (const name of readdirSync(dir)) if (name.startsWith('meta.db')) rmSync(join(dir, name));
}

function onlyFile(dir: string): string {
  const [name, ...more] = readdirSync(dir);
  expect(more).toEqual([]);
  return join(dir, name!);
}
