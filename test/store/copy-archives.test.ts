// Archives as sources of copies: what docker wrote over the years, and what others put a compressor around.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, createReadStream, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import {
  copyImage,
  dockerArchiveDestination,
  layoutDestination,
  ociArchiveDestination,
  openDockerArchiveSource,
  openLayoutSource,
  openOciArchiveSource,
} from '#store';
import { installed } from '../support/tsbuild.js';
import { attestedIndex, gzipImage, readWhole, tag, tempScratch } from './copy-samples.js';
import { randomText, tarOf, tempDir } from './image-samples.js';

const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

interface Saved {
  readonly name: string;
  readonly layers: readonly Buffer[];
  /** Members of the archive, in the order of the layers. */
  readonly members: readonly string[];
}

/** What docker save writes, without its layers: config and manifest.json. */
function dockerFiles(dir: string, images: readonly Saved[]): void {
  const manifest = images.map(({ name, layers, members }) => {
    const config = JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: { Labels: { name } },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
    });
    writeFileSync(join(dir, `${sha256(config)}.json`), config);
    return { Config: `${sha256(config)}.json`, RepoTags: [name], Layers: members };
  });
  writeFileSync(join(dir, 'manifest.json'), JSON.stringify(manifest));
}

function archived(dir: string): string {
  execFileSync('tar', ['-C', dir, '-cf', `${dir}.tar`, '.']);
  return `${dir}.tar`;
}

const sampleLayer = (seed: string): Buffer => tarOf({ [seed]: randomText(20_000, seed) });

test('an old docker save has folders, and links where a layer occurs twice', async () => {
  const dir = join(await tempDir(), 'old');
  const layer = sampleLayer('one');
  for (const sub of ['one', 'two', 'three']) mkdirSync(join(dir, sub), { recursive: true });
  writeFileSync(join(dir, 'one/layer.tar'), layer);
  execFileSync('ln', ['-s', '../one/layer.tar', join(dir, 'two/layer.tar')]);
  execFileSync('ln', [join(dir, 'one/layer.tar'), join(dir, 'three/layer.tar')]);
  const members = ['one/layer.tar', 'two/layer.tar', 'three/layer.tar'];
  dockerFiles(dir, [{ name: 'old:1', layers: [layer, layer, layer], members }]);
  const source = await openDockerArchiveSource(await tempScratch(), archived(dir), undefined);
  const out = join(await tempDir(), 'out');
  await copyImage(source, layoutDestination(out, tag));
  const { bytes } = await (await openLayoutSource(out, tag)).root();
  const { layers } = JSON.parse(bytes.toString('utf8')) as { layers: { digest: string }[] };
  expect(layers.map(({ digest }) => digest)).toEqual(Array(3).fill(`sha256:${sha256(layer)}`));
});

test('of several images the named one is taken, and without a name they are listed', async () => {
  const dir = join(await tempDir(), 'several');
  mkdirSync(dir);
  const images = ['first:1', 'second:1'].map((name) => {
    const layer = sampleLayer(name);
    writeFileSync(join(dir, `${sha256(layer)}.tar`), layer);
    return { name, layers: [layer], members: [`${sha256(layer)}.tar`] };
  });
  dockerFiles(dir, images);
  const archive = archived(dir);
  const scratch = await tempScratch();
  const labelOf = async (name: string): Promise<string> => {
    const source = await openDockerArchiveSource(scratch, archive, name);
    const { config } = JSON.parse((await source.root()).bytes.toString('utf8'));
    return JSON.parse((await source.readDocument(config)).toString('utf8')).config.Labels.name;
  };
  expect(await labelOf('second:1')).toBe('second:1');
  expect(await labelOf('docker.io/library/first:1')).toBe('first:1');
  expect(await labelOf('@1')).toBe('second:1');
  await expect(labelOf('third:1')).rejects.toMatchObject({
    code: 'LAYOUT_TAG_UNKNOWN',
    hint: expect.stringContaining('it has first:1, second:1'),
  });
  await expect(openDockerArchiveSource(scratch, archive, undefined)).rejects.toMatchObject({
    code: 'LAYOUT_TAG_NEEDED',
    message: expect.stringContaining('holds 2 images'),
  });
});

