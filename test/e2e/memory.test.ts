// The memory of transfers does not grow with the layer: at most 200 MB, whatever its size.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const goalMb = 200;
/** Of the layer: 10 at night. */
const gigabytes = Number(process.env.TSBUILD_LARGE_LAYER_GB ?? 0.5);
const cli = join(import.meta.dirname, '../../dist/main.cjs');

let dir: string;
let env: NodeJS.ProcessEnv;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'memory-'));
  // Says at the end how much memory the process had at its peak, in KB.
  writeFileSync(
    join(dir, 'peak.cjs'),
    `process.on('exit', () => require('fs').writeFileSync(${JSON.stringify(join(dir, 'peak'))}, String(process.resourceUsage().maxRSS)));`,
  );
  writeFileSync(join(dir, 'layer.cjs'), layerProgram);
  env = { ...process.env, TSBUILD_STORE: join(dir, 'store'), NODE_OPTIONS: `--require ${join(dir, 'peak.cjs')}` };
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** layer.cjs BYTES: a tar of one file that compresses by a quarter, the same every time, on standard output. */
const layerProgram = `
const { createHash } = require('node:crypto');
const { writeSync } = require('node:fs');
const size = Number(process.argv[2]);
const write = (bytes) => { for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at); };
const header = Buffer.alloc(512);
header.write('large');
header.write('0000644', 100);
header.writeUInt8(0x80, 124);
header.writeBigUInt64BE(BigInt(size), 128);
header.write('00000000000', 136);
header.write('ustar\\u000000', 257);
header.fill(' ', 148, 156);
header.write('0', 156);
header.write(header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0') + '\\u0000 ', 148);
write(header);
const words = Array.from({ length: 65536 }, (_, i) => createHash('sha512').update(String(i)).digest('base64'));
let state = 1;
for (let left = size; left > 0; ) {
  const parts = [];
  for (let i = 0; i < 12000; i++) parts.push(words[(state = (state * 48271) % 0x7fffffff) & 65535]);
  const bytes = Buffer.from(parts.join('')).subarray(0, left);
  write(bytes);
  left -= bytes.length;
}
write(Buffer.alloc(1024 + ((512 - (size % 512)) % 512)));
`;

function peakMb(words: string): number {
  const done = spawnSync('sh', ['-c', words.replace('TSBUILD', `${process.execPath} ${cli}`)], {
    cwd: dir,
    env,
    encoding: 'utf8',
  });
  expect(done.status, done.stderr).toBe(0);
  return Number(readFileSync(join(dir, 'peak'), 'utf8')) / 1024;
}

describe(`of a layer of ${gigabytes} GB`, { timeout: 3_600_000 }, () => {
  const size = Math.round(gigabytes * 1e9);
  const transfers: readonly [what: string, words: string][] = [
    ['import', `NODE_OPTIONS= node layer.cjs ${size} | TSBUILD import -q --platform linux/amd64 -t large:1 -`],
    ['export as gzip', 'TSBUILD push -q --compression gzip large:1 oci-layout:gzip:1'],
    ['export as zstd', 'TSBUILD push -q --compression zstd large:1 oci-layout:zstd:1'],
    ['pull of gzip', 'TSBUILD pull -q --store pulled-gzip oci-layout:gzip:1 -t large:1'],
    ['pull of zstd', 'TSBUILD pull -q --store pulled-zstd oci-layout:zstd:1 -t large:1'],
    ['archive', 'TSBUILD save --format oci-archive -o large.tar large:1'],
    ['load', 'TSBUILD load -q --store loaded -i large.tar'],
    ['copy', 'TSBUILD copy -q oci:gzip:1 oci-archive:copied.tar:1'],
  ];
  for (const [what, words] of transfers) {
    test(`the ${what} takes at most ${goalMb} MB of memory`, () => {
      expect(peakMb(words)).toBeLessThan(goalMb);
    });
  }
});
