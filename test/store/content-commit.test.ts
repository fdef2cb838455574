import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Host, openHost, rawPath } from '#native';
import { commitDraft, commitUpper, type DraftEntry, findLayer, type Lease, mountLayer, scanTar } from '#store';
import { isRoot, openTemp, ordinaryUser, outcome, startWorker, tempDir, workerProgram } from './content-samples.js';

let host: Host;
beforeAll(async () => {
  host = await openHost();
});
afterAll(() => host.close());

function file(path: string, content: string, mode = 0o644): DraftEntry {
  const bytes = Buffer.from(content);
  const plain = {
    uid: 0,
    gid: 0,
    mtimeSec: 1,
    mtimeNsec: 5,
    linkTarget: rawPath(''),
    devMajor: 0,
    devMinor: 0,
    xattrs: [],
  };
  return { ...plain, path: rawPath(path), type: 'file', mode, size: bytes.length, content: { bytes } };
}

/** An upperdir as a step leaves it. */
function makeUpper(lease: Lease, fill: (upper: string) => void): string {
  const scratch = lease.path('scratch');
  mkdirSync(join(scratch, 'upper'), { recursive: true });
  mkdirSync(join(scratch, 'work'));
  fill(join(scratch, 'upper'));
  return scratch;
}

test('the same drafts are the same layer, whatever order they come in', async () => {
  const { store, lease } = await openTemp();
  const drafts = [file('b', 'bee'), file('a', 'ay'), file('c', '')];
  const one = await commitDraft(store, lease, drafts, { fileDigests: true });
  const two = await commitDraft(store, lease, [...drafts].reverse());
  expect(two.layer).toEqual(one.layer);
  expect(findLayer(store, one.layer.diffId)).toEqual(one.layer);
  expect(scanTar(one.layer.tarPath).map(({ path }) => path)).toEqual(['a', 'b', 'c']);
  expect(readdirSync(lease.dir)).toEqual([]);
});

test('a commit tells the heads of programs and the digests of files by their path in the layer', async () => {
  const { store, lease } = await openTemp();
  const dir = tempDir();
  writeFileSync(join(dir, 'script'), '#!/bin/sh\nexit\n');
  writeFileSync(join(dir, 'text'), 'text');
  const from = (path: string, name: string): DraftEntry => {
    const { size } = file(path, readFileSync(join(dir, name), 'utf8'));
    return { ...file(path, ''), size, content: { root: dir, path: rawPath(name), offset: 0 } };
  };
  const committed = await commitDraft(
    store,
    lease,
    [from('bin/run', 'script'), from('doc', 'text'), from('end', 'script')],
    {
      fileDigests: true,
    },
  );
  expect([...committed.heads.keys()]).toEqual(['bin/run', 'end']);
  expect(committed.heads.get(rawPath('end'))?.toString()).toBe('#!/bin/sh\nexit\n');
  expect(committed.fileDigests.get(rawPath('doc'))).toBe(
    '982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1',
  );
});

test('a file that changed under the commit is an error and leaves nothing', async () => {
  const { store, lease } = await openTemp();
  const dir = tempDir();
  writeFileSync(join(dir, 'f'), 'short');
  const draft = { ...file('f', ''), size: 5000, content: { root: dir, path: rawPath('f'), offset: 0 } };
  await expect(commitDraft(store, lease, [draft])).rejects.toMatchObject({ code: 'FILE_CHANGED' });
  expect(readdirSync(lease.dir)).toEqual([]);
  expect(readdirSync(join(store.dir, 'layers/sha256'))).toEqual([]);
});

test('a step that wrote nothing makes no layer, and its upperdir goes', async () => {
  const { store, lease } = await openTemp();
  const scratch = makeUpper(lease, () => {});
  expect(await commitUpper(store, lease, host, scratch)).toBeNull();
  expect(readdirSync(scratch)).toEqual(['work']);
});

test.skipIf(!isRoot)(
  'an upperdir becomes a layer: whiteouts, hardlinks, symlinks, modes; then it is gone',
  async () => {
    const { store, lease } = await openTemp(undefined, { form: 'index' });
    const scratch = makeUpper(lease, (upper) => {
      mkdirSync(join(upper, 'etc'));
      writeFileSync(join(upper, 'etc/motd'), 'hello');
      linkSync(join(upper, 'etc/motd'), join(upper, 'etc/motd2'));
      symlinkSync('motd', join(upper, 'etc/link'));
      execFileSync('mknod', [join(upper, 'etc/gone'), 'c', '0', '0']);
      writeFileSync(join(upper, 'su'), '#!/bin/sh\n');
      chmodSync(join(upper, 'su'), 0o4755);
    });
    const committed = await commitUpper(store, lease, host, scratch);
    const entries = scanTar(committed!.layer.tarPath);
    expect(entries.map(({ path, type }) => `${type} ${path}`)).toEqual([
      'dir etc',
      'file etc/.wh.gone',
      'symlink etc/link',
      'file etc/motd',
      'hardlink etc/motd2',
      'file su',
    ]);
    expect(entries.at(-1)?.mode).toBe(0o4755);
    expect(committed!.heads.has(rawPath('su'))).toBe(true);
    expect(existsSync(join(scratch, 'upper'))).toBe(false);
  },
);

