// Power cuts at any moment of a store's life, on real file systems: after the reboot nothing wrong is served, what --sync
// acknowledged is there, and every tag is what it was or what it was about to be.
import assert from 'node:assert';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { collectGarbage, openLease, openStore, type Store, tagImage } from '#store';
import { listQuarantine } from '../../store/content/quarantine.js';
import { sampleImage } from '../store/image-samples.js';
import { installed } from '../support/tsbuild.js';
import { checkStore, leftovers } from './check-store.js';
import { type DiskLog, Replay, recordDisk, withDisk } from './disk-log.js';
import { runWithFault } from './fail-call.js';
import { collectionsIn, importImage, live, modelAt, removeTag } from './power-cut-life.js';
import { amount, newSeed, Random } from './random.js';
import { TagModel } from './tag-model.js';

const canRun = process.getuid?.() === 0 && installed('fusermount3') && installed('mkfs.ext4');

test.skipIf(canRun)('power cuts (skips without root, fuse3 or mkfs.ext4)', () => {});

for (const fileSystem of ['ext4', 'xfs'] as const) {
  const cuts = fileSystem === 'ext4' ? amount(105, 800) : amount(45, 250);
  describe.skipIf(!canRun || !installed(`mkfs.${fileSystem}`))(`on ${fileSystem}`, () => {
    const seed = newSeed();
    let log: DiskLog;
    let scratch: string;
    beforeAll(async () => {
      scratch = mkdtempSync(join(tmpdir(), 'tsbuild-power-cut-'));
      const rounds = amount(12, 30);
      log = await recordDisk(fileSystem, (dir, mark) =>
        live(join(dir, 'store'), scratch, { rounds, random: new Random(seed), mark }),
      );
    });
    afterAll(() => rmSync(scratch, { recursive: true, force: true }));

    for (const order of ['in order', 'reordered and torn'] as const) {
      test(`after ${cuts} cuts, writes ${order}, all is whole (seed ${seed})`, { timeout: 1_800_000 }, async () => {
        const random = new Random(seed + 1);
        const replay = new Replay(log);
        let mounted = 0;
        for (const at of pointsOf(log, cuts, random)) {
          const disk = order === 'in order' ? replay.prefix(at) : replay.reordered(at, random);
          try {
            if (
              await withDisk(fileSystem, disk, (dir) =>
                reboot(join(dir, 'store'), modelAt(log, at), random.chance(0.3)),
              )
            )
              mounted++;
          } catch (cause) {
            throw new Error(`cut before entry ${at} of ${log.entries.length}: ${String(cause)}`, { cause });
          }
        }
        // Until mkfs and the first mount are done, there is no file system.
        assert(mounted > cuts * 0.9, `${mounted} disks of ${cuts} could be mounted`);
      });
    }
  });
}

test.skipIf(!canRun)(
  'a power cut after a collection that was killed brings back no tag without its image',
  async () => {
    let digest = '';
    const log = await recordDisk('ext4', async (dir, mark) => {
      const storeDir = join(dir, 'store');
      digest = await importImage(storeDir, 'app:1', 'collected', true);
      await removeTag(storeDir, 'app:1');
      // Its files are gone by now; what took the tag away is in the log of the database, whose flush by gc itself is the third.
      const { signal } = await runWithFault(storeDir, ['gc', '--all'], { kinds: ['sync'], at: 3, with: 'kill' });
      assert.equal(signal, 'SIGKILL');
      assert.deepEqual(readdirSync(join(storeDir, 'layers/sha256')), []);
      // Another's flush, which takes the names of all files to the disk.
      writeFileSync(join(dir, 'noise'), 'noise', { flush: true });
      mark('cut');
    });
    const cut = log.entries.findIndex(({ kind }) => kind === 'mark');
    const model = new TagModel();
    model.promised('docker.io/library/app:1', digest);
    model.begins('docker.io/library/app:1', null);
    assert(await withDisk('ext4', new Replay(log).prefix(cut), (dir) => reboot(join(dir, 'store'), model, true)));
  },
);

/** Some at any time, some right before a flush, when most is at stake, and some while garbage is collected; ascending. */
function pointsOf(log: DiskLog, count: number, random: Random): number[] {
  const { entries } = log;
  const first = entries.findIndex(({ kind }) => kind === 'mark');
  const any = entries.map((_, at) => at).slice(first);
  const kinds = [any, any.filter((at) => entries[at]?.kind === 'flush'), collectionsIn(log)];
  return Array.from({ length: count }, (_, i) => random.pick(kinds[i % kinds.length] ?? any)).sort((a, b) => a - b);
}

/** The first commands of the next boot. @param goesOn not only looks at the store, but goes on to use it */
async function reboot(dir: string, model: TagModel, goesOn: boolean): Promise<void> {
  const store = await openStore(dir, { bootId: 'the next' });
  model.check(await checkStore(store));
  if (goesOn) await goOn(store, model);
  // Not close(): nothing of this need reach the disk.
  store.database.close();
}

async function goOn(store: Store, model: TagModel): Promise<void> {
  const lease = await openLease(store, 'test');
  const again = await sampleImage({ store, lease }, 'after the cut');
  tagImage(store, 'after:1', again.digest);
  await lease.release();
  await collectGarbage(store, { policies: [{}] });
  const tags = await checkStore(store);
  assert.equal(tags.get('docker.io/library/after:1'), again.digest);
  tags.delete('docker.io/library/after:1');
  model.check(tags);
  // Where the cut took the database, nothing is known of what else it tore: that is put aside, never dropped.
  const aside = listQuarantine(store.dir).filter(({ reason }) => !reason.endsWith('when the database was made anew'));
  assert.deepEqual(aside, []);
  assert.deepEqual(
    (await leftovers(store.dir)).filter((name) => name !== 'quarantine'),
    [],
  );
}
