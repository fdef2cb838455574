import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { assembleTar, rawPath } from '#native';
import { type DraftEntry, encodeTar } from '#store';
import { copied, makeTree, planFromContext, removeTemps, removeTree } from './copy-support.js';
import { memoryView } from './memory-view.js';

let root: string;

const member = (path: string, more: Partial<DraftEntry> = {}): DraftEntry => ({
  path: rawPath(path),
  type: 'file',
  mode: 0o644,
  uid: 12,
  gid: 34,
  size: 0,
  mtimeSec: 1_300_000_000,
  mtimeNsec: 0,
  linkTarget: rawPath(''),
  devMajor: 0,
  devMinor: 0,
  xattrs: [],
  ...more,
});
const text = (path: string, content: string, more: Partial<DraftEntry> = {}): DraftEntry =>
  member(path, { size: content.length, content: { bytes: Buffer.from(content) }, ...more });
const dir = (path: string, mode = 0o755): DraftEntry => member(path, { type: 'dir', mode });
const link = (path: string, target: string): DraftEntry =>
  member(path, { type: 'symlink', mode: 0o777, linkTarget: rawPath(target) });

/** Members in the given order, which `encodeTar` would sort. */
async function tar(...members: DraftEntry[]): Promise<Buffer> {
  const bodies: Buffer[] = [];
  for (const one of members) {
    const { parts } = encodeTar([one]);
    const path = join(root, 'scratch');
    execFileSync('rm', ['-f', path]);
    await assembleTar({ parts, output: path, heads: false, fileDigests: false });
    bodies.push(readFileSync(path).subarray(0, -1024));
  }
  execFileSync('rm', ['-f', join(root, 'scratch')]);
  return Buffer.concat([...bodies, Buffer.alloc(1024)]);
}

