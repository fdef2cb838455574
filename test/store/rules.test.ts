// The rules of the store, one by one. Each test here breaks when its rule does; what shows the rule at length is named beside it.
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  checkStore,
  collectGarbage,
  findLayer,
  flushStore,
  importLayer,
  openLease,
  openStore,
  putBlob,
  readBlob,
  readImage,
  recordCache,
  resolveTag,
  saveArchive,
  tagImage,
} from '#store';
import { bytesOf, damage, openTemp, sampleTar, startWorker, tempDir, workerProgram } from './content-samples.js';
import { copyStore, hexOf, makeSampleStore } from './fsck-samples.js';

afterEach(() => void vi.useRealTimers());

// At length: test/faults, content-import, fsck-each-file
describe('1. nothing is visible before it is complete', () => {
  test('a layer has its name, whole, when its row is written, and without the row nobody sees it', async () => {
    const { store, lease } = await openTemp();
    const tar = sampleTar('one');
    const path = join(store.dir, 'layers/sha256', hexOf(tar.diffId), 'tar');
    const putLayer = vi.spyOn(store.database, 'putLayer').mockImplementationOnce(() => {
      expect(readFileSync(path).equals(readFileSync(tar.path))).toBe(true);
      throw new Error('killed');
    });
    await expect(importLayer(store, lease, bytesOf(tar.path))).rejects.toThrow('killed');
    expect(putLayer).toHaveBeenCalledOnce();
    expect(findLayer(store, tar.diffId)).toBeNull();
    const { ok, findings } = await checkStore(store.dir);
    expect(ok).toBe(true);
    expect(findings).toMatchObject([{ severity: 'leftover', code: 'ORPHANED', kind: 'layer', object: tar.diffId }]);
    await collectGarbage(store);
    expect(existsSync(path)).toBe(false);
  });

  test('a blob of which only a part came is not there', async () => {
    const { store, lease } = await openTemp();
    const broken = async function* () {
      yield Buffer.from('half');
      throw new Error('cut off');
    };
    await expect(putBlob(store, lease, broken())).rejects.toThrow('cut off');
    expect([readdirSync(join(store.dir, 'blobs/sha256')), readdirSync(lease.dir)]).toEqual([[], []]);
  });
});

// At length: content-flush, test/faults (power cuts)
describe('2. nothing is trusted that was not flushed', () => {
  for (const flushed of [true, false]) {
    test(`after a reboot what ${flushed ? 'was' : 'was not'} flushed is ${flushed ? 'believed' : 'read, and dropped if it is torn'}`, async () => {
      const dir = join(tempDir(), 'store');
      const before = await openStore(dir, { bootId: 'first' });
      const lease = await openLease(before, 'test');
      const layer = await importLayer(before, lease, bytesOf(sampleTar('torn').path));
      if (flushed) await flushStore(before);
      damage(layer.tarPath);
      before.database.close();
      const same = await openStore(dir, { bootId: 'first' });
      expect(findLayer(same, layer.diffId)).not.toBeNull();
      same.database.close();
      const after = await openStore(dir, { bootId: 'second' });
      expect(findLayer(after, layer.diffId) !== null).toBe(flushed);
      after.database.close();
    });
  }
});

// At length: fsck-flips, transport-*, content-import
describe('3. a digest is checked whenever bytes enter or leave', () => {
  test('what comes as something else than was announced is not taken', async () => {
    const { store, lease } = await openTemp();
    const [said, sent] = [sampleTar('said'), sampleTar('sent')];
    const importing = importLayer(store, lease, bytesOf(sent.path), { expectDiffId: said.diffId });
    await expect(importing).rejects.toMatchObject({ code: 'LAYER_DIFF_ID_MISMATCH' });
    expect(readdirSync(join(store.dir, 'layers/sha256'))).toEqual([]);
  });

  test('what was damaged here does not leave: the error names it, who needs it and what to do', async () => {
    const { dir, layers, config } = await makeSampleStore();
    const { store, lease } = await openTemp(dir);
    const image = await readImage(store, resolveTag(store, 'app:1')!);
    flipByte(findLayer(store, layers[1]!)!.tarPath);
    const saving = saveArchive(store, lease, [{ image, names: [] }], join(tempDir(), 'out.tar'));
    await expect(saving).rejects.toMatchObject({ message: expect.stringContaining(layers[1]!) });
    flipByte(join(dir, 'blobs/sha256', hexOf(config)));
    await expect(readBlob(store, config)).rejects.toMatchObject({
      code: 'BLOB_DAMAGED',
      message: expect.stringMatching(/needed by docker\.io\/library\/app:1/),
      hint: expect.stringMatching(/tsbuild fsck --read-data --repair/),
    });
    // Out of the way, so that it can be had again, and not gone.
    const { quarantine } = await checkStore(dir);
    expect(quarantine).toMatchObject([{ kind: 'blob', object: config, neededBy: ['docker.io/library/app:1'] }]);
    await collectGarbage(store);
    expect((await checkStore(dir)).quarantine).toHaveLength(1);
    await collectGarbage(store, { quarantine: true });
    expect((await checkStore(dir)).quarantine).toEqual([]);
  });
});

