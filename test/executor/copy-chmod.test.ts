import { execFileSync } from 'node:child_process';
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseChmod } from '../../src/executor/copy-chmod.js';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'chmod-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('symbolic modes', () => {
  const specs = [
    'u=rwX,go=rX',
    '+x',
    'a+rX',
    'g=u',
    'go-w',
    'u+s',
    'g+s',
    '+t',
    'o=',
    'u=rw,go=',
    'ug=rwx,o-rwx',
    'g=u-w',
    'u-x+r',
    'a=',
    'o=g',
    '+X',
    'a=rX,u+w',
  ];
  const modes = [0o644, 0o600, 0o755, 0o777, 0o4751, 0o2070, 0o1000, 0o000];
  test.each(specs)('%s does what chmod(1) does', (spec) => {
    for (const mode of modes) {
      for (const isDirectory of [false, true]) {
        const path = join(dir, 'x');
        rmSync(path, { recursive: true, force: true });
        if (isDirectory) mkdirSync(path);
        else writeFileSync(path, '');
        chmodSync(path, mode);
        execFileSync('/bin/sh', ['-c', `umask 0; chmod -- ${spec} ${path}`]);
        const expected = lstatSync(path).mode & 0o7777;
        expect([mode, isDirectory, parseChmod(spec, undefined)(mode, isDirectory)]).toEqual([
          mode,
          isDirectory,
          expected,
        ]);
      }
    }
  });
});

test.each(['755', '0755', '4755', '7777', '0'])('%s is that mode', (spec) => {
  expect(parseChmod(spec, undefined)(0o123, false)).toBe(Number.parseInt(spec, 8));
});

test.each(['', '8', '99', '10000', 'rwx', 'u', 'x+u=', 'u=rwx,', 'u+rwz', '-5'])('%j is no mode', (spec) => {
  expect(() => parseChmod(spec, undefined)).toThrow(expect.objectContaining({ code: 'CHMOD_INVALID' }));
});
