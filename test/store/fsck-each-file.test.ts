// Every file of a small store deleted, emptied, or set back to what it was a build earlier, one by one: the store is as good as
// before, or says precisely what is wrong, and fsck names it.
import { copyFileSync, existsSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { checkStore, listTags, openLease, openStore, readImage, resolveTag, StoreError, saveArchive } from '#store';
import { tempDir } from './content-samples.js';
import { addImage, copyStore, makeSampleStore, type SampleStore } from './fsck-samples.js';

let before: SampleStore;
let after: string;
let later: SampleStore;
const out = tempDir();
beforeAll(async () => {
  before = await makeSampleStore();
  const live = copyStore(before);
  later = await addImage(live, 'later', 'app:1');
  after = copyStore({ dir: live }); // with a log that nobody works into the database
});

/** Paths of all files; what belongs to a moment only is left out. */
function filesOf(dir: string): string[] {
  return readdirSync(dir, { recursive: true })
    .map(String)
    .filter((name) => statSync(join(dir, name)).isFile() && !/^(tmp\/|trash\/|meta\.db-shm)/.test(name))
    .sort();
}

const ways: Record<string, (path: string, earlier: string) => boolean> = {
  deleted: (path) => {
    rmSync(path);
    return true;
  },
  emptied: (path) => {
    truncateSync(path);
    return true;
  },
  'set back': (path, earlier) => {
    if (!existsSync(earlier)) return false;
    copyFileSync(earlier, path);
    return true;
  },
};

/** What a person does with a store: each thing works, or its error is one that helps. */
async function use(dir: string): Promise<{ readonly errors: StoreError[]; readonly digest: string | null }> {
  const errors: StoreError[] = [];
  let digest: string | null = null;
  const attempt = async (what: () => Promise<void>): Promise<void> => {
    try {
      await what();
    } catch (error) {
      expect(error, String((error as Error).stack)).toBeInstanceOf(StoreError);
      const { message, hint, code } = error as StoreError;
      expect({ message, hint, code }).toEqual({
        message: expect.stringMatching(/\S/),
        hint: expect.stringMatching(/\S/),
        code: expect.stringMatching(/^[A-Z_]+$/),
      });
      errors.push(error as StoreError);
    }
  };
  await attempt(async () => {
    const store = await openStore(dir);
    try {
      for (const { reference, digest } of listTags(store)) {
        await attempt(async () => {
          const lease = await openLease(store, 'test');
          try {
            const image = await readImage(store, digest);
            await saveArchive(store, lease, [{ image, names: [reference] }], join(out, 'image.tar'));
          } finally {
            await lease.release();
          }
        });
      }
      digest = resolveTag(store, 'app:1');
    } finally {
      await store.close();
    }
  });
  return { errors, digest };
}

describe.each(Object.keys(ways))('each file %s', (way) => {
  test('the store works or says what is wrong, and repair leaves nothing half', async () => {
    for (const name of filesOf(after)) {
      const dir = copyStore({ dir: after });
      if (!ways[way]!(join(dir, name), join(before.dir, name))) continue;
      const found = await checkStore(dir, { readData: true });
      const { errors, digest } = await use(dir);
      if (errors.length > 0 || digest !== later.manifest) expect({ name, ok: found.ok }).toEqual({ name, ok: false });
      const mended = await checkStore(dir, { readData: true, repair: true });
      const remaining = await checkStore(dir, { readData: true });
      expect({ name, ok: remaining.ok }).toEqual({ name, ok: mended.ok });
      if (remaining.ok) expect({ name, ...(await use(dir)) }).toMatchObject({ name, errors: [] });
    }
  });
});
