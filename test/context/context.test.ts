import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { displayPath, type FileStat, type RawPath, rawPath } from '#native';
import { ignoreMatcher } from '../../src/base/index.js';
import { type Context, findIgnoreFile, openContext } from '../../src/context/index.js';

let root: string;
let cacheFile: string;

beforeEach(() => {
  const dir = mkdtempSync(join(tmpdir(), 'context-'));
  root = join(dir, 'context');
  cacheFile = join(dir, 'cache', 'stat');
  mkdirSync(root);
});

afterEach(() => {
  // What a test left running may still be renaming something.
  rmSync(dirname(root), { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
});

function write(path: string, text = 'x'): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

const open = (ignore?: string): Promise<Context> =>
  openContext(root, { ignore: ignore === undefined ? null : ignoreMatcher(ignore), statCacheFile: cacheFile });

async function paths(context: Context, dir = ''): Promise<string[]> {
  return (await context.walk(rawPath(dir))).map((file) => displayPath(file.path));
}

/** Waits until the clock has left the tick in which files were written: before that, no digest is trusted. */
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));

describe('what a context holds', () => {
  test('everything below a directory, parents first, in byte order', async () => {
    for (const path of ['b', 'a/x', 'a-b', 'a/c/d', 'é']) write(path);
    expect(await paths(await open())).toEqual(['a', 'a-b', 'a/c', 'a/c/d', 'a/x', 'b', 'é']);
    expect(await paths(await open(), 'a')).toEqual(['a/c', 'a/c/d', 'a/x']);
  });

  const ignoreRows: readonly [rules: string, expected: readonly string[]][] = [
    ['node_modules', ['app', 'app/index.ts', 'app/node_modules', 'app/node_modules/y', 'readme.md']],
    ['**/node_modules', ['app', 'app/index.ts', 'readme.md']],
    ['*', []],
    ['*\n!app/index.ts', ['app', 'app/index.ts']],
    [
      'app\n!app/node_modules/y',
      ['app', 'app/node_modules', 'app/node_modules/y', 'node_modules', 'node_modules/x', 'readme.md'],
    ],
    [
      '**/*.ts\n# comment\n/readme.md\n',
      ['app', 'app/node_modules', 'app/node_modules/y', 'node_modules', 'node_modules/x'],
    ],
    [
      '!../\n../readme.md',
      ['app', 'app/index.ts', 'app/node_modules', 'app/node_modules/y', 'node_modules', 'node_modules/x', 'readme.md'],
    ],
  ];
  test.each(ignoreRows)('the rules %j leave %j', async (rules, expected) => {
    for (const path of ['readme.md', 'app/index.ts', 'app/node_modules/y', 'node_modules/x']) write(path);
    expect(await paths(await open(rules))).toEqual(expected);
  });

  test('large contexts give the same, whichever way they are walked', async () => {
    for (let i = 0; i < 40; i++) for (let j = 0; j < 50; j++) write(`d${i}/e${i % 3}/f/g${j % 5}/${j}`);
    write('d1/node_modules/x');
    write('d2/e2/f/node_modules/deep/x');
    write('d3/e0/f/g1/node_modules/deeper/x');
    const rules = '**/node_modules\nd7/*\n!d7/e1/f/g0/5';
    const kept = (all: string[]): string[] =>
      all.filter(
        (path) => !path.includes('node_modules') && (!path.startsWith('d7/') || 'd7/e1/f/g0/5'.startsWith(path)),
      );
    const everything = execFileSync('find', ['.', '-mindepth', '1'], { cwd: root, encoding: 'utf8' });
    const expected = kept(
      everything
        .trim()
        .split('\n')
        .map((path) => path.slice(2)),
    ).sort();
    const found = await paths(await open(rules));
    expect(found).toEqual(expected);
    for (const path of found.slice(0, 50)) expect((await open(rules)).lookup(rawPath(path))).not.toBeNull();
  });

  test('directories that are walked side by side come in byte order', async () => {
    for (let i = 0; i < 2000; i++) write(`wide/d${i % 40}/${i}${i % 7 === 0 ? '/in' : ''}`);
    write('wide.txt');
    write('wide/d1.txt');
    const found = (await (await open()).walk('' as RawPath)).map((file) => file.path);
    const there = execFileSync('find', ['.', '-mindepth', '1', '-printf', '%P\\0'], { cwd: root, encoding: 'latin1' });
    expect(found).toEqual(there.split('\0').slice(0, -1).sort());
  });

  test('both ways of looking say the same of a file', async () => {
    write('file', 'text');
    mkdirSync(join(root, 'dir'));
    symlinkSync('../target', join(root, 'dir', 'link'));
    chmodSync(join(root, 'file'), 0o4751);
    linkSync(join(root, 'file'), join(root, 'dir', 'hard'));
    execFileSync('mkfifo', [join(root, 'pipe')]);
    utimesSync(join(root, 'file'), 1e9, 1234567890.123456);
    for (let i = 0; i < 1600; i++) write(`many/${i}`);
    const large = await (await open()).walk('' as RawPath);
    const context = await open();
    for (const file of large.filter((one) => !one.path.startsWith('many/'))) {
      expect(context.lookup(file.path)).toEqual(file);
    }
  });

  test('names that are no text are files like others', async () => {
    const bytes = Buffer.concat([Buffer.from(`${root}/bad-`), Buffer.from([0xff, 0xfe]), Buffer.from('\n')]);
    mkdirSync(bytes);
    writeFileSync(Buffer.concat([bytes, Buffer.from('/in')]), 'inside');
    const context = await open('nothing');
    const path = 'bad-\u00ff\u00fe\n' as RawPath;
    expect((await context.walk('' as RawPath)).map((file) => file.path)).toEqual([path, `${path}/in`]);
    expect(context.lookup(`${path}/in` as RawPath)).toMatchObject({ type: 'file', size: 6 });
    expect(await context.digests([context.lookup(`${path}/in` as RawPath)!])).toEqual([
      execFileSync('sha256sum', { input: 'inside' }).toString().slice(0, 64),
    ]);
  });

  test('a symlink is never walked through', async () => {
    write('real/file');
    symlinkSync('real', join(root, 'link'));
    symlinkSync('/etc', join(root, 'etc'));
    const context = await open();
    expect(context.lookup(rawPath('link/file'))).toBeNull();
    expect(context.lookup(rawPath('etc/passwd'))).toBeNull();
    expect(context.names(rawPath('etc'))).toEqual([]);
    await expect(context.walk(rawPath('etc'))).rejects.toMatchObject({ code: 'CONTEXT_CHANGED' });
  });

  test('pipes, devices and sockets block nobody', async () => {
    execFileSync('mkfifo', [join(root, 'pipe')]);
    const server = createServer().listen(join(root, 'sock'));
    await new Promise((resolve) => server.once('listening', resolve));
    const context = await open();
    expect((await context.walk('' as RawPath)).map((file) => file.type)).toEqual(['fifo', 'socket']);
    expect(() => context.open(context.lookup(rawPath('pipe'))!)).toThrow(
      expect.objectContaining({ code: 'CONTEXT_CHANGED' }),
    );
    server.close();
  });

  test('a file that a link replaced is not opened', async () => {
    write('file');
    const context = await open();
    const file = context.lookup(rawPath('file'))!;
    rmSync(join(root, 'file'));
    symlinkSync('/etc/passwd', join(root, 'file'));
    expect(() => context.open(file)).toThrow(expect.objectContaining({ code: 'CONTEXT_CHANGED' }));
  });

  test('a directory that becomes a link and back, again and again, never shows files of the host', async () => {
    const outside = mkdtempSync(join(tmpdir(), 'context-outside-'));
    writeFileSync(join(outside, 'canary'), 'secret');
    write('dir/inside');
    const swap = `while :; do mv dir d2 && ln -s ${outside} dir; rm dir; mv d2 dir; done`;
    const child = execFileSync('/bin/sh', ['-c', `cd ${root} && (${swap}) >/dev/null 2>&1 & echo $!`], {
      encoding: 'utf8',
    });
    try {
      for (let i = 0; i < 500; i++) {
        const context = await open('nothing');
        const seen = [context.lookup(rawPath('dir/canary')), ...(await context.walk(rawPath('dir')).catch(() => []))];
        expect(seen.filter((file) => file?.path.endsWith('canary'))).toEqual([]);
      }
    } finally {
      process.kill(Number(child.trim()), 'SIGKILL');
      rmSync(outside, { recursive: true, force: true });
    }
  });

  test.each([
    ['missing', 'CONTEXT_NOT_FOUND'],
    ['file', 'CONTEXT_NOT_FOUND'],
  ])('a context that is %s is refused', async (name, code) => {
    write('file');
    await expect(openContext(join(root, name), { ignore: null, statCacheFile: null })).rejects.toMatchObject({ code });
  });
});

