// Layer tars as tools write them: kept byte for byte, and read the same by every form of ours and by umoci.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as nodeTar from 'tar';
import tarStream from 'tar-stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Host, openHost } from '#native';
import { importLayer } from '#store';
import { installed } from '../support/tsbuild.js';
import { bytesOf, openTemp, tempDir } from './content-samples.js';
import { type KernelTree, mountObstacle, removeKernelTrees, withoutNotes } from './kernel-tree.js';
import { gnuTarTree, layerForms, umociTree, withoutLinks } from './layer-readers.js';

const obstacle = mountObstacle() ?? (installed('umoci') ? null : 'no umoci');

/** Every kind of file that the oldest format knows; then what later ones know; then names and sizes only the newest do. */
const plainScript = `set -eu
mkdir -p a/b/c empty; printf text > a/file; : > a/none; head -c 70000 /dev/urandom > a/b/large
ln a/file a/b/hard; ln a/file a/b/c/hard2; ln -s file a/soft; ln -s /no/where a/dangling; ln -s ../../.. a/b/up
chmod 6755 a/file; chmod 1777 empty; chmod 2700 a/b/c; chmod 0 a/none; chown 12:34 a/none; chown -h 5:6 a/soft
`;
const specialScript = `mkfifo -m 620 pipe; mknod -m 666 null c 1 3; mknod disk b 7 300; mknod wide b 259 4095; ln null null2
`;
const timesScript = "find . -depth -exec touch -h -d '@1234567890' {} +\n";
const longScript = `d=$(printf '%0120d' 2); mkdir -p "$d/$d/$d"; echo deep > "$d/$d/$d/$(printf '%0255d' 3)"
ln -s "$(printf '%0300d' 7)" long-link; ln "$d/$d/$d/$(printf '%0255d' 3)" long-hard
touch -- "$(printf 'latin1-\\344\\366\\374')" "$(printf '\\377\\001')" 'new
line' 'back\\slash' ' ' '-rf' '*'
chown 3000000:4000000 long-hard; touch -d '1965-04-03 02:01:00' pipe; touch -h -d '2200-01-01' long-link
`;
const sparseScript = `truncate -s 5M holes; printf data | dd of=holes bs=1 seek=3000001 conv=notrunc status=none
truncate -s 1M all-hole; truncate -s 20M many; i=0; while [ $i -lt 60 ]; do
printf "data $i" | dd of=many bs=4096 seek=$((i * 80)) conv=notrunc status=none; i=$((i + 1)); done
`;
const xattrScript = `setfattr -n user.text -v value a/file; setfattr -n user.empty a/b; setfattr -n user.bin -v 0x00ff0a3d25 a/none
setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 a/b/large
`;

/** Whose reading of the tar is right; umoci knows neither GNU's own types, nor global headers, nor empty attributes. */
type Oracle = (tar: string, dir: string) => KernelTree;

interface Writer {
  readonly name: string;
  readonly scripts: readonly string[];
  /** Writes `tar` from the directory it runs in. */
  readonly command: string;
  readonly needs: string;
  readonly oracle?: Oracle;
}

const gnu = 'tar --numeric-owner --sort=name';
const bsd = 'bsdtar --numeric-owner';
const python = (format: string): string =>
  `python3 -c 'import sys,tarfile; t=tarfile.open(sys.argv[1],"w",format=tarfile.${format}); t.add(".")' "$tar"`;

