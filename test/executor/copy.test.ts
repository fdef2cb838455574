import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { copied, makeTree, planFromContext, planFromView, removeTemps, removeTree, show } from './copy-support.js';
import { memoryView } from './memory-view.js';

let root: string;

beforeAll(() => {
  root = makeTree({
    'a.txt': 'aaa',
    'b.txt': 'bb',
    'run.sh': { text: '#!/bin/sh\n', mode: 0o755 },
    'src/main.c': 'int main;',
    'src/lib/util.c': 'util',
    'src/lib/util.h': 'h',
    'private/key': { text: 'k', mode: 0o600 },
    private: { dir: 0o700 },
    suid: { text: 's', mode: 0o4755 },
    'links/to-file': { link: '../a.txt' },
    'links/to-dir': { link: '../src' },
    'links/outside': { link: '/etc/passwd' },
    'links/up': { link: '../../../../../../a.txt' },
    'links/dangling': { link: 'nowhere' },
    'empty/.keep': '',
    'sub/deep/one/x.md': 'x',
    'sub/deep/two/y.md': 'y',
    'sub/other/z.md': 'z',
    'h/one': 'same',
    'h/two': { hardlink: 'h/one' },
  });
});

afterEach(removeTemps);
afterAll(() => removeTree(root));

const image = memoryView({
  'etc/passwd': { text: 'root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n' },
  'etc/group': { text: 'root:x:0:\nstaff:x:50:app\n' },
  opt: { mode: 0o750, uid: 5, gid: 6, mtimeSec: 1_400_000_000 },
  'opt/file': { text: 'old' },
  'opt/lib': { mode: 0o711, uid: 7, gid: 7 },
  'usr/lib': {},
  lib: { type: 'symlink', linkTarget: 'usr/lib' as never },
  'abs-link': { type: 'symlink', linkTarget: '/opt' as never },
  escape: { type: 'symlink', linkTarget: '../../../../opt' as never },
  'loop-a': { type: 'symlink', linkTarget: 'loop-b' as never },
  'loop-b': { type: 'symlink', linkTarget: 'loop-a' as never },
  'file-link': { type: 'symlink', linkTarget: 'opt/file' as never },
});

