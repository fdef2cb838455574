import assert from 'node:assert';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type StoredImage, scanTar } from '#store';
import { hostPlatform, requireHonestPlatform } from '../../src/platform/index.js';
import { importHostBase } from '../../src/source/index.js';
import { openTestStore, type TestStore } from '../platform/roots.js';

const isRoot = process.getuid?.() === 0;

let stores: TestStore;
let dir: string;
beforeAll(async () => {
  stores = await openTestStore();
  dir = mkdtempSync(join(tmpdir(), 'tsbuild-host-base-'));
});
afterAll(async () => {
  await stores.close();
  rmSync(dir, { recursive: true, force: true });
});

function importHere(spec: string): Promise<StoredImage> {
  return importHostBase(stores.store, stores.lease, spec);
}

/** Runs a command inside the image's files, unpacked. */
function runIn(image: StoredImage, ...command: string[]): string {
  const root = mkdtempSync(join(dir, 'root-'));
  for (const { tarPath } of image.layers) execFileSync('tar', ['-xf', tarPath, '-C', root]);
  writeFileSync(join(root, 'dev/null'), ''); // a step has the real one
  const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' };
  const { stdout, stderr, status } = spawnSync('chroot', [root, ...command], { encoding: 'utf8', env });
  assert.equal(status, 0, `${command.join(' ')}: ${stderr}`);
  return stdout.trim();
}

function paths(image: StoredImage): Map<string, ReturnType<typeof scanTar>[number]> {
  return new Map(image.layers.flatMap(({ tarPath }) => scanTar(tarPath)).map((entry) => [entry.path, entry]));
}

describe('a base of host programs', () => {
  test.skipIf(!isRoot)('runs them with nothing else around (skips without root: it needs chroot)', async () => {
    const image = await importHere('host://sh,ls,cat,id');
    assert.equal(
      runIn(image, '/bin/sh', '-c', 'echo hello; cat /etc/nsswitch.conf | { read a b; echo $b; }'),
      'hello\nfiles',
    );
    assert.match(runIn(image, 'ls', '/'), /etc[\s\S]*tmp/);
    assert.equal(runIn(image, 'id', '-un'), 'root');
    assert.equal(runIn(image, 'id', '-u', 'nobody'), '65534');
  });

  test('has the platform of this machine, and a shell to run', async () => {
    const image = await importHere('host://sh');
    const { os, architecture, config } = image.config;
    assert.deepEqual({ os, architecture }, { os: hostPlatform().os, architecture: hostPlatform().architecture });
    assert.deepEqual(config?.Cmd, ['/bin/sh']);
    assert.match(config?.Env?.[0] ?? '', /^PATH=.*\/bin/);
    requireHonestPlatform(image, 'host://sh');
  });

  test('is owned by root, has a world-writable /tmp, and users of its own', async () => {
    const entries = paths(await importHere('host://sh'));
    assert([...entries.values()].every(({ uid, gid }) => uid === 0 && gid === 0));
    assert.equal(entries.get('tmp')?.mode, 0o1777);
    assert(entries.has('etc/passwd') && entries.has('etc/group'));
  });

  test('is the same image in another store and in another order of files', async () => {
    const image = await importHere('host://sh,cat');
    const other = await openTestStore();
    try {
      assert.equal(
        (await importHostBase(other.store, other.lease, 'host://cat,sh')).layers[0]?.diffId,
        image.layers[0]?.diffId,
      );
      assert.equal((await importHostBase(other.store, other.lease, 'host://sh,cat')).digest, image.digest);
    } finally {
      await other.close();
    }
  });

  test('is not made anew until one of its files changes', async () => {
    const script = join(dir, 'greet');
    const write = (text: string) => {
      writeFileSync(script, `#!/bin/sh\necho ${text}\n`);
      chmodSync(script, 0o755);
      utimesSync(script, 1_700_000_000, 1_700_000_000);
    };
    write('one');
    const first = await importHere(`host://${script}`);
    const again = await importHere(`host://${script}`);
    write('two');
    const changed = await importHere(`host://${script}`);
    assert.equal(again.digest, first.digest);
    assert.notEqual(changed.digest, first.digest);
    const entries = paths(changed);
    assert(entries.has(script.slice(1)), 'the file is where it was');
    assert(
      [...entries.keys()].some((path) => path.endsWith('bin/sh')),
      'its interpreter came along',
    );
  });

  test.skipIf(!existsSync('/var/lib/dpkg/status'))(
    'a package by its name brings its programs, not its documentation',
    async () => {
      const entries = [...paths(await importHere('host://sh,coreutils')).keys()];
      for (const program of ['ls', 'cp', 'mktemp', 'sha256sum'])
        assert(
          entries.some((path) => path.endsWith(`bin/${program}`)),
          program,
        );
      assert(!entries.some((path) => path.startsWith('usr/share/doc/')));
    },
  );

  test.skipIf(!isRoot || !existsSync('/usr/bin/python3'))(
    'Python finds its library (skips without Python)',
    async () => {
      const image = await importHere('host:///usr/bin/python3');
      assert.equal(runIn(image, 'python3', '-c', 'import json, zlib; print(json.dumps([1]))'), '[1]');
    },
  );

  test.skipIf(!isRoot || !existsSync('/usr/bin/perl'))('Perl finds its modules (skips without Perl)', async () => {
    const image = await importHere('host://perl');
    assert.equal(runIn(image, 'perl', '-MList::Util=sum', '-e', 'print sum(1, 2)'), '3');
  });

  test.skipIf(!isRoot || !existsSync('/var/lib/dpkg/info/sed.list'))(
    'pkg: brings a package with its dependencies',
    async () => {
      assert.equal(runIn(await importHere('host://pkg:sed,sh'), '/bin/sh', '-c', 'echo abc | sed s/b/x/'), 'axc');
    },
  );
});

