// The report of identical files, against files of which it is known.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, linkSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DiffId, findDuplicates, importLayer, putImage, tagImage } from '#store';
import { bytesOf, openTemp, tempDir } from './content-samples.js';
import { addLayer, configOf, type Place, randomText } from './image-samples.js';

/** A layer made by GNU tar, with what only a file system has: hardlinks and holes. */
async function tarredLayer({ store, lease }: Place, write: (dir: string) => void): Promise<DiffId> {
  const dir = tempDir();
  mkdirSync(join(dir, 'root'));
  write(join(dir, 'root'));
  execFileSync('tar', ['-C', join(dir, 'root'), '--sparse', '--format=pax', '-cf', join(dir, 'tar'), '.']);
  return (await importLayer(store, lease, bytesOf(join(dir, 'tar')))).diffId;
}

const sha256 = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;

describe('identical files', () => {
  test('are found in several layers and in one, whatever their names, and told by what they waste', async () => {
    const place = await openTemp();
    const large = randomText(200_000, 'large');
    const small = 'small file\n';
    const one = await addLayer(place, { 'a/large': large, 'a/small': small, only: randomText(200_000, 'only') });
    const two = await addLayer(place, { 'b/large': large, 'b/again': large, 'b/small': small, empty: '' });
    const three = await addLayer(place, { 'c/small': small, empty: '', other: randomText(200_000, 'other') });
    const image = await putImage(place.store, place.lease, { config: configOf([one, two]) });
    tagImage(place.store, 'app:1', image.digest);

    const found = await findDuplicates(place.store);
    expect(found).toMatchObject({ layers: 3, files: 10, duplicateFiles: 4, wastedBytes: 400_000 + 2 * small.length });
    const [first, second, ...none] = found.groups;
    expect(none).toEqual([]);
    expect(first).toMatchObject({ digest: sha256(large), bytes: 200_000, wastedBytes: 400_000 });
    const app = ['docker.io/library/app:1'];
    const places = new Set(first!.places.map(({ diffId, path, images }) => `${diffId} ${path} ${images}`));
    expect(places).toEqual(
      new Set([`${one.diffId} a/large ${app}`, `${two.diffId} b/large ${app}`, `${two.diffId} b/again ${app}`]),
    );
    expect(second).toMatchObject({ digest: sha256(small), wastedBytes: 2 * small.length });
    expect(second!.places.find(({ diffId }) => diffId === three.diffId)).toMatchObject({ path: 'c/small', images: [] });

    const some = await findDuplicates(place.store, { top: 1, minBytes: 1000 });
    expect(some).toMatchObject({ duplicateFiles: 2, wastedBytes: 400_000, groups: [{ bytes: 200_000 }] });
    expect(await findDuplicates(place.store, { minBytes: 200_001 })).toMatchObject({ duplicateFiles: 0, groups: [] });
  });

  test('are not the names of one inode, nor files that differ in their last byte', async () => {
    const place = await openTemp();
    const text = randomText(50_000, 'linked');
    await tarredLayer(place, (dir) => {
      writeFileSync(join(dir, 'file'), text);
      linkSync(join(dir, 'file'), join(dir, 'hard'));
      writeFileSync(join(dir, 'nearly'), `${text.slice(0, -1)}!`);
    });
    expect(await findDuplicates(place.store)).toMatchObject({ files: 2, duplicateFiles: 0, wastedBytes: 0 });
    await addLayer(place, { other: text });
    const { groups, ...sums } = await findDuplicates(place.store);
    expect(sums).toMatchObject({ files: 3, duplicateFiles: 1, wastedBytes: 50_000 });
    expect(groups[0]!.places).toHaveLength(2);
  });

  test('with holes are as large as what is stored of them, and the holes must be the same', async () => {
    const place = await openTemp();
    const sparse = (end: string) => (dir: string) => {
      writeFileSync(join(dir, 'sparse'), randomText(65_536, 'begin'));
      truncateSync(join(dir, 'sparse'), 1 << 30);
      appendFileSync(join(dir, 'sparse'), end);
    };
    const layers = [
      await tarredLayer(place, sparse('end')),
      await tarredLayer(place, (dir) => {
        sparse('end')(dir);
        writeFileSync(join(dir, 'more'), 'so that the layer is another');
      }),
    ];
    await tarredLayer(place, (dir) => {
      writeFileSync(join(dir, 'sparse'), randomText(65_536, 'begin'));
      truncateSync(join(dir, 'sparse'), 1 << 29);
      appendFileSync(join(dir, 'sparse'), 'end');
    });
    const { groups, wastedBytes } = await findDuplicates(place.store);
    expect(groups).toHaveLength(1);
    expect(groups[0]!.places.map(({ diffId }) => diffId).sort()).toEqual([...layers].sort());
    expect(wastedBytes).toBeGreaterThan(65_000);
    expect(wastedBytes).toBeLessThan(200_000);
  });

  test('are not looked for in a layer that was cut short: it counts as missing', async () => {
    const place = await openTemp();
    const text = randomText(200_000, 'cut');
    const { tarPath } = await addLayer(place, { a: text, b: text });
    writeFileSync(tarPath, readFileSync(tarPath).subarray(0, 210_000));
    await addLayer(place, { c: text, d: text });
    expect(await findDuplicates(place.store)).toMatchObject({ layers: 1, files: 2, wastedBytes: 200_000 });
  });
});

test('whatever the files are, the report says what comparing all of them says', async () => {
  const content = fc.tuple(fc.constantFrom(0, 1, 100, 4096, 4097, 9000), fc.constantFrom('x', 'y'));
  const files = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd/e', 'd/f', 'g'), content, { minKeys: 1 });
  await fc.assert(
    fc.asyncProperty(fc.array(files, { minLength: 1, maxLength: 4 }), async (layers) => {
      const place = await openTemp();
      const stored = new Map<DiffId, string[]>();
      for (const layer of layers) {
        // They begin alike, so that it takes more than the first bytes to tell them apart.
        const texts = Object.entries(layer).map(([name, [size, end]]) => {
          return [name, size === 0 ? '' : 'same'.repeat(3000).slice(0, size - 1) + end] as const;
        });
        const { diffId } = await addLayer(place, Object.fromEntries(texts));
        stored.set(
          diffId,
          texts.map(([, text]) => text),
        );
      }
      const counts = new Map<string, number>();
      for (const text of [...stored.values()].flat()) if (text !== '') counts.set(text, (counts.get(text) ?? 0) + 1);
      const several = [...counts].filter(([, count]) => count > 1);
      const found = await findDuplicates(place.store);
      expect(found.wastedBytes).toBe(several.reduce((sum, [text, count]) => sum + text.length * (count - 1), 0));
      expect(new Map(found.groups.map(({ digest, places }) => [digest, places.length]))).toEqual(
        new Map(several.map(([text, count]) => [sha256(text), count])),
      );
    }),
    { numRuns: Number(process.env.TSBUILD_USAGE_RUNS ?? 12) },
  );
});
