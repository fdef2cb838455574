import assert from 'node:assert';
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { rawPath } from '#native';
import { openView, type StoredImage } from '#store';
import { BuildError } from '../../src/base/index.js';
import { findEmulator, hostPlatform, requireHonestPlatform, requireRunnable } from '../../src/platform/index.js';
import { type DebianOptions, importDebian, type SourceProgress } from '../../src/source/index.js';
import { openTestStore, type TestStore } from '../platform/roots.js';

const hasTool = spawnSync('mmdebstrap', ['--version']).status === 0;

/** One static program, unpacked and not set up: what needs the least time. */
const smallest: DebianOptions = { suite: 'bookworm', variant: 'extract', include: ['busybox-static'] };
const busybox = { program: '/bin/busybox', searchPath: '/bin', cwd: '/', what: 'RUN' };

let stores: TestStore;
beforeAll(async () => {
  stores = await openTestStore();
});
afterAll(() => stores.close());

function importHere(options: DebianOptions) {
  return importDebian(stores.store, stores.lease, options);
}

/** Undefined where no archive can be reached. */
async function importOnline(options: DebianOptions): Promise<StoredImage | undefined> {
  try {
    return await importHere(options);
  } catch (error) {
    const notes = error instanceof BuildError ? error.notes.join() : '';
    if (/Could not (resolve|connect)|Temporary failure|Cannot initiate/.test(notes)) return undefined;
    throw error;
  }
}

describe('a Debian base', () => {
  test.skipIf(!hasTool)(
    'is made by mmdebstrap, with progress (skips without mmdebstrap or network)',
    async ({ skip }) => {
      const seen: SourceProgress[] = [];
      const image = await importOnline({ ...smallest, onProgress: (progress) => seen.push(progress) });
      if (image === undefined) return skip('no archive can be reached');
      assert.equal(image.config.architecture, hostPlatform().architecture);
      assert.deepEqual(image.config.config?.Cmd, ['bash']);
      requireRunnable(openView(image.layers), busybox, hostPlatform(), () => 'base image debian');
      const percents = seen.map(({ done }) => done);
      assert(percents.length >= 4 && percents.every((done, i) => i === 0 || done >= percents[i - 1]!), percents.join());
    },
  );

  test.skipIf(!hasTool)(
    "for another machine is labelled as such, and its programs don't start here",
    async ({ skip }) => {
      const platform = { os: 'linux', architecture: hostPlatform().architecture === 'arm64' ? 'amd64' : 'arm64' };
      const image = await importOnline({ ...smallest, platform });
      if (image === undefined) return skip('no archive can be reached');
      requireHonestPlatform(image, 'debian');
      const view = openView(image.layers);
      const entry = view.lookup(rawPath('bin/busybox'), true);
      if (entry && findEmulator(view.read(entry, 4096))) skip('this machine emulates it');
      assert.throws(() => requireRunnable(view, busybox, hostPlatform(), () => 'base image debian'), {
        code: 'ARCH_CANNOT_EXECUTE',
        message: /^RUN needs \/bin\/busybox \(from base image debian\), a program for (arm64|x86-64); this machine is /,
      });
    },
  );

  test.skipIf(!hasTool)("of an unknown release fails with mmdebstrap's words (skips without mmdebstrap)", async () => {
    await assert.rejects(
      importHere({ suite: 'nosuchrelease' }),
      (error: { code: string; notes: readonly string[] }) => {
        assert.equal(error.code, 'DEBIAN_FAILED');
        assert(error.notes.length > 2);
        return true;
      },
    );
  });

  test('is not asked for with options that would be others', async () => {
    for (const options of [
      { suite: '--help' },
      { suite: 'bookworm', include: ['a b'] },
      { suite: 'bookworm', mirror: '-x' },
    ]) {
      await assert.rejects(importHere(options), { code: 'DEBIAN_OPTION_INVALID' });
    }
  });

  test('needs mmdebstrap, and says so', async () => {
    const path = process.env.PATH;
    process.env.PATH = '/nonexistent';
    try {
      await assert.rejects(importHere({ suite: 'bookworm' }), {
        code: 'DEBIAN_TOOL_MISSING',
        hint: /apt install mmdebstrap/,
      });
    } finally {
      process.env.PATH = path;
    }
  });
});