const rows: readonly [name: string, line: string, expected: readonly string[]][] = [
  ['a file is renamed to a destination without a slash', 'COPY a.txt /x', ['x 644 0:0 (3)']],
  [
    'a file keeps its name in a destination with a slash',
    'COPY a.txt /new/',
    ['new/ 755 0:0', 'new/a.txt 644 0:0 (3)'],
  ],
  ['a file keeps its name in a directory that exists', 'COPY a.txt /opt', ['opt/ 750 5:6', 'opt/a.txt 644 0:0 (3)']],
  ['missing parents are made', 'COPY a.txt /p/q/r', ['p/ 755 0:0', 'p/q/ 755 0:0', 'p/q/r 644 0:0 (3)']],
  ['the root is a directory', 'COPY a.txt /', ['a.txt 644 0:0 (3)']],
  ['a dot names the directory before it', 'COPY a.txt /opt/.', ['opt/ 750 5:6', 'opt/a.txt 644 0:0 (3)']],
  [
    'a directory means what is in it',
    'COPY src /app',
    [
      'app/ 755 0:0',
      'app/lib/ 755 0:0',
      'app/lib/util.c 644 0:0 (4)',
      'app/lib/util.h 644 0:0 (1)',
      'app/main.c 644 0:0 (9)',
    ],
  ],
  ['the top of a copied directory is not its source', 'COPY private /p', ['p/ 755 0:0', 'p/key 600 0:0 (1)']],
  [
    'a directory that exists keeps its mode and owner, those in it take the new ones',
    'COPY src /opt',
    [
      'opt/ 750 5:6',
      'opt/lib/ 755 0:0',
      'opt/lib/util.c 644 0:0 (4)',
      'opt/lib/util.h 644 0:0 (1)',
      'opt/main.c 644 0:0 (9)',
    ],
  ],
  ['setuid bits are kept', 'COPY suid /s', ['s 4755 0:0 (1)']],
  [
    'several sources land in a directory',
    'COPY a.txt b.txt /d/',
    ['d/ 755 0:0', 'd/a.txt 644 0:0 (3)', 'd/b.txt 644 0:0 (2)'],
  ],
  ['wildcards match as filepath.Match', 'COPY ?.txt /d/', ['d/ 755 0:0', 'd/a.txt 644 0:0 (3)', 'd/b.txt 644 0:0 (2)']],
  ['wildcards match in the middle of a path', 'COPY s*c/l?b/*.h /d/', ['d/ 755 0:0', 'd/util.h 644 0:0 (1)']],
  [
    'a wildcard without a match is nothing beside one with',
    'COPY a.txt nope* /d/',
    ['d/ 755 0:0', 'd/a.txt 644 0:0 (3)'],
  ],
  ['.. stops at the top of the context', 'COPY ../../a.txt /x', ['x 644 0:0 (3)']],
  ['an absolute source starts at the top of the context', 'COPY /src/main.c /x', ['x 644 0:0 (9)']],
  ['a named symlink is followed', 'COPY links/to-file /x', ['x 644 0:0 (3)']],
  ['a named symlink gives its own name', 'COPY links/to-file /d/', ['d/ 755 0:0', 'd/to-file 644 0:0 (3)']],
  ['a symlink to a directory is followed on the way', 'COPY links/to-dir/main.c /x', ['x 644 0:0 (9)']],
  ['a symlink that climbs is followed inside the context', 'COPY links/up /x', ['x 644 0:0 (3)']],
  [
    'symlinks inside a directory are copied as links',
    'COPY links /l',
    [
      'l/ 755 0:0',
      'l/dangling -> nowhere',
      'l/outside -> /etc/passwd',
      'l/to-dir -> ../src',
      'l/to-file -> ../a.txt',
      'l/up -> ../../../../../../a.txt',
    ],
  ],
  ['names of one file stay one file', 'COPY h /h', ['h/ 755 0:0', 'h/one 644 0:0 (4)', 'h/two => h/one']],
  ['two sources never share a file', 'COPY h/one h/two /h/', ['h/ 755 0:0', 'h/one 644 0:0 (4)', 'h/two 644 0:0 (4)']],
  [
    'the destination follows symlinks in the image',
    'COPY a.txt /lib/',
    ['usr/ 755 0:0', 'usr/lib/ 755 0:0', 'usr/lib/a.txt 644 0:0 (3)'],
  ],
  ['an absolute symlink in the image stays in it', 'COPY a.txt /abs-link/x', ['opt/ 750 5:6', 'opt/x 644 0:0 (3)']],
  ['a climbing symlink in the image stays in it', 'COPY a.txt /escape/x', ['opt/ 750 5:6', 'opt/x 644 0:0 (3)']],
  [
    'a destination that is a symlink to a file is followed',
    'COPY a.txt /file-link',
    ['opt/ 750 5:6', 'opt/file 644 0:0 (3)'],
  ],
  ['--link never follows symlinks of the image', 'COPY --link a.txt /lib/', ['lib/ 755 0:0', 'lib/a.txt 644 0:0 (3)']],
  [
    '--chown takes a name and its primary group',
    'COPY --chown=app a.txt /n/x',
    ['n/ 755 1000:1001', 'n/x 644 1000:1001 (3)'],
  ],
  ['--chown takes a group by name', 'COPY --chown=app:staff a.txt /x', ['x 644 1000:50 (3)']],
  ['--chown of a number uses it for the group too', 'COPY --chown=7 a.txt /x', ['x 644 7:7 (3)']],
  [
    '--chown of existing directories changes only those in the source',
    'COPY --chown=7 src/lib /opt',
    ['opt/ 750 5:6', 'opt/util.c 644 7:7 (4)', 'opt/util.h 644 7:7 (1)'],
  ],
  [
    '--chmod in octal goes to files and directories below',
    'COPY --chmod=750 src/lib /l',
    ['l/ 750 0:0', 'l/util.c 750 0:0 (4)', 'l/util.h 750 0:0 (1)'],
  ],
  ['--chmod may set special bits', 'COPY --chmod=2755 a.txt /x', ['x 2755 0:0 (3)']],
  [
    '--chmod in symbols distinguishes directories',
    'COPY --chmod=u=rwX,go=rX private /p',
    ['p/ 755 0:0', 'p/key 644 0:0 (1)'],
  ],
  [
    '--parents keeps the directories',
    'COPY --parents sub/deep/one/x.md src/main.c /d/',
    [
      'd/ 755 0:0',
      'd/src/ 755 0:0',
      'd/src/main.c 644 0:0 (9)',
      'd/sub/ 755 0:0',
      'd/sub/deep/ 755 0:0',
      'd/sub/deep/one/ 755 0:0',
      'd/sub/deep/one/x.md 644 0:0 (1)',
    ],
  ],
  [
    '--parents starts at the pivot',
    'COPY --parents sub/./deep/one/x.md /d/',
    ['d/ 755 0:0', 'd/deep/ 755 0:0', 'd/deep/one/ 755 0:0', 'd/deep/one/x.md 644 0:0 (1)'],
  ],
  [
    '--parents reads ** as any number of directories',
    'COPY --parents sub/**/*.md /d/',
    [
      'd/ 755 0:0',
      'd/sub/ 755 0:0',
      'd/sub/deep/ 755 0:0',
      'd/sub/deep/one/ 755 0:0',
      'd/sub/deep/one/x.md 644 0:0 (1)',
      'd/sub/deep/two/ 755 0:0',
      'd/sub/deep/two/y.md 644 0:0 (1)',
      'd/sub/other/ 755 0:0',
      'd/sub/other/z.md 644 0:0 (1)',
    ],
  ],
  [
    '--exclude leaves files out of a directory',
    'COPY --exclude=**/*.h --exclude=main.c src /s',
    ['s/ 755 0:0', 's/lib/ 755 0:0', 's/lib/util.c 644 0:0 (4)'],
  ],
  ['--exclude leaves out what a wildcard found', 'COPY --exclude=a* *.txt /d/', ['d/ 755 0:0', 'd/b.txt 644 0:0 (2)']],
  [
    '--exclude may take back',
    'COPY --exclude=lib --exclude=!lib/util.h src /s',
    ['s/ 755 0:0', 's/lib/ 755 0:0', 's/lib/util.h 644 0:0 (1)', 's/main.c 644 0:0 (9)'],
  ],
];