// At length: content-garbage, concurrent
describe('4. whatever is in use is held by a lease, which dies with its process', () => {
  test('a collection leaves what a live process holds, and takes it when that is killed', async () => {
    const { store, lease } = await openTemp();
    const layer = await importLayer(store, lease, bytesOf(sampleTar('held').path));
    const holder = startWorker(await workerProgram(), [store.dir, 'hold', layer.diffId]);
    await new Promise((resolve) => holder.stdout!.once('data', resolve));
    await lease.release();
    await collectGarbage(store);
    expect(findLayer(store, layer.diffId)).not.toBeNull();
    const ended = new Promise((resolve) => holder.once('close', resolve));
    holder.kill('SIGKILL');
    await ended;
    await collectGarbage(store);
    expect(findLayer(store, layer.diffId)).toBeNull();
    expect(store.database.leases.all()).toEqual([]);
    expect(readdirSync(join(store.dir, 'tmp'))).toEqual([]);
  });

  test('a lock file of a process that is gone, of whatever id, holds nothing', async () => {
    const { dir } = await makeSampleStore();
    writeFileSync(join(dir, 'tmp/00000000-dead.lock'), `${process.pid}\n`);
    const store = await openStore(dir);
    expect(readdirSync(join(dir, 'tmp'))).toEqual([]);
    await store.close();
  });

  const year = 365 * 86_400_000;
  for (const [name, jump] of [
    ['a year ahead', year],
    ['a year back', -year],
  ] as const) {
    test(`with the clock set ${name}, what is tagged or held stays, and what is dead goes`, async () => {
      const { dir, layers, manifest } = await makeSampleStore();
      const { store, lease } = await openTemp(dir);
      const held = await importLayer(store, lease, bytesOf(sampleTar('held').path));
      store.database.leases.put('dead', 'build');
      store.database.leases.putRef('dead', held.diffId);
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + jump });
      recordCache(store, 'key', { diffId: layers[0]!, inputs: null });
      tagImage(store, 'jumped:1', manifest);
      await collectGarbage(store);
      expect(findLayer(store, held.diffId)).not.toBeNull();
      expect((await readImage(store, resolveTag(store, 'app:1')!)).layers).toHaveLength(2);
      expect(store.database.cache.all()).toHaveLength(1);
      expect(store.database.leases.all().map(({ id }) => id)).toEqual([lease.id]);
      vi.useRealTimers();
      await collectGarbage(store);
      expect(resolveTag(store, 'jumped:1')).toBe(manifest);
      expect(findLayer(store, held.diffId)).not.toBeNull();
      expect(await checkStore(dir, { readData: true })).toMatchObject({ ok: true, findings: [] });
    });
  }
});

// At length: fsck, fsck-each-file, content-open
describe('5. the database is rebuildable', () => {
  test('without it, the next command has every image, layer and tag again', async () => {
    const sample = await makeSampleStore();
    const dir = copyStore(sample);
    for (const name of readdirSync(dir)) if (name.startsWith('meta.db')) rmSync(join(dir, name));
    const store = await openStore(dir);
    const image = await readImage(store, resolveTag(store, 'app:1')!);
    expect([image.digest, image.layers.map(({ diffId }) => diffId)]).toEqual([sample.manifest, sample.layers]);
    await store.close();
    expect(await checkStore(dir, { readData: true })).toMatchObject({ ok: true, findings: [] });
  });

  test('what is damaged then goes into quarantine: nothing tells that it ever was unflushed', async () => {
    const sample = await makeSampleStore();
    const dir = copyStore(sample);
    for (const name of readdirSync(dir)) if (name.startsWith('meta.db')) rmSync(join(dir, name));
    flipByte(join(dir, 'layers/sha256', hexOf(sample.layers[0]!), 'tar'));
    await (await openStore(dir)).close();
    const { quarantine } = await checkStore(dir);
    expect(quarantine).toMatchObject([{ kind: 'layer', object: sample.layers[0] }]);
  });
});

// At length: versions
describe('6. the format has a version', () => {
  test('a newer one is refused and left as it is', async () => {
    const { dir } = await makeSampleStore();
    const format = '{"format":"tsbuild-store","version":2}';
    writeFileSync(join(dir, 'format.json'), format);
    const before = statSync(join(dir, 'meta.db')).mtimeMs;
    await expect(openStore(dir)).rejects.toMatchObject({ code: 'STORE_TOO_NEW' });
    expect(readFileSync(join(dir, 'format.json'), 'utf8')).toBe(format);
    expect(statSync(join(dir, 'meta.db')).mtimeMs).toBe(before);
  });
});

function flipByte(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 0x10;
  writeFileSync(path, bytes);
}