/** A ustar header by hand, for what the encoder refuses to write. */
function header(name: string, type: string, linkName = ''): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0);
  block.write('0000644\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  block.write('00000000000\0', 124);
  block.write('00000000000\0', 136);
  block.write('        ', 148);
  block.write(type, 156);
  block.write(linkName, 157);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function put(name: string, bytes: Buffer): void {
  mkdirSync(dirname(join(root, name)), { recursive: true });
  writeFileSync(join(root, name), bytes);
}

const contents = ['r/ 755 0:0', 'r/bin/ 750 12:34', 'r/bin/tool 755 12:34 (4)', 'r/etc -> bin'];

beforeAll(async () => {
  root = makeTree({ 'plain.txt': 'text', 'dir/inner': 'x' });
  const bytes = await tar(dir('bin', 0o750), text('bin/tool', 'tool', { mode: 0o755 }), link('etc', 'bin'));
  put('a.tar', bytes);
  put('named-otherwise', bytes);
  put('text.gz', execFileSync('gzip', ['-c'], { input: 'only text' }));
  for (const tool of ['gzip', 'bzip2', 'xz', 'zstd']) put(`a.${tool}`, execFileSync(tool, ['-c'], { input: bytes }));
  put('escape.tar', Buffer.concat([header('../../evil', '0'), Buffer.alloc(1024)]));
  put('whiteout.tar', Buffer.concat([header('etc/.wh.passwd', '0'), Buffer.alloc(1024)]));
  put('lost-link.tar', Buffer.concat([header('x', '1', 'nowhere'), Buffer.alloc(1024)]));
  put('hard.tar', await tar(text('one', 'body'), member('two', { type: 'hardlink', linkTarget: rawPath('one') })));
  put('below.tar', await tar(member('two', { type: 'hardlink', linkTarget: rawPath('old') })));
  put(
    'links.tar',
    await tar(link('out', '/outside'), text('out/file', 'f'), link('climb', '../../..'), text('climb/g', 'g')),
  );
  put('replace.tar', await tar(text('opt', 'now a file'), dir('opt'), text('opt/new', 'n')));
  put('over.tar', await tar(text('etc/passwd', 'p'), dir('lib'), text('lib/so', 's')));
});

afterEach(removeTemps);
afterAll(() => removeTree(root));

describe('ADD of a local archive', () => {
  test.each(['a.tar', 'named-otherwise', 'a.gzip', 'a.bzip2', 'a.xz', 'a.zstd'])(
    '%s is unpacked by its content, owners and modes kept',
    async (name) => {
      expect(await copied(root, `ADD ${name} /r`)).toEqual(contents);
    },
  );

  test('what is no archive is copied', async () => {
    expect(await copied(root, 'ADD plain.txt text.gz /r/')).toEqual([
      'r/ 755 0:0',
      'r/plain.txt 644 0:0 (4)',
      expect.stringMatching(/^r\/text.gz 644/),
    ]);
  });

  test('directories are copied as by COPY', async () => {
    expect(await copied(root, 'ADD dir /r')).toEqual(['r/ 755 0:0', 'r/inner 644 0:0 (1)']);
  });

  test('COPY leaves archives alone', async () => {
    expect(await copied(root, 'COPY a.tar /r')).toEqual([expect.stringMatching(/^r 644/)]);
  });

  test('--chown goes to everything in it', async () => {
    expect(await copied(root, 'ADD --chown=5:6 a.tar /r')).toEqual([
      'r/ 755 5:6',
      'r/bin/ 750 5:6',
      'r/bin/tool 755 5:6 (4)',
      'r/etc -> bin',
    ]);
  });

  test('its contents can be read from where they lie', async () => {
    for (const name of ['a.tar', 'a.xz']) {
      const drafts = await (await planFromContext(root, `ADD ${name} /r`)).drafts();
      const { parts } = encodeTar(drafts);
      const { fileDigests } = await assembleTar({ parts, output: null, heads: false, fileDigests: true });
      const sum = execFileSync('sha256sum', { input: 'tool' }).toString().slice(0, 64);
      expect(fileDigests.filter((digest) => digest !== '')).toEqual([sum]);
    }
  });

  test('hard links stay', async () => {
    expect(await copied(root, 'ADD hard.tar /r')).toEqual(['r/ 755 0:0', 'r/one 644 12:34 (4)', 'r/two => r/one']);
  });

  test('a hard link to a file of the image takes that file along', async () => {
    const view = memoryView({ 'r/old': { text: 'older', uid: 9 } });
    expect(await copied(root, 'ADD below.tar /r', { view })).toEqual([
      'r/ 755 0:0',
      'r/old 644 9:0 (5)',
      'r/two => r/old',
    ]);
  });

  test('symlinks in it lead nowhere but below the destination', async () => {
    expect(await copied(root, 'ADD links.tar /r')).toEqual([
      'r/ 755 0:0',
      'r/climb -> ../../..',
      'r/g 644 12:34 (1)',
      'r/out -> /outside',
      'r/outside/ 755 0:0',
      'r/outside/file 644 12:34 (1)',
    ]);
  });

  test('directories take the place of symlinks of the image, and files replace files', async () => {
    const view = memoryView({
      'usr/lib': { uid: 3 },
      lib: { type: 'symlink', linkTarget: 'usr/lib' as never },
      'etc/passwd': { text: 'old' },
    });
    expect(await copied(root, 'ADD over.tar /', { view })).toEqual([
      'etc/ 755 0:0',
      'etc/passwd 644 12:34 (1)',
      'lib/ 755 12:34',
      'lib/so 644 12:34 (1)',
    ]);
  });

  test('a directory that gave way to a file and came back has nothing of the image left', async () => {
    const view = memoryView({ 'opt/old': { text: 'o' } });
    expect(await copied(root, 'ADD replace.tar /', { view })).toEqual([
      'opt/ 755 12:34',
      'opt/.wh..wh..opq 0 0:0 (0)',
      'opt/new 644 12:34 (1)',
    ]);
  });

  test('sparse members become whole files', async () => {
    const fd = openSync(join(root, 'holes'), 'w');
    writeSync(fd, 'head', 0);
    ftruncateSync(fd, 3_000_000);
    writeSync(fd, 'tail', 2_999_996);
    closeSync(fd);
    execFileSync('tar', ['--sparse', '--format=pax', '-cf', 'sparse.tar', 'holes'], { cwd: root });
    const drafts = await (await planFromContext(root, 'ADD sparse.tar /r/')).drafts();
    const { fileDigests } = await assembleTar({
      parts: encodeTar(drafts).parts,
      output: null,
      heads: false,
      fileDigests: true,
    });
    const sum = execFileSync('sha256sum', [join(root, 'holes')])
      .toString()
      .slice(0, 64);
    expect(fileDigests).toContain(sum);
  });

  test.each([
    ['escape.tar', 'ADD_ARCHIVE_INVALID'],
    ['whiteout.tar', 'COPY_RESERVED_NAME'],
    ['lost-link.tar', 'ADD_ARCHIVE_INVALID'],
  ])('%s is refused: %s', async (name, code) => {
    const plan = await planFromContext(root, `ADD ${name} /r`);
    await expect(plan.drafts()).rejects.toMatchObject({ code });
  });

  test('a damaged archive is refused, with the place', async () => {
    put('damaged.gz', readFileSync(join(root, 'a.gzip')));
    truncateSync(join(root, 'damaged.gz'), readFileSync(join(root, 'a.gzip')).length - 9);
    const plan = planFromContext(root, 'ADD damaged.gz /r').then((planned) => planned.drafts());
    await expect(plan).rejects.toMatchObject({ code: 'ADD_ARCHIVE_INVALID', at: { start: 4, end: 14 } });
  });

  test('the key comes from the archive, which is not unpacked for it', async () => {
    const key = async (line: string): Promise<string> => (await planFromContext(root, line)).contentKey();
    expect(await key('ADD a.xz /r')).toBe(await key('ADD a.xz /r'));
    expect(await key('ADD a.xz /r')).not.toBe(await key('ADD a.gzip /r'));
    expect(await key('ADD a.xz /r')).not.toBe(await key('ADD a.xz /q'));
    expect(await key('ADD a.xz /r')).not.toBe(await key('ADD --chown=1:1 a.xz /r'));
  });

  test('archives and files in one instruction land in order', async () => {
    put('later/tool', Buffer.from('later'));
    expect(await copied(root, 'ADD a.tar later/tool /r/bin/')).toEqual([
      'r/ 755 0:0',
      'r/bin/ 755 0:0',
      'r/bin/bin/ 750 12:34',
      'r/bin/bin/tool 755 12:34 (4)',
      'r/bin/etc -> bin',
      'r/bin/tool 644 0:0 (5)',
    ]);
  });
});
