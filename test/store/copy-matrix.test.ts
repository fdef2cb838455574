// From every kind of place to every kind of place.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { copyImage, layoutDestination, mediaTypes, openLayoutSource } from '#store';
import { installed } from '../support/tsbuild.js';
import {
  addImage,
  attestedIndex,
  type CopyPlace,
  gzipImage,
  type Kind,
  kinds,
  LayoutMaker,
  makePlace,
  oneRegistry,
  readWhole,
  type SampleLayout,
  tag,
} from './copy-samples.js';
import { tempDir } from './image-samples.js';
import { hasRegistry } from './transport-server.js';

async function zstdImage(): Promise<SampleLayout> {
  const layout = new LayoutMaker(join(await tempDir(), 'zstd'));
  const zstd = (tar: Buffer): Buffer => execFileSync('zstd', ['-7', '-c'], { input: tar, maxBuffer: 1 << 26 });
  return layout.name(addImage(layout, 'amd64', zstd, mediaTypes.ociLayerZstd));
}

const usable = kinds.filter((kind) => kind !== 'docker' || hasRegistry());
const skopeo = installed('skopeo');

/** Fails with skopeo's own words. */
function readBySkopeo({ address }: CopyPlace): void {
  if (!skopeo || address === null) return;
  const raw = execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', address], { encoding: 'utf8' });
  expect(JSON.parse(raw)).toMatchObject({ schemaVersion: 2 });
}

for (const [what, sample] of [
  ['an image with gzip layers', gzipImage],
  ['an image with zstd layers', zstdImage],
] as const) {
  describe.skipIf(what.includes('zstd') && !installed('zstd'))(what, () => {
    for (const from of usable) {
      test(`comes from ${from} to everywhere`, async () => {
        const registry = oneRegistry();
        const { dir, digest } = await sample();
        const source = await makePlace(from, registry);
        await copyImage(await openLayoutSource(dir, tag), source.destination());
        const config = await configOf(source);
        for (const to of usable) {
          const target = await makePlace(to, registry);
          await copyImage(await source.open(), target.destination());
          const arrived = await target.open();
          // Of a docker-archive only the config is kept; a store without the blobs makes others.
          const keeps = ![from, to].some((kind) => kind === 'docker-archive') && from !== 'store';
          const found = await readWhole(arrived);
          if (keeps && to !== 'store') expect([to, found]).toEqual([to, digest]);
          expect(await configOf(target)).toBe(config);
          if (from === 'oci') readBySkopeo(target);
        }
      });
    }
  });
}

/** Digest of its config: the image's id, which every transport keeps. */
async function configOf(place: CopyPlace): Promise<string> {
  const { bytes } = await (await place.open()).root();
  return (JSON.parse(bytes.toString('utf8')) as { config: { digest: string } }).config.digest;
}

describe('an index of two platforms with attestations', () => {
  const holdIndexes = usable.filter((kind) => kind !== 'docker-archive');
  for (const from of holdIndexes) {
    test(`comes from ${from} to everywhere, byte for byte`, async () => {
      const registry = oneRegistry();
      const { dir, digest } = await attestedIndex();
      const source = await makePlace(from, registry);
      await copyImage(await openLayoutSource(dir, tag), source.destination());
      for (const to of holdIndexes) {
        const target = await makePlace(to, registry);
        expect((await copyImage(await source.open(), target.destination())).descriptor.digest).toBe(digest);
        expect([to, await readWhole(await target.open())]).toEqual([to, digest]);
      }
      const archive = await makePlace('docker-archive', registry);
      await expect(copyImage(await source.open(), archive.destination())).rejects.toMatchObject({
        code: 'COPY_NEEDS_PLATFORM',
        message: expect.stringContaining('is an index (linux/amd64, linux/arm64)'),
        hint: expect.stringContaining('--platform linux/amd64'),
      });
      const one = { platforms: [{ os: 'linux', architecture: 'arm64' }] };
      await copyImage(await source.open(), archive.destination(), one);
      const { bytes } = await (await archive.open()).root();
      expect(JSON.parse(bytes.toString('utf8')).layers).toHaveLength(2);
    });
  }
});

describe.skipIf(!skopeo)('skopeo', () => {
  const theirs: readonly Kind[] = ['oci', 'oci-archive', 'docker-archive', 'dir'];
  for (const kind of theirs) {
    test(`reads and writes ${kind} as we do`, async () => {
      const registry = oneRegistry();
      const { dir } = await gzipImage();
      const [ours, copied, back] = [
        await makePlace(kind, registry),
        await makePlace(kind, registry),
        await makePlace('oci', registry),
      ];
      await copyImage(await openLayoutSource(dir, tag), ours.destination());
      execFileSync('skopeo', ['--insecure-policy', 'copy', '-q', ours.address!, copied.address!]);
      await copyImage(await copied.open(), back.destination());
      expect(await configOf(back)).toBe(await configOf(ours));
      expect(await readWhole(await copied.open())).toBe((await (await copied.open()).root()).descriptor.digest);
    });
  }

  test('reads an index from our directory, and we read one from its', async () => {
    const registry = oneRegistry();
    const { dir, digest } = await attestedIndex();
    const [ours, copied] = [await makePlace('dir', registry), await makePlace('dir', registry)];
    await copyImage(await openLayoutSource(dir, tag), ours.destination());
    execFileSync('skopeo', ['--insecure-policy', 'copy', '-q', '--all', ours.address!, copied.address!]);
    expect(await readWhole(await copied.open())).toBe(digest);
  });
});

test('several platforms make an index of theirs and of what is attested about them', async () => {
  const layout = new LayoutMaker(join(await tempDir(), 'many'));
  const { gzipSync } = await import('node:zlib');
  const entries = ['amd64', 'arm64', 's390x'].map((architecture) => ({
    ...addImage(layout, architecture, (tar) => gzipSync(tar), mediaTypes.ociLayerGzip),
    platform: { os: 'linux', architecture },
  }));
  const mediaType = mediaTypes.ociIndex;
  const { dir } = layout.name(layout.json(mediaType, { schemaVersion: 2, mediaType, manifests: entries }));
  const target = join(await tempDir(), 'some');
  const platforms = ['s390x', 'amd64'].map((architecture) => ({ os: 'linux', architecture }));
  await copyImage(await openLayoutSource(dir, tag), layoutDestination(target, undefined), { platforms });
  const { bytes } = await (await openLayoutSource(target, undefined)).root();
  const { manifests } = JSON.parse(bytes.toString('utf8')) as { manifests: { digest: string }[] };
  expect(manifests.map(({ digest }) => digest)).toEqual([entries[2]!.digest, entries[0]!.digest]);
});
