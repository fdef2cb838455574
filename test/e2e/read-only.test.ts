// A store on a read-only filesystem: whatever only reads works as ever, whatever would write says so at once.
import assert from 'node:assert';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { isRoot, output, type Person, people, type Result } from '../support/tsbuild.js';

for (const person of isRoot ? people() : []) describe(`as ${person.name}`, () => readOnly(person));
test.skipIf(!isRoot)('a read-only mount (skips without root, who makes it)', () => {});

function readOnly(person: Person): void {
  let context: string;
  let out: string;
  let mount: string;
  const run = (...args: string[]): Promise<Result> =>
    person.run(args, { env: { TSBUILD_STORE: mount, TMPDIR: out }, cwd: context });

  beforeAll(async () => {
    context = person.dir('context');
    out = person.dir('out');
    mount = person.dir('mount');
    writeFileSync(
      join(context, 'Buildfile'),
      'FROM host://sh,coreutils\nRUN echo kept > /kept\nCMD ["cat", "/kept"]\n',
    );
    person.own(context);
    output(await person.run(['-q', '-t', 'app:1', '.'], { cwd: context }));
    execFileSync('mount', ['--bind', person.store, mount]);
    execFileSync('mount', ['-o', 'remount,bind,ro', mount]);
  }, 60_000);
  afterAll(() => void spawnSync('umount', ['-l', mount]));

  test('images are listed, inspected, run, saved, pushed and copied', async () => {
    assert.match(output(await run('images')), /app +1 /);
    assert.match(output(await run('inspect', 'app:1')), /"digest"|"config"/i);
    assert.match(output(await run('history', 'app:1')), /echo kept/);
    assert.match(output(await run('df')), /total/);
    assert.match(output(await run('store', 'info')), /read-only/);
    assert.equal(output(await run('run', 'app:1')), 'kept\n');
    output(await run('save', '-o', join(out, 'app.tar'), 'app:1'));
    output(await run('push', '-q', 'app:1', `oci-layout:${out}/layout:1`));
    output(await run('save', '--format', 'oci-archive', '--compression', 'gzip', '-o', join(out, 'app.oci'), 'app:1'));
    output(await run('push', '-q', 'app:1', `store://${out}/other`));
    output(await run('copy', '-q', 'app:1', `oci:${out}/copied:1`));
    assert.deepEqual(readdirSync(out).sort(), ['app.oci', 'app.tar', 'copied', 'layout', 'other']);
  });

  test('it is checked, and not repaired', async () => {
    assert.match(output(await run('fsck', '--read-data')), /no problems/);
    const { code, stderr } = await run('fsck', '--repair');
    assert.equal(code, 1);
    assert.match(stderr, /^error\[STORE_READ_ONLY\]: store .* can't be written to\nhelp: check it without --repair/);
  });

  const writers: Record<string, string[]> = {
    build: ['-t', 'app:2', '.'],
    tag: ['tag', 'app:1', 'app:2'],
    rmi: ['rmi', 'app:1'],
    gc: ['gc'],
    'store drop-forms': ['store', 'drop-forms'],
    load: ['load', '-i', 'app.tar'],
    pull: ['pull', 'oci-layout:layout:1'],
  };
  for (const [name, args] of Object.entries(writers)) {
    test(`${name} says that the store can't be written to`, async () => {
      const { code, stderr } = await run(...args);
      assert.equal(code, 1);
      assert.match(stderr, /^error\[STORE_READ_ONLY\]: store .* can't be written to\nhelp: .*read-only/m);
      assert.doesNotMatch(stderr, /ran$/m);
    });
  }

  test('nothing is left behind', () => {
    assert.deepEqual(
      readdirSync(out).filter((name) => /^tsbuild-/.test(name)),
      [],
    );
    assert.ok(existsSync(mount));
    mkdirSync(join(out, 'writable')); // the mount is read-only, not the test
  });
}
