// Caches that several builds want at once.
import assert from 'node:assert';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { output, type Person, people } from '../support/tsbuild.js';
import { assertStoreUnharmed, seenStore } from '../support/unharmed.js';

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** A build whose step has the cache, and goes on when `go` is called. */
interface Running {
  readonly said: () => string;
  readonly ended: Promise<number | null>;
  go(): void;
  kill(signal: NodeJS.Signals): void;
}

let builds = 0;

/** Starts a step with this mount that runs `command` and then waits. */
async function holding(person: Person, mount: string, command: string): Promise<Running> {
  const { cwd, child, said, ended } = start(
    person,
    mount,
    `${command}; echo holds; for i in $(seq 200); do test -e /src/go && exit 0; sleep 0.05; done; exit 1`,
  );
  for (let i = 0; !/^#2 [\d.]+ holds$/m.test(said()) && i < 400; i++) await pause(25);
  assert.match(said(), /^#2 [\d.]+ holds$/m);
  return {
    said,
    ended,
    go: () => writeFileSync(join(cwd, 'go'), ''),
    kill: (signal) => child.kill(signal),
  };
}

function start(person: Person, mount: string, command: string) {
  const cwd = person.dir('context');
  writeFileSync(
    join(cwd, 'Buildfile'),
    `FROM host://sh,coreutils\nRUN --mount=target=/src --mount=type=cache,target=/c,${mount} : ${builds++}; ${command}\n`,
  );
  writeFileSync(join(cwd, '.dockerignore'), 'go\n');
  person.own(cwd);
  const child = person.start(['.'], { cwd });
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const ended = new Promise<number | null>((done) => child.on('close', done));
  return { cwd, child, said: () => text, ended };
}

/** Runs a step with this mount to its end; what it printed. */
async function step(person: Person, mount: string, command: string): Promise<string> {
  const { said, ended } = start(person, mount, command);
  assert.equal(await ended, 0, said());
  return [...said().matchAll(/^#2 [\d.]+ (.*)$/gm)].map(([, line]) => line).join('\n');
}

const waits = /^#2 waits for the cache (\S+), which another step has locked$/m;

for (const person of people()) {
  describe(`as ${person.name}`, () => {
    test('a locked cache has one user at a time, and the next one says that it waits', async () => {
      const mount = 'id=locked,sharing=locked';
      const first = await holding(person, mount, 'echo first > /c/file');
      const second = start(person, mount, 'cat /c/file; echo done');
      for (let i = 0; !waits.test(second.said()) && i < 200; i++) await pause(25);
      assert.match(second.said(), waits);
      assert.doesNotMatch(second.said(), /^#2 [\d.]+ done$/m);
      first.go();
      assert.equal(await first.ended, 0, first.said());
      assert.equal(await second.ended, 0, second.said());
      assert.match(second.said(), /^#2 [\d.]+ first$/m);
    });

    test('a killed build gives its lock back', async () => {
      const mount = 'id=killed,sharing=locked';
      const first = await holding(person, mount, 'echo left > /c/file');
      const second = start(person, mount, 'cat /c/file');
      for (let i = 0; !waits.test(second.said()) && i < 200; i++) await pause(25);
      first.kill('SIGKILL');
      await first.ended;
      assert.equal(await second.ended, 0, second.said());
      assert.match(second.said(), /^#2 [\d.]+ left$/m);
      output(await person.run(['gc'])); // what a user's killed step wrote, only a host removes
      await assertStoreUnharmed(person, await seenStore(person));
    });

    test('a build that waits for a cache can be interrupted', async () => {
      const mount = 'id=interrupted,sharing=locked';
      const first = await holding(person, mount, 'true');
      const second = start(person, mount, 'true');
      for (let i = 0; !waits.test(second.said()) && i < 200; i++) await pause(25);
      second.child.kill('SIGINT');
      assert.equal(await second.ended, 130, second.said());
      first.go();
      assert.equal(await first.ended, 0, first.said());
    });

    test('a shared cache is one directory for all who share it', async () => {
      const mount = 'id=shared,sharing=shared';
      const first = await holding(person, mount, 'echo first > /c/file');
      assert.equal(await step(person, mount, 'cat /c/file; echo second > /c/other'), 'first');
      first.go();
      assert.equal(await first.ended, 0, first.said());
      assert.equal(await step(person, mount, 'cat /c/file /c/other'), 'first\nsecond');
    });

    test('a private cache that is taken is another directory, which is used again later', async () => {
      const mount = 'id=private,sharing=private';
      const first = await holding(person, mount, 'echo first > /c/file');
      assert.equal(await step(person, mount, 'ls -A /c; echo second > /c/file'), '');
      assert.equal(await step(person, mount, 'cat /c/file'), 'second');
      // Who shares doesn't see what another has for itself.
      assert.equal(await step(person, 'id=private', 'cat /c/file'), 'second');
      first.go();
      assert.equal(await first.ended, 0, first.said());
      assert.equal(await step(person, mount, 'cat /c/file'), 'first');
    });

    test('stages of one build that lock the same caches in different orders all end', async () => {
      const cwd = person.dir('context');
      const mount = (id: string): string => `--mount=type=cache,id=order-${id},target=/${id},sharing=locked`;
      const stage = (name: string, ids: string): string =>
        `FROM host://sh,coreutils AS ${name}\nRUN ${[...ids].map(mount).join(' ')} sleep 0.2; echo ${name} >> /a/log; echo ${name} > /${name}\n`;
      const last = 'FROM scratch\nCOPY --from=one /one /\nCOPY --from=two /two /\nCOPY --from=three /three /\n';
      writeFileSync(join(cwd, 'Buildfile'), stage('one', 'ab') + stage('two', 'ba') + stage('three', 'bca') + last);
      person.own(cwd);
      output(await person.run(['.'], { cwd }));
      assert.equal((await step(person, 'id=order-a', 'sort /c/log')).split('\n').join(' '), 'one three two');
    });
  });
}