test('layers that somebody compressed in a docker-archive come as the tars that they are', async () => {
  const dir = join(await tempDir(), 'compressed');
  mkdirSync(dir);
  const layer = sampleLayer('one');
  writeFileSync(join(dir, 'layer.tar.gz'), gzipSync(layer));
  dockerFiles(dir, [{ name: 'c:1', layers: [layer], members: ['layer.tar.gz'] }]);
  const scratch = await tempScratch();
  const source = await openDockerArchiveSource(scratch, archived(dir), undefined);
  const target = join(await tempDir(), 'again.tar');
  await copyImage(source, dockerArchiveDestination({ name: target, target, tag: 'c:1' }, scratch));
  const again = await openDockerArchiveSource(scratch, target, 'c:1');
  expect(await readWhole(again)).toBe(await readWhole(source));
  expect(execFileSync('tar', ['-xOf', target, `${sha256(layer)}.tar`])).toEqual(layer);
});

test('what docker save of today writes is read by its digests where all of it is there, else as before', async () => {
  const scratch = await tempScratch();
  const { dir, digest } = await attestedIndex();
  const saved = join(await tempDir(), 'today');
  execFileSync('cp', ['-r', dir, saved]);
  // The image for this machine, as manifest.json names it: by its blobs.
  const blob = (name: string): string => join(saved, 'blobs/sha256', name.slice(7));
  const index = JSON.parse(readFileSync(blob(digest), 'utf8'));
  const [mine, theirs] = index.manifests.map((entry: { digest: string }) =>
    JSON.parse(readFileSync(blob(entry.digest), 'utf8')),
  );
  const member = ({ digest: of }: { digest: string }): string => `blobs/sha256/${of.slice(7)}`;
  writeFileSync(
    join(saved, 'manifest.json'),
    JSON.stringify([{ Config: member(mine.config), RepoTags: [tag], Layers: mine.layers.map(member) }]),
  );
  expect(await readWhole(await openDockerArchiveSource(scratch, archived(saved), tag))).toBe(digest);
  for (const { digest: gone } of theirs.layers.slice(1)) rmSync(blob(gone));
  const partial = await openDockerArchiveSource(scratch, archived(saved), tag);
  expect(partial.isMadeUp).toBe(true);
  const { config } = JSON.parse((await partial.root()).bytes.toString('utf8'));
  expect(config.digest).toBe(mine.config.digest);
  await readWhole(partial);
});

for (const program of ['gzip', 'zstd', 'xz', 'bzip2']) {
  test.skipIf(!installed(program))(
    `an archive that ${program} compressed is read from a file and from a pipe`,
    async () => {
      const { dir, digest } = await gzipImage();
      const archive = join(await tempDir(), 'it.tar');
      const target = { name: archive, target: archive, tag };
      await copyImage(await openLayoutSource(dir, tag), ociArchiveDestination(target));
      const compressed = `${archive}.compressed`;
      writeFileSync(compressed, execFileSync(program, ['-c', archive], { maxBuffer: 1 << 26 }));
      for (const source of [compressed, createReadStream(compressed)]) {
        expect(await readWhole(await openOciArchiveSource(await tempScratch(), source, tag))).toBe(digest);
      }
      const broken = `${archive}.broken`;
      copyFileSync(compressed, broken);
      execFileSync('truncate', ['-s', '-40', broken]);
      await expect(openOciArchiveSource(await tempScratch(), broken, tag)).rejects.toMatchObject({
        code: expect.stringMatching(/^(ARCHIVE_INVALID|TAR_)/),
      });
    },
  );
}

test('the kinds of archives are told apart', async () => {
  const { dir } = await gzipImage();
  const scratch = await tempScratch();
  const file = join(await tempDir(), 'docker.tar');
  await copyImage(
    await openLayoutSource(dir, tag),
    dockerArchiveDestination({ name: file, target: file, tag }, scratch),
  );
  await expect(openOciArchiveSource(scratch, file, tag)).rejects.toMatchObject({
    code: 'ARCHIVE_INVALID',
    hint: expect.stringContaining(`docker-archive:${file}`),
  });
});