describe('digests', () => {
  const sum = (text: string): string => execFileSync('sha256sum', { input: text }).toString().slice(0, 64);
  const file = (context: Context, path: string): FileStat => context.lookup(rawPath(path))!;
  const filesOf = async (context: Context): Promise<FileStat[]> =>
    (await context.walk('' as RawPath)).filter(({ type }) => type === 'file');

  test('of unchanged files are known to the next build', async () => {
    write('a', 'one');
    write('b', 'two');
    await settle();
    const first = await open();
    expect(await first.digests([file(first, 'a'), file(first, 'b')])).toEqual([sum('one'), sum('two')]);
    first.save();
    const second = await open();
    expect(second.knownDigest(file(second, 'a'))).toBe(sum('one'));
    expect(second.knownDigest(file(second, 'b'))).toBe(sum('two'));
  });

  test('that a commit computed are known to the next build', async () => {
    write('a', 'one');
    await settle();
    const first = await open();
    first.record(file(first, 'a'), sum('one'));
    first.save();
    const second = await open();
    expect(second.knownDigest(file(second, 'a'))).toBe(sum('one'));
  });

  const changes: readonly [string, () => void][] = [
    [
      'other content of the same size and the same times',
      () => {
        writeFileSync(join(root, 'a'), 'eno');
        utimesSync(join(root, 'a'), 1e9, 1e9);
      },
    ],
    [
      'another file of the same size and the same times',
      () => {
        write('new', 'eno');
        utimesSync(join(root, 'new'), 1e9, 1e9);
        renameSync(join(root, 'new'), join(root, 'a'));
      },
    ],
    ['a longer file', () => writeFileSync(join(root, 'a'), 'one more')],
  ];
  test.each(changes)('are not trusted after %s', async (_what, change) => {
    write('a', 'one');
    utimesSync(join(root, 'a'), 1e9, 1e9);
    await settle();
    const first = await open();
    await first.digests([file(first, 'a')]);
    first.save();
    change();
    const second = await open();
    expect(second.knownDigest(file(second, 'a'))).toBeNull();
    expect(await second.digests([file(second, 'a')])).toEqual([sum(readFileSync(join(root, 'a'), 'utf8'))]);
  });

  test('of a file written in the same moment are not kept', async () => {
    const first = await open();
    write('a', 'one');
    await first.digests([file(first, 'a')]);
    first.save();
    const second = await open();
    expect(second.knownDigest(file(second, 'a'))).toBeNull();
  });

  test('are right however soon a file changes again, with all that its state says of it', async () => {
    // Kernels since 6.13 tell such changes apart themselves; others don't, and the file must not be kept.
    write('a', '000');
    for (let i = 1; i <= 100; i++) {
      const text = String(i).padStart(3, '0');
      const before = await open();
      await before.digests([file(before, 'a')]);
      before.save();
      writeFileSync(join(root, 'a'), text); // in place: the inode and the size stay, and within a tick the times do
      const after = await open();
      expect(await after.digests([file(after, 'a')])).toEqual([sum(text)]);
      after.save();
    }
  });

  test('are found in whatever order and number files are asked about', async () => {
    const names = Array.from({ length: 300 }, (_, i) => `d${i % 7}/${i}`);
    for (const name of names) write(name, name);
    await settle();
    const first = await open();
    await first.digests(await filesOf(first));
    first.save();
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray(names), async (asked) => {
        const context = await open();
        const known = asked.map((name) => context.knownDigest(file(context, name)));
        expect(known).toEqual(asked.map((name) => createHash('sha256').update(name).digest('hex')));
      }),
      { numRuns: 20 },
    );
  });

  test('of files that are gone are forgotten, those of other directories are not', async () => {
    write('d/a', 'one');
    write('e/b', 'two');
    await settle();
    const first = await open();
    await first.digests([file(first, 'd/a'), file(first, 'e/b')]);
    first.save();
    const size = readFileSync(cacheFile).length;
    renameSync(join(root, 'd/a'), join(root, 'd/b'));
    await settle();
    const second = await open();
    await second.walk(rawPath('d'));
    await second.digests([file(second, 'd/b')]);
    second.save();
    expect(readFileSync(cacheFile).length).toBe(size);
    const third = await open();
    expect(third.knownDigest(file(third, 'e/b'))).toBe(sum('two'));
  });

  test('a damaged cache is an empty one', async () => {
    write('a', 'one');
    await settle();
    const first = await open();
    await first.digests([file(first, 'a')]);
    first.save();
    const good = readFileSync(cacheFile);
    for (const bad of [
      good.subarray(0, 50),
      Buffer.alloc(good.length),
      Buffer.alloc(0),
      Buffer.concat([good.subarray(0, -1), Buffer.from('?')]),
    ]) {
      writeFileSync(cacheFile, bad);
      const context = await open();
      expect(context.knownDigest(file(context, 'a'))).toBeNull();
    }
  });
});

describe('the ignore file', () => {
  test('beside the Buildfile wins, even when it is empty', () => {
    write('.dockerignore', 'a');
    write('docker/App.Buildfile', 'FROM scratch');
    expect(findIgnoreFile(root, join(root, 'docker/App.Buildfile'))?.name).toBe('.dockerignore');
    write('docker/App.Buildfile.dockerignore', '');
    const own = findIgnoreFile(root, join(root, 'docker/App.Buildfile'));
    expect(own?.name).toBe('App.Buildfile.dockerignore');
    expect(own?.matcher.ignores('a')).toBe(false);
  });

  test('of podman counts where there is no other', () => {
    expect(findIgnoreFile(root, null)).toBeNull();
    write('.containerignore', 'b');
    expect(findIgnoreFile(root, null)?.matcher.ignores('b')).toBe(true);
    write('.dockerignore', 'a');
    expect(findIgnoreFile(root, null)?.matcher.ignores('b')).toBe(false);
  });

  test('that is a directory is an error that says so', () => {
    mkdirSync(join(root, '.dockerignore'));
    expect(() => findIgnoreFile(root, null)).toThrow(expect.objectContaining({ code: 'CONTEXT_UNREADABLE' }));
  });
});
