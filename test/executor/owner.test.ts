import { describe, expect, test } from 'vitest';
import { lookupOwner, lookupUser } from '../../src/executor/index.js';
import { memoryView } from './memory-view.js';

const passwd = [
  'root:x:0:0:root:/root:/bin/sh',
  '# a comment',
  'broken line',
  'node:x:1000:1000::/home/node:/bin/bash',
  '1234:x:77:77::/home/named-like-a-number:/bin/sh',
  'nohome:x:88:89',
  'huge:x:4294967295:1::/:/bin/sh',
  '',
].join('\n');
const group = ['root:x:0:', 'node:x:1000:', 'docker:x:998:node,other', 'video:x:44:node', 'none:x:x:node'].join('\n');
const view = memoryView({ 'etc/passwd': { text: passwd }, 'etc/group': { text: group } });

describe('the user of a step', () => {
  const rows: readonly [spec: string, uid: number, gid: number, groups: number[], home: string][] = [
    ['', 0, 0, [], '/root'],
    ['root', 0, 0, [], '/root'],
    ['node', 1000, 1000, [998, 44], '/home/node'],
    ['1000', 1000, 1000, [998, 44], '/home/node'],
    ['node:video', 1000, 44, [], '/home/node'],
    ['node:7', 1000, 7, [], '/home/node'],
    ['4242', 4242, 0, [], '/'],
    ['4242:docker', 4242, 998, [], '/'],
    ['1234', 1234, 0, [], '/'],
    ['nohome', 88, 89, [], '/'],
    [':video', 0, 44, [], '/root'],
    ['2147483647', 2147483647, 0, [], '/'],
  ];
  test.each(rows)('%s is %d:%d', (spec, uid, gid, groups, home) => {
    expect(lookupUser(view, spec, undefined)).toEqual({ uid, gid, groups, home });
  });

  test.each([
    ['nobody', 'USER_NOT_FOUND'],
    ['node:wheel', 'USER_NOT_FOUND'],
    ['huge', 'USER_NOT_FOUND'],
    ['0x0', 'USER_NOT_FOUND'],
    ['4294967296', 'USER_INVALID'],
    ['2147483648', 'USER_INVALID'],
    ['-1', 'USER_INVALID'],
    ['node:-1', 'USER_INVALID'],
    ['99999999999999999999', 'USER_INVALID'],
  ])('%s is refused: %s', (spec, code) => {
    expect(() => lookupUser(view, spec, undefined)).toThrow(expect.objectContaining({ code }));
  });

  test('an image without /etc/passwd has ids only', () => {
    const empty = memoryView({});
    expect(lookupUser(empty, '', undefined)).toEqual({ uid: 0, gid: 0, groups: [], home: '/' });
    expect(lookupUser(empty, '5:6', undefined)).toEqual({ uid: 5, gid: 6, groups: [], home: '/' });
    expect(() => lookupUser(empty, 'root', undefined)).toThrow(expect.objectContaining({ code: 'USER_NOT_FOUND' }));
  });

  test('a symlinked /etc/passwd is followed inside the image only', () => {
    const linked = memoryView({
      'etc/passwd': { type: 'symlink', linkTarget: '../../../../usr/passwd' as never },
      'usr/passwd': { text: 'inner:x:5:6::/in:/bin/sh' },
    });
    expect(lookupUser(linked, 'inner', undefined)).toMatchObject({ uid: 5, gid: 6 });
    const outward = memoryView({ 'etc/passwd': { type: 'symlink', linkTarget: '/proc/self/environ' as never } });
    expect(() => lookupUser(outward, 'root', undefined)).toThrow(expect.objectContaining({ code: 'USER_NOT_FOUND' }));
  });

  test('a named pipe for /etc/passwd is no database', () => {
    const pipe = memoryView({ 'etc/passwd': { type: 'fifo' } });
    expect(() => lookupUser(pipe, 'root', undefined)).toThrow(expect.objectContaining({ code: 'USER_NOT_FOUND' }));
  });
});

describe('the owner of files', () => {
  test.each([
    ['node', 1000, 1000],
    ['7', 7, 7],
    ['1000', 1000, 1000],
    ['7:8', 7, 8],
    ['node:video', 1000, 44],
    [':video', 0, 44],
    ['', 0, 0],
  ])('%s is %d:%d', (spec, uid, gid) => {
    expect(lookupOwner(view, spec, undefined)).toEqual({ uid, gid });
  });

  test('names that the image does not know are refused', () => {
    expect(() => lookupOwner(view, 'nobody', undefined)).toThrow(expect.objectContaining({ code: 'USER_NOT_FOUND' }));
  });
});
