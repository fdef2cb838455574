// One bit flipped at random in each kind of file of a store. What has a digest, or can be made again and compared: fsck --read-data
// names it, no reader hands it on, and repair leaves nothing of it in use. What has neither (the database): everything
// that is read from the store afterwards is right, or refused.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { openHost } from '#native';
import {
  checkStore,
  exportLayout,
  findLayer,
  mountLayer,
  openLease,
  openStore,
  putBlob,
  readImage,
  recordCompression,
  resolveTag,
  StoreError,
  saveArchive,
} from '#store';
import { layerRecord, tarHeads } from '../../src/platform/index.js';
import { isRoot, tempDir } from './content-samples.js';
import { copyStore, hexOf, makeSampleStore, type SampleStore } from './fsck-samples.js';

/** The nightly run takes more. */
const flips = Number(process.env.TSBUILD_FLIPS ?? 2);
const machines = (layer: { readonly tarPath: string }): unknown => layerRecord(tarHeads(layer.tarPath));

let sample: SampleStore;
const download = 'cafe'.repeat(16);
let downloadName = '';
beforeAll(async () => {
  sample = await makeSampleStore();
  const { dir, layers } = sample;
  const store = await openStore(dir, { sync: true, form: 'tree' });
  const lease = await openLease(store, 'test');
  const layer = findLayer(store, layers[0]!)!;
  const blob = await putBlob(store, lease, gzipSync(readFileSync(layer.tarPath)));
  recordCompression(store, layer.diffId, { ...blob, mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' });
  const host = await openHost();
  await mountLayer(store, lease, host, layer);
  await host.close();
  writeFileSync(join(layer.tarPath, '../machines.json'), JSON.stringify(machines(layer)));
  await lease.release();
  await store.close();
  mkdirSync(join(dir, 'cache/downloads/body'), { recursive: true });
  const { createHash } = await import('node:crypto');
  downloadName = createHash('sha256').update(download).digest('hex');
  writeFileSync(join(dir, 'cache/downloads/body', downloadName), download);
  const again = await openStore(dir);
  again.database.checkpoint();
  await again.close();
  sample = { ...sample, dir: copyStore(sample) }; // nobody has it open
}, 60_000);

const inLayer = (name: string) => (): string => join('layers/sha256', hexOf(sample.layers[0]!), name);
const kinds: Record<string, () => string> = {
  tar: inLayer('tar'),
  index: inLayer('index.erofs'),
  'record.json': inLayer('record.json'),
  'machines.json': inLayer('machines.json'),
  manifest: () => join('blobs/sha256', hexOf(sample.manifest)),
  config: () => join('blobs/sha256', hexOf(sample.config)),
  'compressed layer': () => {
    const known = [hexOf(sample.manifest), hexOf(sample.config)];
    return join('blobs/sha256', readdirSync(join(sample.dir, 'blobs/sha256')).find((name) => !known.includes(name))!);
  },
  'copy of a tag': () => join('tags', readdirSync(join(sample.dir, 'tags'))[0]!),
  'format.json': () => 'format.json',
  'file of a tree': () => join('trees', hexOf(sample.layers[0]!), 'root/etc/file7'),
  download: () => join('cache/downloads/body', downloadName),
};

const check = (dir: string, repair: boolean) => checkStore(dir, { readData: true, repair, machines, host: openHost });

/** Everything that leaves the store, into `out`; null where a reader refused. */
async function readAll(dir: string): Promise<string | null> {
  const out = tempDir();
  try {
    const store = await openStore(dir, { form: 'tree' });
    const lease = await openLease(store, 'test');
    try {
      const image = await readImage(store, resolveTag(store, 'app:1')!);
      await saveArchive(store, lease, [{ image, names: ['app:1'] }], join(out, 'app.tar'));
      await exportLayout(store, lease, image, join(out, 'layout'), { tag: '1' });
    } finally {
      await lease.release();
      await store.close();
    }
    const list = execFileSync('sh', ['-c', 'find . -type f | sort | xargs sha256sum'], { cwd: out, encoding: 'utf8' });
    return list;
  } catch (error) {
    expect(error, String(error)).toBeInstanceOf(StoreError);
    return null;
  }
}

describe.each(Object.entries(kinds))('in a %s', (kind, place) => {
  test.skipIf(kind === 'file of a tree' && !isRoot)(
    'a flipped bit is named, handed on by no reader, and mended or put aside',
    async () => {
      const right = await readAll(copyStore(sample));
      expect(right).not.toBeNull();
      const path = place();
      const bits = readFileSync(join(sample.dir, path)).length * 8;
      const dir = copyStore(sample);
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 0, max: bits - 1 }), async (bit) => {
          copyFileSync(join(sample.dir, path), join(dir, path));
          flipBit(join(dir, path), bit);
          const found = await check(dir, false).catch((error: unknown) => {
            // A version that is not known yet: whoever reads it is told to update.
            expect(error).toMatchObject({ code: 'STORE_TOO_NEW' });
            return null;
          });
          if (found !== null) {
            const named = found.findings.filter((finding) => path.startsWith(finding.path));
            expect(named.length, `bit ${bit} of ${path}`).toBeGreaterThan(0);
          }
          const read = await readAll(copyStore({ dir }));
          if (read !== null) expect(read).toBe(right);
        }),
        { numRuns: flips, seed: 20, endOnFailure: true },
      );
      const repaired = await check(dir, true).catch(() => null);
      if (repaired === null) return;
      const left = await check(dir, false);
      expect(left.findings.filter((finding) => finding.code === 'DAMAGED')).toEqual([]);
    },
    600_000,
  );
});

test('a flipped bit in the database is named, or changes nothing that is read', async () => {
  const right = await readAll(copyStore(sample));
  const bits = readFileSync(join(sample.dir, 'meta.db')).length * 8;
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: bits - 1 }), async (bit) => {
      const dir = copyStore(sample);
      flipBit(join(dir, 'meta.db'), bit);
      const found = await check(dir, false).catch((error: unknown) => {
        expect(error).toBeInstanceOf(StoreError);
        return null;
      });
      const read = await readAll(copyStore({ dir }));
      if (found?.ok) expect(read, `bit ${bit} of meta.db`).toBe(right);
      else if (read !== null) expect(read).toBe(right);
    }),
    { numRuns: flips * 2, seed: 21, endOnFailure: true },
  );
}, 600_000);

function flipBit(path: string, bit: number): void {
  const bytes = readFileSync(path);
  bytes[bit >> 3]! ^= 1 << (bit & 7);
  writeFileSync(path, bytes);
}
