// A tar that is read while it is written gives the tree that it gives afterwards.
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodeTree } from '../../store/format/index-encode.js';
import { TarFollower } from '../../store/format/tar-follow.js';
import { encodeIndex, encodeTar, scanTar } from '../../store/index.js';
import { assembled } from '../support/assembly.js';
import { layerDrafts } from './format-arbitraries.js';
import { file, pax, record } from './raw-tar.js';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'format-follow-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** The index by a reader that is told of the bytes in steps of these sizes; null where it gives up. */
function followed(bytes: Buffer, steps: readonly number[]): Buffer | null | 'given up' {
  const fd = openSync(join(dir, 'follow.tar'), 'w+');
  try {
    const follower = new TarFollower(fd);
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const step = steps[i % steps.length]!;
      writeSync(fd, bytes, at, Math.min(step, bytes.length - at));
      follower.advance(at); // what was written before this
      at += step;
    }
    const tree = follower.finish(bytes.length);
    return tree === null ? 'given up' : encodeTree(tree, bytes.length);
  } finally {
    closeSync(fd);
  }
}

function scanned(bytes: Buffer): Buffer | null | 'given up' {
  const path = join(dir, 'scan.tar');
  writeFileSync(path, bytes);
  try {
    return encodeIndex(scanTar(path), bytes.length);
  } catch {
    return 'given up';
  }
}

const size = fc.oneof(fc.nat(5000), fc.integer({ min: 1_000_000, max: 3_000_000 }));
const large = fc.tuple(fc.constantFrom('a', 'b', 'large'), size).map(([name, bytes]) => ({ name, bytes }));

/** Some files of megabytes, with long names and attributes, then a layer of ours. */
const tars = fc.record({ files: fc.array(large, { maxLength: 4 }), drafts: layerDrafts }).map(({ files, drafts }) => {
  const before = files.map(({ name, bytes }) =>
    Buffer.concat([pax(record('path', name.repeat(200))), file('x', '-'.repeat(bytes))]),
  );
  return Buffer.concat([...before, assembled(encodeTar(drafts).parts)]);
});
const steps = fc.array(fc.integer({ min: 1, max: 1 << 21 }), { minLength: 1, maxLength: 6 });

test('whatever the steps in which it comes, a tar has the index that a scan gives it', () => {
  fc.assert(
    fc.property(tars, steps, (bytes, sizes) => {
      const coarse = sizes.map((step) => Math.max(step, bytes.length / 2000));
      expect(followed(bytes, coarse.map(Math.ceil))).toEqual(scanned(bytes));
    }),
    { numRuns: 60 },
  );
});

test('a damaged tar is given up, or is what the scan finds', () => {
  const places = fc.array(fc.record({ at: fc.double({ min: 0, max: 0.999, noNaN: true }), byte: fc.nat(255) }), {
    maxLength: 3,
  });
  fc.assert(
    fc.property(tars, places, fc.nat(600), (bytes, damages, cut) => {
      for (const { at, byte } of damages) bytes[Math.floor((at * bytes.length) / 512) * 512 + (byte % 512)] = byte;
      const left = bytes.subarray(0, Math.max(0, bytes.length - cut));
      let found: ReturnType<typeof followed>;
      try {
        found = followed(left, [1 << 20]);
      } catch {
        found = 'given up'; // the tree's own refusals, which the scan has too
      }
      expect(found).toEqual(scanned(left));
    }),
    { numRuns: 100 },
  );
});
