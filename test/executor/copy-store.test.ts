// COPY through real layers: what one plan made, committed to a store, is what the next one finds.
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { rawPath } from '#native';
import { commitDraft, type Layer, type Lease, openLease, openStore, openView, type Store } from '#store';
import { copied, makeTree, planFromContext, planFromView, removeTemps, removeTree, show } from './copy-support.js';

let dir: string;
let root: string;
let store: Store;
let lease: Lease;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'copy-store-'));
  root = makeTree({
    'src/a': 'aaa',
    'src/b': { hardlink: 'src/a' },
    'src/bin/tool': { text: '#!/bin/sh\n', mode: 0o4755 },
    'src/link': { link: 'bin/tool' },
    'etc/passwd': 'app:x:10:20::/home/app:/bin/sh\n',
    'new\nline': 'n',
  });
  store = await openStore(join(dir, 'store'));
  lease = await openLease(store, 'test');
});

afterEach(removeTemps);
afterAll(async () => {
  await lease.release();
  store.close();
  removeTree(root);
  rmSync(dir, { recursive: true, force: true });
});

async function build(lines: readonly string[]): Promise<Layer[]> {
  const layers: Layer[] = [];
  for (const line of lines) {
    const view = openView(layers);
    const plan = await planFromContext(root, line, { view });
    const committed = await commitDraft(store, lease, await plan.drafts(), { fileDigests: true });
    expect(await plan.contentKeyFrom(committed.fileDigests)).toBe(await plan.contentKey());
    layers.push(committed.layer);
    view.close();
  }
  return layers;
}

describe('COPY over real layers', () => {
  test('directories of earlier layers are found and stay as they are', async () => {
    const layers = await build([
      'COPY etc /etc',
      'COPY --chown=app --chmod=711 src /srv/app',
      'COPY src/a /srv/app/bin/',
    ]);
    const view = openView(layers);
    expect(view.lookup(rawPath('srv/app'), false)).toMatchObject({ type: 'dir', mode: 0o711, uid: 10, gid: 20 });
    expect(view.lookup(rawPath('srv/app/bin'), false)).toMatchObject({ type: 'dir', mode: 0o711, uid: 10, gid: 20 });
    expect(view.read(view.lookup(rawPath('srv/app/link'), true)!).toString()).toBe('#!/bin/sh\n');
    expect(view.read(view.lookup(rawPath('srv/app/bin/a'), false)!).toString()).toBe('aaa');
    view.close();
  });

  test('a stage is copied as it is, hard links included, with the key of its content', async () => {
    const view = openView(await build(['COPY src /out/']));
    const plan = await planFromView(view, 'COPY /out /app');
    const drafts = await plan.drafts();
    expect(show(drafts)).toEqual([
      'app/ 755 0:0',
      'app/a 644 0:0 (3)',
      'app/b => app/a',
      'app/bin/ 755 0:0',
      'app/bin/tool 4755 0:0 (10)',
      'app/link -> bin/tool',
    ]);
    const fromContext = await planFromContext(root, 'COPY src /app');
    expect(await plan.contentKey()).toBe(await fromContext.contentKey());
    const { layer } = await commitDraft(store, lease, drafts);
    const copy = openView([layer]);
    expect(copy.read(copy.lookup(rawPath('app/b'), false)!).toString()).toBe('aaa');
    copy.close();
    view.close();
  });

  test('the caller’s umask changes nothing', async () => {
    const before = await build(['COPY . /all/']);
    const umask = process.umask(0o077);
    try {
      expect((await build(['COPY . /all/'])).map((layer) => layer.diffId)).toEqual(before.map((layer) => layer.diffId));
    } finally {
      process.umask(umask);
    }
  });

  test('a file that changes between the look and the commit is not taken for what it was', async () => {
    writeFileSync(join(root, 'changing'), 'before');
    const plan = await planFromContext(root, 'COPY changing /x');
    const key = await plan.contentKey();
    writeFileSync(join(root, 'changing'), 'after!');
    const { fileDigests } = await commitDraft(store, lease, await plan.drafts(), { fileDigests: true });
    expect(await plan.contentKeyFrom(fileDigests)).not.toBe(key);
    writeFileSync(join(root, 'changing'), 'another size');
    await expect(commitDraft(store, lease, await plan.drafts())).rejects.toMatchObject({ code: 'FILE_CHANGED' });
  });

  test('a symlink that takes the place of a copied file is never followed', async () => {
    writeFileSync(join(root, 'victim'), 'mine');
    const plan = await planFromContext(root, 'COPY victim /x');
    rmSync(join(root, 'victim'));
    symlinkSync('/etc/hostname', join(root, 'victim'));
    await expect(commitDraft(store, lease, await plan.drafts())).rejects.toMatchObject({ code: 'FILE_CHANGED' });
    rmSync(join(root, 'victim'));
    expect(await copied(root, 'COPY src/a /x')).toEqual(['x 644 0:0 (3)']);
  });
});