describe('COPY from a context', () => {
  test.each(rows)('%s: %s', async (_name, line, expected) => {
    expect(await copied(root, line, { view: image })).toEqual(expected);
  });

  const refusals: readonly [line: string, code: string, at: string][] = [
    ['COPY nope.txt /x', 'COPY_NOT_FOUND', 'nope.txt'],
    ['COPY a.txt missing.txt /x/', 'COPY_NOT_FOUND', 'missing.txt'],
    ['COPY nope/* /x', 'COPY_NOT_FOUND', 'nope/*'],
    ['COPY links/outside /x', 'COPY_NOT_FOUND', 'links/outside'],
    ['COPY links/dangling /x', 'COPY_NOT_FOUND', 'links/dangling'],
    ['COPY a.txt/below /x', 'COPY_NOT_FOUND', 'a.txt/below'],
    ['COPY [a /x', 'PATTERN_INVALID', '[a'],
    ['COPY a.txt b.txt /x', 'COPY_DEST_NOT_DIRECTORY', 'COPY a.txt b.txt /x'],
    ['COPY *.txt /x', 'COPY_DEST_NOT_DIRECTORY', 'COPY *.txt /x'],
    ['COPY a.txt /opt/file/x', 'COPY_DEST_NOT_DIRECTORY', 'COPY a.txt /opt/file/x'],
    ['COPY a.txt /opt/file/', 'COPY_DEST_NOT_DIRECTORY', 'COPY a.txt /opt/file/'],
    ['COPY a.txt /loop-a/x', 'COPY_LINK_LOOP', 'COPY a.txt /loop-a/x'],
    ['COPY src /opt/file', 'COPY_CONFLICT', 'src'],
    ['COPY --chown=nobody a.txt /x', 'USER_NOT_FOUND', 'COPY --chown=nobody a.txt /x'],
    ['COPY --chown=app:wheel a.txt /x', 'USER_NOT_FOUND', 'COPY --chown=app:wheel a.txt /x'],
    ['COPY --chown=4294967296 a.txt /x', 'USER_INVALID', 'COPY --chown=4294967296 a.txt /x'],
    ['COPY --chmod=999 a.txt /x', 'CHMOD_INVALID', 'COPY --chmod=999 a.txt /x'],
    ['COPY --chmod=u+q a.txt /x', 'CHMOD_INVALID', 'COPY --chmod=u+q a.txt /x'],
    ['COPY --chmod=77777 a.txt /x', 'CHMOD_INVALID', 'COPY --chmod=77777 a.txt /x'],
  ];

  test.each(refusals)('%s is refused: %s', async (line, code, at) => {
    const error = await planFromContext(root, line, { view: image }).then(
      () => null,
      (thrown: unknown) => thrown as { code: string; at: { start: number; end: number } },
    );
    expect(error).toMatchObject({ code });
    expect(line.slice(error!.at.start, error!.at.end)).toBe(at);
  });

  test('a file never replaces a directory that the source names', async () => {
    const view = memoryView({ 'opt/main.c': {} });
    await expect(planFromContext(root, 'COPY src /opt', { view })).rejects.toMatchObject({ code: 'COPY_CONFLICT' });
  });

  test('a directory is never merged into a symlink that the image has in its place', async () => {
    const view = memoryView({ 'opt/lib': { type: 'symlink', linkTarget: '/usr/lib' as never } });
    await expect(planFromContext(root, 'COPY src /opt', { view })).rejects.toMatchObject({ code: 'COPY_CONFLICT' });
  });

  test('a file replaces a symlink inside the destination instead of following it', async () => {
    const view = memoryView({ 'opt/a.txt': { type: 'symlink', linkTarget: '/etc/shadow' as never } });
    expect(await copied(root, 'COPY a.txt /opt/', { view })).toEqual(['opt/ 755 0:0', 'opt/a.txt 644 0:0 (3)']);
  });

  test('the times of files stay, those of what is made are given', async () => {
    const drafts = await (await planFromContext(root, 'COPY a.txt /new/x', { view: image })).drafts();
    expect(drafts.map((draft) => draft.mtimeSec)).toEqual([1_700_000_000, 1_500_000_000]);
  });

  test('existing directories come along with their own times', async () => {
    const drafts = await (await planFromContext(root, 'COPY a.txt /opt/x', { view: image })).drafts();
    expect(drafts.map((draft) => draft.mtimeSec)).toEqual([1_400_000_000, 1_500_000_000]);
  });

  test('a directory without files into one that exists changes nothing', async () => {
    expect(await copied(root, 'COPY --exclude=* empty /opt', { view: image })).toEqual([]);
  });

  test('the message of a misspelt name has the right one', async () => {
    await expect(planFromContext(root, 'COPY src/mian.c /x')).rejects.toMatchObject({
      hint: 'did you mean src/main.c?',
    });
  });

  test('what the ignore file hides is said to be hidden', async () => {
    await expect(planFromContext(root, 'COPY a.txt /x', { ignore: '*.txt' })).rejects.toMatchObject({
      code: 'COPY_NOT_FOUND',
      message: 'a.txt is not in the build context: excluded by .dockerignore',
    });
  });

  test('the ignore file applies below copied directories, and may take back', async () => {
    const ignore = 'src/lib\n!src/lib/util.h\n';
    expect(await copied(root, 'COPY src /s', { ignore })).toEqual([
      's/ 755 0:0',
      's/lib/ 755 0:0',
      's/lib/util.h 644 0:0 (1)',
      's/main.c 644 0:0 (9)',
    ]);
  });
});

