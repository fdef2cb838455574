// Layers made to harm, through the command line: refused in words or confined, files of this machine untouched.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  archive,
  file,
  folder,
  hardlink,
  header,
  octal,
  padded,
  pax,
  record,
  sized,
  symlink,
} from '../store/raw-tar.js';
import { output, people } from '../support/tsbuild.js';

const [person] = people();
const { run, store } = person!;

describe('a decompression bomb', () => {
  let dir: string;
  beforeAll(() => {
    dir = person!.dir('bombs');
    const zeros = (command: string): void =>
      void execFileSync('sh', ['-c', `head -c 40M /dev/zero | ${command}`], { cwd: dir });
    zeros('gzip -c > layer.tar.gz');
    zeros('zstd -qc > layer.tar.zst');
    writeFileSync(join(dir, 'member'), archive(sized('f', '0', 40 << 20)).subarray(0, 512));
    zeros('cat member - | gzip -c > add.tar.gz');
    writeFileSync(join(dir, 'Buildfile'), 'FROM scratch\nADD add.tar.gz /\n');
    person!.own(dir);
  });
  const env = { TSBUILD_LAYER_MAX: '20mb' };
  const says = /a layer unpacks to more than the 20971520 bytes that are allowed\n/;
  const hint = 'help: if you trust where it comes from, allow more: TSBUILD_LAYER_MAX=2tb\n';

  for (const name of ['layer.tar.gz', 'layer.tar.zst']) {
    test(`that is imported as ${name} is stopped at $TSBUILD_LAYER_MAX`, async () => {
      const { code, stderr } = await run(['import', '-t', 'bomb:1', join(dir, name)], { env });
      expect(code).toBe(1);
      expect(stderr).toMatch(says);
      expect(stderr).toContain(hint);
      expect(readdirSync(join(store, 'tmp'))).toEqual([]);
    });
  }

  test('that ADD unpacks is stopped there too, and the line is named', async () => {
    const { code, stderr } = await run(['.'], { cwd: dir, env });
    expect(code).toBe(1);
    expect(stderr).toContain(
      'error[ADD_ARCHIVE_TOO_LARGE]: add.tar.gz: a layer unpacks to more than the 20971520 bytes',
    );
    expect(stderr).toContain(' --> Buildfile:2:');
    expect(stderr).toContain(hint);
  });

  test('that is loaded as an archive is stopped there too', async () => {
    const { code, stderr } = await run(['load', '-i', join(dir, 'layer.tar.gz')], { env });
    expect(code).toBe(1);
    expect(stderr).toMatch(says);
  });

  test('limit that is no size is refused', async () => {
    const { code, stderr } = await run(['images'], { env: { TSBUILD_LAYER_MAX: 'big' } });
    expect(code).toBe(2);
    expect(stderr).toContain('TSBUILD_LAYER_MAX big is no size');
  });
});

const platform = process.arch === 'arm64' ? 'linux/arm64' : 'linux/amd64';

/** Where the files lie that no layer may reach; absolute, and as seen from a layer's tree in the store. */
let canaries: string;
beforeAll(() => {
  canaries = person!.dir('canaries');
  mkdirSync(join(canaries, 'dir'));
  writeFileSync(join(canaries, 'dir/canary'), 'alive\n');
  person!.own(canaries);
});

const up = '../'.repeat(20);
const refused: readonly (readonly [what: string, code: string, tar: () => Buffer])[] = [
  ['../', 'TAR_PATH_ESCAPES', () => archive(file(`${up}${canaries}/dir/x`, 'evil'))],
  ['a/../../b', 'TAR_PATH_ESCAPES', () => archive(file('a/../../b', 'evil'))],
  ['a sibling with the same beginning', 'TAR_PATH_ESCAPES', () => archive(file('../root-evil/x', 'evil'))],
  ['a hardlink to ../', 'TAR_PATH_ESCAPES', () => archive(hardlink('l', `${up}etc/passwd`))],
  ['a hardlink to a file of this machine', 'TAR_HARDLINK_TARGET', () => archive(hardlink('l', '/etc/passwd'))],
  ['the root as a symlink', 'TAR_ROOT_INVALID', () => archive(symlink('.', canaries), file('dir/canary', 'evil'))],
  ['a NUL in a name', 'TAR_PATH_INVALID', () => archive(pax(record('path', 'a\0../../x')), file('f', 'evil'))],
  [
    'the device of a whiteout',
    'TAR_WHITEOUT_DEVICE',
    () => archive(header('etc', '3', { 329: '0000000\0', 337: '0000000\0' })),
  ],
  ['.wh. alone', 'TAR_WHITEOUT_INVALID', () => archive(file('.wh.'))],
  ['.wh...', 'TAR_WHITEOUT_INVALID', () => archive(file('d/.wh...'))],
  ['an extended header of 1 GiB', 'TAR_HEADER_INVALID', () => archive(sized('p', 'x', 2 ** 30))],
  ['a negative size', 'TAR_HEADER_INVALID', () => archive(header('f', '0', { 124: '\xff'.repeat(12) }))],
  ['a size beyond the archive', 'TAR_TRUNCATED', () => archive(sized('f', '0', 2 ** 32))],
  [
    'a sparse map of 65,537 pieces',
    'TAR_SPARSE_INVALID',
    () =>
      archive(
        pax(
          record('GNU.sparse.size', '9999999'),
          record('GNU.sparse.map', Array.from({ length: 65537 }, (_, i) => `${i * 2},1`).join(',')),
        ),
        file('f'),
      ),
  ],
  ['a member of several volumes', 'TAR_TYPE_UNSUPPORTED', () => archive(sized('f', 'M', 4), padded('text'))],
  ['a dump directory', 'TAR_TYPE_UNSUPPORTED', () => archive(sized('d', 'D', 4), padded('Yf\0\0'))],
];

