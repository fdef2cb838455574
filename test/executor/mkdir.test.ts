import { describe, expect, test } from 'vitest';
import { planMkdir } from '../../src/executor/index.js';
import type { MkdirVertex } from '../../src/graph/index.js';
import { made, show } from './copy-support.js';
import { type Files, memoryView } from './memory-view.js';

const image: Files = {
  'etc/passwd': { text: 'app:x:10:20::/:/bin/sh' },
  srv: { mode: 0o711, uid: 3, gid: 4, mtimeSec: 5 },
  link: { type: 'symlink', linkTarget: '/srv' as never },
  file: { text: 'f' },
};

function mkdir(path: string, user = ''): ReturnType<typeof planMkdir> {
  const at = { file: { name: 'Buildfile', text: `WORKDIR ${path}` }, start: 0, end: 7 };
  const platform = { os: 'linux', architecture: 'amd64' };
  const vertex: MkdirVertex = { kind: 'mkdir', id: 1, name: '', at, platform, parent: 0, path, user, epochSec: null };
  return planMkdir(vertex, memoryView(image), made);
}

describe('WORKDIR', () => {
  const rows: readonly [path: string, user: string, expected: readonly string[]][] = [
    ['/app', '', ['app/ 755 0:0']],
    ['/app/x/y', 'app', ['app/ 755 10:20', 'app/x/ 755 10:20', 'app/x/y/ 755 10:20']],
    ['/srv/www', '7', ['srv/ 711 3:4', 'srv/www/ 755 7:7']],
    ['/link/www', '', ['srv/ 711 3:4', 'srv/www/ 755 0:0']],
    ['/srv', 'app', []],
    ['/link', 'app', []],
    ['/', 'app', []],
  ];
  test.each(rows)('%s as %j makes what is missing', (path, user, expected) => {
    expect(show(mkdir(path, user))).toEqual(expected);
  });

  test('directories that exist keep their time', () => {
    expect(mkdir('/srv/www').map((draft) => draft.mtimeSec)).toEqual([5, made.mtimeSec]);
  });

  test('a file in the way is refused', () => {
    expect(() => mkdir('/file/x')).toThrow(expect.objectContaining({ code: 'COPY_DEST_NOT_DIRECTORY' }));
  });
});