describe('COPY of files of other kinds', () => {
  let odd: string;

  beforeAll(async () => {
    odd = makeTree({ 'd/file': 'f', 'w/.wh.gone': '' });
    execFileSync('mkfifo', ['-m', '600', join(odd, 'd/pipe')]);
    writeFileSync(Buffer.concat([Buffer.from(`${odd}/d/`), Buffer.from([0xff]), Buffer.from('\n')]), 'odd');
    const server = createServer().listen(join(odd, 'd/sock')).unref();
    await new Promise((resolve) => server.once('listening', resolve));
  });
  afterAll(() => removeTree(odd));

  test('pipes stay pipes, sockets become empty files, names need not be text', async () => {
    const drafts = await (await planFromContext(odd, 'COPY d /d')).drafts();
    expect(drafts.map((draft) => [draft.path, draft.type])).toEqual([
      ['d', 'dir'],
      ['d/file', 'file'],
      ['d/pipe', 'fifo'],
      ['d/sock', 'file'],
      ['d/\u00ff\n', 'file'],
    ]);
    expect(await (await planFromContext(odd, 'COPY d /d')).contentKey()).toHaveLength(64);
  });

  test.each([
    ['COPY w /w', 'COPY_RESERVED_NAME'],
    ['COPY d/file /.wh.etc', 'COPY_RESERVED_NAME'],
    ['COPY --parents d/file/./* /x/', 'COPY_NOT_FOUND'],
  ])('%s is refused: %s', async (line, code) => {
    await expect(planFromContext(odd, line)).rejects.toMatchObject({ code });
  });
});