/** Links and names that would lead out if anyone followed them; all of it is the layer's own. */
const confined: readonly (readonly [what: string, tar: () => Buffer])[] = [
  ['a symlink and a file below its name', () => archive(symlink('d', canaries), file('d/dir/canary', 'evil'))],
  [
    'a chain of symlinks and a file below it',
    () => archive(symlink('a', '.'), symlink('a/b', up), file(`a/b${join(canaries, 'dir/canary')}`, 'evil')),
  ],
  [
    'a hardlink of a symlink and a file through it',
    () => archive(symlink('s', join(canaries, 'dir/canary')), hardlink('l', 's'), file('l', 'evil')),
  ],
  [
    'a directory, a symlink of its name, and a file below it',
    () => archive(folder('d'), symlink('d', join(canaries, 'dir')), file('d/canary', 'evil')),
  ],
  ['an absolute name', () => archive(file(join(canaries, 'dir/canary'), 'evil'))],
  ['a whiteout below a symlink', () => archive(symlink('d', join(canaries, 'dir')), file('d/.wh.canary'))],
  ['an opaque directory that is a symlink', () => archive(symlink('d', join(canaries, 'dir')), file('d/.wh..wh..opq'))],
  [
    'attributes that steer an overlay',
    () =>
      archive(
        pax(
          record('SCHILY.xattr.trusted.overlay.redirect', canaries),
          record('SCHILY.xattr.user.overlay.redirect', canaries),
          record('SCHILY.xattr.trusted.overlay.metacopy', ''),
        ),
        folder('d'),
        file('d/f', 'x'),
      ),
  ],
  ['a time far off', () => archive(file('f', 'x', { 136: octal(0o77777777777) }))],
];

for (const each of people()) {
  describe(`a hostile layer of ${each.name}`, () => {
    for (const [what, code, tar] of refused) {
      test(`with ${what} is refused as ${code}`, async () => {
        const path = join(each.dir('hostile'), 'layer.tar');
        writeFileSync(path, tar());
        const result = await each.run(['import', '-t', 'evil:1', each.own(path)]);
        expect(result.code).toBe(1);
        expect(result.stderr).toMatch(new RegExp(`^error\\[${code}\\]: .*\\nhelp: .*\\n$`, 'm'));
        expect(readdirSync(join(each.store, 'tmp'))).toEqual([]);
      });
    }

    for (const [what, tar] of confined) {
      test(`with ${what} reaches nothing of this machine, whatever form it is mounted in`, async () => {
        const dir = each.dir('hostile');
        const path = join(dir, 'layer.tar');
        writeFileSync(path, tar());
        writeFileSync(
          join(dir, 'Buildfile'),
          'FROM host://sh,coreutils\nCOPY --from=evil:1 / /evil/\nRUN ls -lR /evil > /seen\n',
        );
        output(await each.run(['import', '--platform', platform, '-t', 'evil:1', each.own(path)]));
        const before = statSync(join(canaries, 'dir'));
        for (const form of each.name === 'root' ? ['index', 'tree'] : ['tree']) {
          output(await each.run(['--no-cache', '-t', 'took:1', each.own(dir)], { env: { TSBUILD_FORM: form } }));
        }
        expect(readFileSync(join(canaries, 'dir/canary'), 'utf8')).toBe('alive\n');
        expect(readdirSync(join(canaries, 'dir'))).toEqual(['canary']);
        expect(statSync(join(canaries, 'dir')).mtimeMs).toBe(before.mtimeMs);
      });
    }
  });
}
