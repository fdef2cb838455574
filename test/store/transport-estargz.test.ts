import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { exportLayout, importLayout, putImage } from '#store';
import { addLayer, configOf, digestOf, randomText, sampleImage, tempDir, tempStore } from './image-samples.js';

interface Row {
  readonly name: string;
  readonly type: string;
  readonly size?: number;
  readonly offset?: number;
  readonly chunkOffset?: number;
  readonly chunkSize?: number;
  readonly digest?: string;
  readonly chunkDigest?: string;
}

/** As the specification says a reader finds the table: by the last 51 bytes, then by one gzip member. */
function readTable(blob: Buffer): { bytes: Buffer; rows: readonly Row[] } {
  const footer = blob.subarray(-51);
  expect(footer.subarray(0, 4).toString('hex')).toBe('1f8b0804');
  expect(footer.subarray(12, 14).toString('latin1')).toBe('SG');
  const [, offset] = /^([0-9a-f]{16})STARGZ$/.exec(footer.subarray(16, 38).toString('latin1')) ?? [];
  const tar = gunzipSync(blob.subarray(Number.parseInt(offset!, 16), -51));
  expect(tar.subarray(0, 17).toString('latin1')).toBe('stargz.index.json');
  const size = Number.parseInt(tar.subarray(124, 135).toString('latin1'), 8);
  const bytes = tar.subarray(512, 512 + size);
  return { bytes, rows: JSON.parse(bytes.toString('utf8')).entries };
}

/** The content that begins at a row's offset, read from its gzip members alone. */
function contentOf(blob: Buffer, { offset = 0 }: Row, rows: readonly Row[], length: number): Buffer {
  const next = rows.map((row) => row.offset ?? 0).filter((other) => other > offset);
  return gunzipSync(blob.subarray(offset, next.length > 0 ? Math.min(...next) : undefined)).subarray(0, length);
}

describe('an eStargz layer', () => {
  test('has a table by which each file is read alone', async () => {
    const place = await tempStore();
    const big = Buffer.from(randomText(9 << 20, 'big'));
    const layer = await addLayer(place, { 'etc/motd': 'hello\n', 'srv/big': big, 'srv/empty': '' });
    const image = await putImage(place.store, place.lease, { config: configOf([layer]) });
    const dir = join(await tempDir(), 'out');
    const digest = await exportLayout(place.store, place.lease, image, dir, { compression: 'estargz', level: 9 });
    const manifest = JSON.parse(readFileSync(blobFile(dir, digest), 'utf8'));
    const [{ digest: layerDigest, mediaType, size, annotations }] = manifest.layers;
    const blob = readFileSync(blobFile(dir, layerDigest));
    expect({ mediaType, size }).toEqual({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      size: blob.length,
    });

    const { bytes, rows } = readTable(blob);
    expect(annotations['containerd.io/snapshot/stargz/toc.digest']).toBe(digestOf(bytes));
    expect(annotations['io.containers.estargz.uncompressed-size']).toBe(String(gunzipSync(blob).length));
    expect(rows.map(({ name, type }) => [name, type])).toEqual([
      ['.no.prefetch.landmark', 'reg'],
      ['etc/motd', 'reg'],
      ['srv/big', 'reg'],
      ['srv/big', 'chunk'],
      ['srv/big', 'chunk'],
      ['srv/empty', 'reg'],
    ]);
    const contents = {
      '.no.prefetch.landmark': Buffer.from([0xf]),
      'etc/motd': Buffer.from('hello\n'),
      'srv/big': big,
    };
    for (const [name, content] of Object.entries(contents)) {
      const pieces = rows.filter((row) => row.name === name);
      expect(pieces[0]!.digest).toBe(digestOf(content));
      for (const piece of pieces) {
        const start = piece.chunkOffset ?? 0;
        const expected = content.subarray(start, start + (piece.chunkSize ?? content.length));
        expect(contentOf(blob, piece, rows, expected.length).equals(expected)).toBe(true);
        expect(piece.chunkDigest).toBe(digestOf(expected));
      }
    }
    const config = JSON.parse(readFileSync(blobFile(dir, manifest.config.digest), 'utf8'));
    expect(config.rootfs.diff_ids).toEqual([digestOf(gunzipSync(blob))]);
  });

  test('is a gzipped tar to everybody else, and the same bytes in every store', async () => {
    const digests = [];
    for (const place of [await tempStore(), await tempStore()]) {
      const image = await sampleImage(place);
      const dir = join(await tempDir(), 'out');
      digests.push(await exportLayout(place.store, place.lease, image, dir, { compression: 'estargz' }));
      digests.push(await exportLayout(place.store, place.lease, image, dir, { compression: 'estargz' }));
      const to = await tempStore();
      const back = await importLayout(to.store, to.lease, dir);
      expect(back.layers).toHaveLength(2);
    }
    expect(new Set(digests).size).toBe(1);
  });
});

function blobFile(dir: string, digest: string): string {
  return join(dir, 'blobs/sha256', digest.slice('sha256:'.length));
}
