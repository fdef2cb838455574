// Steps on layers that are mounted by their index, as root on a kernel with file-backed EROFS.
import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type LayerMount, openHost } from '../../native/index.js';
import { encodeIndex, scanTar } from '../../store/index.js';
import { shell, useLabs } from './step-lab.js';

const lab = (await useLabs()).find(({ name }) => name === 'root');
const canMount = lab !== undefined && (await probe(indexed(lab.base)));

test.skipIf(!canMount)('an index layer is like a tree: programs run, files are removed and replaced', async () => {
  const upper = lab!.layer((dir) => {
    mkdirSync(join(dir, 'data'));
    writeFileSync(join(dir, 'data/file'), 'from the tar\n', { mode: 0o640 });
    chownSync(join(dir, 'data/file'), 33, 34);
  });
  const script = 'cat /data/file; stat -c "%a %u %g" /data/file; echo more >>/data/file; rm -r /tmp; mkdir /tmp';
  const outcome = await shell(lab!, script, { layers: [indexed(lab!.base), indexed(upper)] });
  expect(outcome).toMatchObject({ stdout: 'from the tar\n640 33 34\n', stderr: '', exit: { exitCode: 0 } });
  expect(outcome.upper).toEqual(['data', 'data/file', 'tmp']);
  const { uid, gid, size } = statSync(join(outcome.scratchDir, 'upper/data/file'));
  expect([uid, gid, size]).toEqual([33, 34, 18]);
});

test.skipIf(!canMount)('two hundred index layers are stacked', async () => {
  const layers = Array.from({ length: 200 }, (_, i) =>
    indexed(lab!.layer((dir) => writeFileSync(join(dir, 'top'), String(i)))),
  );
  const outcome = await shell(lab!, 'cat /top', { layers: [indexed(lab!.base), ...layers] });
  expect(outcome.stdout).toBe('199');
});

test.skipIf(!canMount)('later steps find the layers mounted, and stand on the right ones', async () => {
  const layers = Array.from({ length: 8 }, (_, i) =>
    indexed(lab!.layer((dir) => writeFileSync(join(dir, 'top'), `layer ${i}\n`))),
  );
  for (const top of [7, 7, 3, 5, 5, 0, 7]) {
    const stack = [indexed(lab!.base), ...layers.slice(0, top + 1)];
    const outcome = await shell(lab!, 'cat /top; echo changed >/top', { layers: stack });
    expect(outcome).toMatchObject({ stdout: `layer ${top}\n`, stderr: '' });
  }
});

test.skipIf(lab === undefined)('what is no index can not be mounted, and the step says which layer', async () => {
  const bogus = join(lab!.dir, 'bogus');
  writeFileSync(bogus, Buffer.alloc(8192));
  const mount = { kind: 'index', index: bogus, tar: bogus } as const;
  expect(await probe(mount)).toBe(false);
  const { error } = await lab!.run({ layers: [mount] });
  expect(error?.code).toBe('LAUNCH_LAYER');
  expect(error?.message).toContain(bogus);
});

/** The tree as a layer of the store: its tar and the tar's index. */
function indexed(tree: string): LayerMount & { kind: 'index' } {
  const tar = `${tree}.tar`;
  const index = `${tree}.erofs`;
  execFileSync('tar', ['--format=posix', '-cf', tar, '-C', tree, '.']);
  writeFileSync(index, encodeIndex(scanTar(tar), statSync(tar).size)!);
  return { kind: 'index', index, tar };
}

async function probe({ index, tar }: LayerMount & { kind: 'index' }): Promise<boolean> {
  const host = await openHost();
  return host.canMountIndex(index, tar).finally(() => host.close());
}
