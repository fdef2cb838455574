// Several commands on one store at once.
import assert from 'node:assert';
import type { ChildProcess } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { output, type Person, people } from '../support/tsbuild.js';
import { assertStoreUnharmed, seenStore } from '../support/unharmed.js';

function context(person: Person, buildfile: string): string {
  const dir = person.dir('context');
  writeFileSync(join(dir, 'Buildfile'), buildfile);
  return person.own(dir);
}

for (const person of people()) {
  describe(`as ${person.name}`, () => {
    test('four builds of one Buildfile in an empty store make one image', async () => {
      const step = 'RUN head -c 1000000 /dev/urandom > /random && sleep 0.2\n';
      const cwd = context(person, `FROM host://sh,coreutils\nCOPY Buildfile /\n${step}WORKDIR /new\n`);
      const results = await Promise.all([1, 2, 3, 4].map((i) => person.run(['-q', '-t', `same:${i}`, '.'], { cwd })));
      assert.equal(new Set(results.map(output)).size, 1);
      const seen = await seenStore(person);
      assert.equal(seen.tags.length, 4);
      await assertStoreUnharmed(person, seen);
    });

    /** A build in the middle of its only step, which takes a while; ends well if /src/go is there by then. */
    async function building(name: string): Promise<{ cwd: string; first: ChildProcess; ended: Promise<string> }> {
      const wait = 'for i in $(seq 100); do test -e /src/go && exit 0; test -e /src/fail && exit 3; sleep 0.05; done';
      const cwd = context(person, `FROM host://sh,coreutils\nRUN --mount=target=/src echo ${name}; ${wait}\n`);
      writeFileSync(join(cwd, '.dockerignore'), 'go\nfail\n');
      const first = person.start(['.'], { cwd });
      let said = '';
      const ended = new Promise<string>((done) => first.on('close', (code) => done(`${code}\n${said}`)));
      await new Promise<void>((done) => {
        first.stderr?.on('data', (chunk) => {
          said += chunk;
          if (/^#2 [\d.]+ /m.test(said)) done();
        });
      });
      return { cwd, first, ended };
    }
    const waits = /#2 waits for the same step of another build/;
    const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

    test('a second build of the same step waits for the result of the first', async () => {
      const { cwd, ended } = await building('waits');
      const second = person.run(['.'], { cwd });
      await pause(700);
      writeFileSync(join(cwd, 'go'), '');
      assert.match(await ended, /^0\n(?:.*\n)*#2 DONE/);
      const { code, stderr } = await second;
      assert.equal(code, 0, stderr);
      assert.match(stderr, waits);
      assert.match(stderr, /#2 CACHED/);
      assert.doesNotMatch(stderr, /#2 [\d.]+ waits$/m);
    });

    test('the second build takes over when the first fails', async () => {
      const { cwd, ended } = await building('fails');
      const second = person.run(['.'], { cwd });
      await pause(700);
      writeFileSync(join(cwd, 'fail'), '');
      assert.match(await ended, /^1\n/);
      rmSync(join(cwd, 'fail'));
      writeFileSync(join(cwd, 'go'), '');
      const { code, stderr } = await second;
      assert.match(stderr, waits);
      assert(code === 1 || code === 0, stderr); // it may see the file that made the first fail
      assert.match(stderr, /#2 [\d.]+ fails$/m);
    });

    test('the second build takes over when the first is killed', async () => {
      const { cwd, first, ended } = await building('killed');
      const second = person.run(['.'], { cwd });
      await pause(700);
      first.kill('SIGKILL');
      await ended;
      writeFileSync(join(cwd, 'go'), '');
      const { code, stderr } = await second;
      assert.equal(code, 0, stderr);
      assert.match(stderr, waits);
      assert.match(stderr, /#2 [\d.]+ killed$/m);
      assert.match(stderr, /#2 DONE/);
    });

    test('a build that waits for another can be interrupted', async () => {
      const { cwd, ended } = await building('interrupted');
      const second = person.start(['.'], { cwd });
      let said = '';
      const code = new Promise((done) => second.on('close', done));
      second.stderr?.on('data', (chunk) => {
        said += chunk;
        if (waits.test(said)) second.kill('SIGINT');
      });
      assert.equal(await code, 130, said);
      writeFileSync(join(cwd, 'go'), '');
      assert.match(await ended, /^0\n/);
      await assertStoreUnharmed(person, await seenStore(person));
    });

    test('gc beside builds takes nothing from them', async () => {
      const cwd = context(
        person,
        'FROM host://sh,coreutils\nRUN head -c 1000000 /dev/urandom > /random\nCMD ["wc", "-c", "/random"]\n',
      );
      let building = true;
      let collections = 0;
      const collecting = (async () => {
        for (; building; collections++) output(await person.run(['gc', '--all']));
      })();
      const builder = async (name: string): Promise<void> => {
        for (let i = 0; i < 4; i++) {
          output(await person.run(['-q', '--no-cache', '-t', `${name}:1`, '.'], { cwd }));
          assert.equal(output(await person.run(['run', `${name}:1`])), '1000000 /random\n');
        }
      };
      await Promise.all([builder('one'), builder('two')]).finally(() => {
        building = false;
      });
      await collecting;
      assert(collections >= 4, `${collections}`);
      const seen = await seenStore(person);
      output(await person.run(['gc', '--all']));
      await assertStoreUnharmed(person, { tags: seen.tags });
      for (const name of ['one', 'two', 'same']) output(await person.run(['run', `${name}:1`, 'true']));
    });
  });
}