const all = [plainScript, specialScript, longScript];
const writers: readonly Writer[] = [
  { name: 'GNU tar, v7', scripts: [plainScript], command: `${gnu} --format=v7 -cf "$tar" .`, needs: 'tar' },
  { name: 'GNU tar, oldgnu', scripts: all, command: `${gnu} --format=oldgnu -cf "$tar" .`, needs: 'tar' },
  {
    name: 'GNU tar, ustar',
    scripts: [plainScript, specialScript],
    command: `${gnu} --format=ustar -cf "$tar" .`,
    needs: 'tar',
  },
  {
    name: 'GNU tar, gnu',
    scripts: all,
    command: `${gnu} --format=gnu --label=volume -cf "$tar" .`,
    needs: 'tar',
    oracle: gnuTarTree,
  },
  {
    name: 'GNU tar, pax',
    scripts: [...all, xattrScript],
    command: `${gnu} --format=posix --label=volume --xattrs --xattrs-include='*' -cf "$tar" .`,
    needs: 'tar',
    oracle: gnuTarTree,
  },
  {
    name: 'GNU tar, gnu sparse',
    scripts: [...all, sparseScript],
    command: `${gnu} --format=gnu -Scf "$tar" .`,
    needs: 'tar',
    oracle: gnuTarTree,
  },
  ...['0.0', '0.1', '1.0'].map((version) => ({
    name: `GNU tar, pax sparse ${version}`,
    scripts: [...all, sparseScript],
    command: `${gnu} --format=posix --sparse-version=${version} -Scf "$tar" .`,
    needs: 'tar',
  })),
  { name: 'bsdtar, v7', scripts: [plainScript], command: `${bsd} --format=v7 -cf "$tar" .`, needs: 'bsdtar' },
  {
    name: 'bsdtar, ustar',
    scripts: [plainScript, specialScript],
    command: `${bsd} --format=ustar -cf "$tar" .`,
    needs: 'bsdtar',
  },
  { name: 'bsdtar, gnutar', scripts: all, command: `${bsd} --format=gnutar -cf "$tar" .`, needs: 'bsdtar' },
  {
    name: 'bsdtar, pax',
    scripts: [...all, xattrScript, sparseScript],
    command: `${bsd} --format=pax --xattrs -cf "$tar" .`,
    needs: 'bsdtar',
    oracle: gnuTarTree,
  },
  { name: 'Python, ustar', scripts: [plainScript, specialScript], command: python('USTAR_FORMAT'), needs: 'python3' },
  { name: 'Python, gnu', scripts: all, command: python('GNU_FORMAT'), needs: 'python3' },
  { name: 'Python, pax', scripts: all, command: python('PAX_FORMAT'), needs: 'python3' },
  { name: 'busybox tar', scripts: all, command: 'busybox tar -cf "$tar" .', needs: 'busybox' },
];

let dir: string;
let host: Host;
beforeAll(async () => {
  dir = tempDir();
  if (obstacle === null) host = await openHost();
});
afterAll(async () => {
  if (obstacle === null) await host.close();
  removeKernelTrees();
});

function treeOf(scripts: readonly string[]): string {
  const root = join(tempDir(), 'root');
  mkdirSync(root);
  execFileSync(
    'sh',
    [
      '-eu',
      '-c',
      [...scripts.filter((s) => s !== longScript), timesScript, ...scripts.filter((s) => s === longScript)].join(''),
    ],
    { cwd: root, stdio: 'pipe' },
  );
  return root;
}

async function expectOneReading(tar: string, oracle: Oracle = umociTree): Promise<void> {
  const bytes = readFileSync(tar);
  const { store, lease } = await openTemp();
  const layer = await importLayer(store, lease, bytesOf(tar));
  expect(layer.diffId).toBe(`sha256:${createHash('sha256').update(bytes).digest('hex')}`);
  expect(readFileSync(layer.tarPath).equals(bytes)).toBe(true);

  const { index, tree, view } = await layerForms(host, layer.tarPath, dir);
  const plain = withoutNotes(tree);
  if (index !== null) expect(withoutNotes(index)).toEqual(plain);
  expect(view).toEqual(withoutLinks(plain));
  expect(plain).toEqual(withoutNotes(oracle(tar, dir)));
  expect(plain.size).toBeGreaterThan(8);
}

describe.skipIf(obstacle)(`a layer written by${obstacle ? ` (skipped: ${obstacle})` : ''}`, () => {
  for (const { name, scripts, command, needs, oracle } of writers) {
    test.skipIf(!installed(needs))(`${name} is one tree in every form`, async () => {
      const tar = join(tempDir(), 'layer.tar');
      const root = treeOf(scripts);
      execFileSync('sh', ['-c', command], { cwd: root, env: { ...process.env, tar }, stdio: 'pipe' });
      await expectOneReading(tar, oracle);
    });
  }

  test('tar-stream is one tree in every form', async () => {
    const tar = join(tempDir(), 'layer.tar');
    const pack = tarStream.pack();
    pack.entry({ name: 'd', type: 'directory', mode: 0o750, mtime: new Date(5000) });
    pack.entry({ name: `d/${'é'.repeat(120)}`, mode: 0o600, mtime: new Date(5000) }, 'text');
    pack.entry({ name: 'd/link', type: 'symlink', linkname: 'x'.repeat(200), mtime: new Date(5000) });
    pack.entry({ name: 'hard', type: 'link', linkname: `d/${'é'.repeat(120)}`, mtime: new Date(5000) });
    for (let i = 0; i < 9; i++)
      pack.entry({ name: `f${i}`, uid: 1000 * i, mtime: new Date(5000) }, 'x'.repeat(i * 300));
    pack.finalize();
    const chunks: Buffer[] = [];
    for await (const chunk of pack) chunks.push(chunk as Buffer);
    writeFileSync(tar, Buffer.concat(chunks));
    await expectOneReading(tar);
  });

  test('node-tar is one tree in every form', async () => {
    const tar = join(tempDir(), 'layer.tar');
    const root = treeOf([plainScript]);
    await nodeTar.create({ file: tar, cwd: root }, ['.']);
    await expectOneReading(tar);
  });
});