test.skipIf(!isRoot)(
  'where trees are used an upperdir becomes one, and is what unpacking the tar would give',
  async () => {
    const fill = (upper: string): void => {
      mkdirSync(join(upper, 'a/b'), { recursive: true });
      writeFileSync(join(upper, 'a/b/c'), 'content');
      linkSync(join(upper, 'a/b/c'), join(upper, 'a/c'));
      execFileSync('mknod', [join(upper, 'a/gone'), 'c', '0', '0']);
      execFileSync('touch', [
        '-h',
        '-d',
        '@1700000000.5',
        join(upper, 'a/b/c'),
        join(upper, 'a/b'),
        join(upper, 'a'),
        upper,
      ]);
    };
    const listing = (dir: string): string =>
      execFileSync('find', ['.', '-printf', '%p %y %m %U:%G %s %T@ %n\\n'], { cwd: dir, encoding: 'utf8' })
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('. '))
        .map((line) => (line.includes(' d ') ? line.replace(/ \d+ (\S+ \d+)$/, ' $1') : line))
        .sort()
        .join('\n');
    const adopted = await openTemp(undefined, { form: 'tree' });
    const scratch = makeUpper(adopted.lease, fill);
    const { layer } = (await commitUpper(adopted.store, adopted.lease, host, scratch))!;
    const tree = join(adopted.store.dir, 'trees', layer.diffId.slice(7), 'root');
    expect(await mountLayer(adopted.store, adopted.lease, host, layer)).toEqual({ kind: 'tree', dir: tree });
    expect(existsSync(join(scratch, 'upper'))).toBe(false);

    const unpacked = await openTemp();
    const again = (await commitUpper(unpacked.store, unpacked.lease, host, makeUpper(unpacked.lease, fill)))!;
    expect(again.layer.diffId).toBe(layer.diffId);
    const forced = await openTemp(unpacked.store.dir, { form: 'tree' });
    const mount = await mountLayer(forced.store, forced.lease, host, again.layer);
    if (mount.kind !== 'tree') throw new Error('not a tree');
    // A whiteout's time means nothing.
    const without = (text: string): string => text.replace(/^\.\/a\/gone .*$/m, '');
    expect(without(listing(mount.dir))).toBe(without(listing(tree)));
    expect(await mountLayer(forced.store, forced.lease, host, again.layer)).toEqual(mount);
  },
);

test.skipIf(!isRoot)('an upperdir with a socket does not become a tree: its tar has no socket', async () => {
  const { store, lease } = await openTemp(undefined, { form: 'tree' });
  const server = createServer();
  const scratch = makeUpper(lease, (upper) => writeFileSync(join(upper, 'file'), ''));
  await new Promise<void>((resolve) => server.listen(join(scratch, 'upper/s'), resolve));
  const { layer } = (await commitUpper(store, lease, host, scratch))!;
  server.close();
  const mount = await mountLayer(store, lease, host, layer);
  expect(mount.kind === 'tree' && readdirSync(mount.dir)).toEqual(['file']);
  expect(existsSync(join(scratch, 'upper'))).toBe(false);
});

test('what the kernel can mount is asked once, and remembered for this boot', async () => {
  const { store, lease } = await openTemp();
  const { layer } = await commitDraft(store, lease, [file('f', 'x')]);
  let asked = 0;
  const counting: Host = Object.assign(Object.create(host) as Host, {
    kind: 'root',
    canMountIndex: async () => {
      asked++;
      return true;
    },
  });
  const index = { kind: 'index', index: layer.indexPath, tar: layer.tarPath };
  expect(await mountLayer(store, lease, counting, layer)).toEqual(index);
  expect(await mountLayer(store, lease, counting, layer)).toEqual(index);
  expect(asked).toBe(1);
});

test('many mounts of one layer at once make one tree', async () => {
  const { store, lease } = await openTemp(undefined, { form: 'tree' });
  const { layer } = await commitDraft(store, lease, [file('f', 'x')]);
  const mounts = await Promise.all([1, 2, 3, 4].map(() => mountLayer(store, lease, host, layer)));
  const dir = join(store.dir, 'trees', layer.diffId.slice(7), 'root');
  for (const mount of mounts) expect(mount).toEqual({ kind: 'tree', dir });
  expect(readdirSync(join(store.dir, 'trees'))).toHaveLength(1);
  expect(readFileSync(join(dir, 'f'), 'utf8')).toBe('x');
  expect(readdirSync(lease.dir)).toEqual([]);
});

for (const owner of [0, 1000]) {
  const user = ordinaryUser();
  test.skipIf(user === null)(
    `an ordinary user's step that leaves a root directory of id ${owner} becomes a layer and a tree, and is collected`,
    async () => {
      const home = tempDir();
      if (isRoot) chownSync(home, user!.uid, user!.gid);
      const worker = startWorker(
        await workerProgram(),
        [join(home, 'store'), 'trees', String(owner)],
        isRoot ? user! : {},
      );
      const { code, output } = await outcome(worker);
      expect(code).toBe(0);
      expect(JSON.parse(output)).toEqual({
        files: [` ${owner}`, 'd 1000', 'd/f 1000'],
        upperLeft: false,
        layers: 1,
        trees: 1,
        left: [],
      });
    },
  );
}