describe('COPY of heredocs', () => {
  const heredoc = { inline: [{ name: 'hello.txt', content: 'hello\n' }] };

  test('the file has the destination as its name', async () => {
    expect(await copied(root, 'COPY /etc/motd', { view: image, vertex: heredoc })).toEqual([
      'etc/ 755 0:0',
      'etc/motd 644 0:0 (6)',
    ]);
  });

  test('in a directory the file is named after the delimiter', async () => {
    expect(await copied(root, 'COPY --chmod=600 /etc/', { view: image, vertex: heredoc })).toEqual([
      'etc/ 755 0:0',
      'etc/hello.txt 600 0:0 (6)',
    ]);
  });
});

describe('COPY --from', () => {
  const stage = memoryView({
    'out/bin': { text: 'elf', mode: 0o755, uid: 3, gid: 4, inode: 50 },
    'out/same': { text: 'elf', mode: 0o755, uid: 3, gid: 4, inode: 50 },
    'out/sub': { uid: 9, gid: 9, mode: 0o700 },
    'out/sub/cap': {
      text: 'c',
      xattrs: [{ name: 'security.capability', value: Buffer.from('01', 'hex') }],
    },
    current: { type: 'symlink', linkTarget: '/out' as never },
    'dev/null': { type: 'char', devMajor: 1, devMinor: 3, mode: 0o666 },
    'dev/gone': { type: 'char', devMajor: 0, devMinor: 0 },
  });

  test('owners, capabilities and hard links stay', async () => {
    const drafts = await (await planFromView(stage, 'COPY /out /app')).drafts();
    expect(show(drafts)).toEqual([
      'app/ 755 0:0',
      'app/bin 755 3:4 (3)',
      'app/same => app/bin',
      'app/sub/ 700 9:9',
      'app/sub/cap 644 0:0 (1)',
    ]);
    expect(drafts.at(-1)?.xattrs.map((xattr) => xattr.name)).toEqual(['security.capability']);
  });

  test('a symlink to the source directory is followed inside the stage', async () => {
    expect(show(await (await planFromView(stage, 'COPY current/bin /x')).drafts())).toEqual(['x 755 3:4 (3)']);
  });

  test('everything of the stage can be copied', async () => {
    const view = memoryView({ out: {}, 'out/sub': {} });
    expect(show(await (await planFromView(view, 'COPY / /all/')).drafts())).toEqual([
      'all/ 755 0:0',
      'all/out/ 755 0:0',
      'all/out/sub/ 755 0:0',
    ]);
  });

  test('a device that would hide a file in the layer is refused', async () => {
    await expect(planFromView(stage, 'COPY /dev /d')).rejects.toMatchObject({ code: 'COPY_UNSUPPORTED_FILE' });
  });

  test('another device is data like any other', async () => {
    expect(show(await (await planFromView(stage, 'COPY /dev/null /n')).drafts())).toEqual(['n char 666 0:0']);
  });
});
