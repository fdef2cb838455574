import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type ApplyOp, rawPath } from '#native';
import {
  decodeApply,
  decodeAssemble,
  decodeHash,
  decodeRemove,
  decodeWalk,
  encodeApply,
  encodeAssemble,
  encodeHash,
  encodeRemove,
  encodeWalk,
} from '../../native/batch-codec.js';
import { openLibrary } from '../../native/library.js';
import { assemblyOf } from '../support/assembly.js';
import { runBatch, scratchDir } from './batch-program.js';

const dir = scratchDir('requests');
writeFileSync(join(dir, 'file'), 'content');
const literal = { bytes: Buffer.from('literal') };
const part = { root: dir, path: rawPath('file'), offset: 0, size: 7 };

const requests = {
  walk: { request: encodeWalk(dir, { xattrs: true }), decode: decodeWalk },
  assemble: {
    request: encodeAssemble({ parts: assemblyOf([literal, part]), output: null, heads: true, fileDigests: true }),
    decode: decodeAssemble,
  },
  hash: { request: encodeHash([part, part]), decode: decodeHash },
  remove: { request: encodeRemove([join(dir, 'none'), join(dir, 'nothing')]), decode: decodeRemove },
} as const;

for (const [verb, { request, decode }] of Object.entries(requests)) {
  test(`a request to ${verb} that ends anywhere too early is refused`, async () => {
    const library = await openLibrary();
    decode(await library.run(verb as keyof typeof requests, request));
    for (let length = 0; length < request.length; length++) {
      // A copy of its own, so that a read beyond its end is one beyond an allocation.
      const cut = Buffer.from(Uint8Array.prototype.slice.call(request, 0, length));
      const reply = await library.run(verb as keyof typeof requests, cut);
      expect(() => decode(reply)).toThrow(/refused its request/);
    }
  });
}

test('a request to apply that ends anywhere too early is refused', () => {
  const meta = { mode: 0o644, uid: process.getuid!(), gid: process.getgid!(), mtimeSec: 1, mtimeNsec: 0 };
  const xattrs = [{ name: 'user.a', value: Buffer.from('b') }];
  const ops: ApplyOp[] = [
    { op: 'file', path: rawPath('a'), meta: { ...meta, xattrs }, size: 7, content: literal },
    { op: 'symlink', path: rawPath('b'), meta: { ...meta, xattrs: [] }, target: rawPath('a') },
  ];
  const head = encodeApply(join(dir, 'cut'), []).length;
  const whole = encodeApply(join(dir, 'cut'), ops);
  for (let length = 8; length < whole.length; length += length < head ? 9 : 5) {
    const target = join(dir, `cut${String(length).padStart(4, '0')}`);
    const request = encodeApply(target, ops).subarray(0, length + target.length - join(dir, 'cut').length);
    expect(() => decodeApply(runBatch('apply', request))).toThrow(/refused its request/);
  }
  expect(existsSync(join(dir, 'cut'))).toBe(false);
});

test('a NUL inside a path is refused, not cut off', async () => {
  const library = await openLibrary();
  const request = encodeHash([{ root: dir, path: rawPath('file\0.txt') }]);
  const reply = await library.run('hash', request);
  expect(() => decodeHash(reply)).toThrow(/refused its request/);
});

test('content of another length than promised is a mistake before anything is made', () => {
  const meta = { mode: 0, uid: 0, gid: 0, mtimeSec: 0, mtimeNsec: 0, xattrs: [] };
  expect(() => encodeApply('/x', [{ op: 'file', path: rawPath('a'), meta, size: 3, content: literal }])).toThrow(
    /3 bytes was given 7/,
  );
});
