import assert from 'node:assert';
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { openView } from '#store';
import { hostPlatform, requireRunnable } from '../../src/platform/index.js';
import { type DebianOptions, importDebian, type SourceProgress } from '../../src/source/index.js';
import { openTestStore, type TestStore } from '../platform/roots.js';

const hasTool = spawnSync('mmdebstrap', ['--version']).status === 0;

let stores: TestStore;
beforeAll(async () => {
  stores = await openTestStore();
});
afterAll(() => stores.close());

function importHere(options: DebianOptions) {
  return importDebian(stores.store, stores.lease, options);
}

describe('a Debian base', () => {
  test.skipIf(!hasTool)('is made by mmdebstrap, with progress (skips without mmdebstrap)', async () => {
    const seen: SourceProgress[] = [];
    const image = await importHere({
      suite: 'bookworm',
      variant: 'essential',
      onProgress: (progress) => seen.push(progress),
    });
    assert.equal(image.config.architecture, hostPlatform().architecture);
    assert.deepEqual(image.config.config?.Cmd, ['bash']);
    const view = openView(image.layers);
    const command = { program: 'bash', searchPath: '/usr/bin:/bin', cwd: '/', what: 'RUN' };
    requireRunnable(view, command, hostPlatform(), () => 'base image debian');
    view.close();
    const percents = seen.map(({ done }) => done);
    assert(percents.length >= 4 && percents.every((done, i) => i === 0 || done >= percents[i - 1]!), percents.join());
  });

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