describe('what this machine does not have', () => {
  test('a program is met with the name that was meant', async () => {
    await assert.rejects(importHere('host://sh,caat'), {
      name: 'BuildError',
      code: 'HOST_PROGRAM_NOT_FOUND',
      message: 'this machine has no program or installed package caat',
      hint: /^did you mean (cat|chat)\?$/,
    });
  });

  test('a file or package is named', async () => {
    await assert.rejects(importHere('host:///no/such/file'), {
      code: 'HOST_PROGRAM_NOT_FOUND',
      message: /no program \/no\/such\/file/,
    });
    await assert.rejects(importHere('host://pkg:no-such-package-here'), { code: 'HOST_PROGRAM_NOT_FOUND' });
  });

  test('files that are no programs, and private ones, stay on this machine', async () => {
    const secret = join(dir, 'secret');
    writeFileSync(secret, '#!/bin/sh\n', { mode: 0o600 });
    for (const path of [secret, dir, '/etc/passwd', '/etc']) {
      await assert.rejects(importHere(`host://${path}`), { code: 'HOST_PROGRAM_NOT_FOUND' });
    }
    chmodSync(secret, 0o700);
    await assert.rejects(importHere(`host://${secret}`), { code: 'HOST_PROGRAM_PRIVATE' });
  });

  test('no name at all is refused', async () => {
    await assert.rejects(importHere('host://'), { code: 'HOST_SPEC_EMPTY' });
    await assert.rejects(importHere('host://, ,'), { code: 'HOST_SPEC_EMPTY' });
  });

  test('a library that a program needs is named', async ({ skip }) => {
    const made = spawnSync('gcc', ['-x', 'c', '-', '-shared', '-fPIC', '-o', 'libgone.so'], {
      input: 'int f(void){return 1;}',
      cwd: dir,
    });
    if (made.status !== 0) skip('no gcc here');
    spawnSync('gcc', ['-x', 'c', '-', '-o', 'needs', '-L.', '-lgone'], {
      input: 'int f(void); int main(void){return f();}',
      cwd: dir,
    });
    await assert.rejects(importHere(`host://${dir}/needs`), {
      code: 'HOST_LIBRARY_NOT_FOUND',
      message: /needs needs libgone.so/,
    });
  });
});
