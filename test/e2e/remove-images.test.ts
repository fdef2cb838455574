// rmi, untag and gc: what they take away, what they say, and what they leave to builds and programs that run meanwhile.
import assert from 'node:assert';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, test } from 'vitest';
import { output, type Person, people, type Result } from '../support/tsbuild.js';
import { assertStoreUnharmed, seenStore } from '../support/unharmed.js';

function context(person: Person, steps: string): string {
  const cwd = person.dir('context');
  writeFileSync(join(cwd, 'Buildfile'), `${steps}\n`);
  return person.own(cwd);
}

/** A started command that waits in its step or program until `go`. */
async function waiting(person: Person, args: readonly string[], cwd: string, said: RegExp) {
  const child = person.start(args, { cwd });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
    });
  }
  const ended = new Promise<number | null>((done) => child.on('close', done));
  for (let i = 0; !said.test(printed) && child.exitCode === null && i < 2000; i++) await sleep(20);
  assert.match(printed, said);
  return { ended, printed: () => printed, stdin: child.stdin };
}

const names = async (person: Person, ...args: string[]): Promise<string[]> =>
  output(await person.run(['images', '--format', 'json', ...args]))
    .split('\n')
    .filter(Boolean)
    .flatMap((line) => (JSON.parse(line) as { names: string[] }).names)
    .sort();

function refused(result: Result, ...lines: readonly RegExp[]): void {
  assert.equal(result.code, 1, result.stderr);
  for (const line of lines) assert.match(result.stderr, line);
}

for (const person of people()) {
  describe(`as ${person.name}`, () => {
    const build = async (steps: string, ...tags: string[]): Promise<string> => {
      const args = tags.flatMap((tag) => ['-t', tag]);
      return output(await person.run(['-q', ...args, '.'], { cwd: context(person, steps) })).trim();
    };
    const base = 'FROM host://sh,coreutils,cat,sleep\nRUN echo base > /base';

    test('a build keeps all that it uses while everything is removed around it', async () => {
      await build(base, 'base:1', 'base:2');
      const wait = 'echo waits; for i in $(seq 2400); do test -e /src/go && exit 0; sleep 0.05; done; exit 1';
      const cwd = context(
        person,
        `FROM base:1 AS one\nRUN echo one > /one\nFROM base:1\nCOPY --from=one /one /copied\nRUN --mount=target=/src ${wait}\nRUN cat /base /copied > /both`,
      );
      const made = await waiting(person, ['--no-cache', '-t', 'made:1', '.'], cwd, /^#\d+ [\d.]+ waits$/m);
      output(await person.run(['untag', 'base:1', 'base:2']));
      for (let round = 0; round < 3; round++) {
        output(await person.run(['gc', '--all']));
        output(await person.run(['rmi', '--all']));
      }
      assert.deepEqual(await names(person, '--all'), []);
      output(await person.run(['gc', '--all']));
      writeFileSync(join(cwd, 'go'), '');
      assert.equal(await made.ended, 0, made.printed());
      assert.equal(output(await person.run(['run', 'made:1', 'cat', '/both'])), 'base\none\n');
      output(await person.run(['gc', '--all']));
      assert.equal(output(await person.run(['run', 'made:1', 'cat', '/base', '/copied'])), 'base\none\n');
      await assertStoreUnharmed(person, await seenStore(person));
    });

    test('a program keeps the files of its image when the image is removed', async () => {
      await build(base, 'runs:1');
      const program = 'echo waits; read line; cat /base';
      const run = await waiting(person, ['run', '-i', 'runs:1', 'sh', '-c', program], person.dir('any'), /^waits$/m);
      assert.match(output(await person.run(['rmi', 'runs:1'])), /^Untagged: runs:1\nDeleted: sha256:\w{64}\n$/);
      output(await person.run(['gc', '--all']));
      run.stdin?.end('\n');
      assert.equal(await run.ended, 0, run.printed());
      assert.match(run.printed(), /^waits\nbase\n$/);
    });

    test('rmi takes names, digests and starts of them, goes on after a mistake, and says what is near', async () => {
      const digest = await build(`${base}\nRUN echo several > /several`, 'several:1', 'several:2', 'several:3');
      assert.equal(output(await person.run(['rmi', 'several:3'])), 'Untagged: several:3\n');
      refused(await person.run(['rmi', digest]), /^error\[IMAGE_HAS_TAGS\]: .* several:1, several:2/, /--force/);
      const mixed = await person.run(['rmi', 'severl:1', 'several:2', 'x@y', 'several:1']);
      refused(mixed, /^error\[IMAGE_NOT_FOUND\]: /m, /did you mean several:1\?/, /^error\[REFERENCE_INVALID\]/m);
      assert.equal(mixed.stdout, `Untagged: several:2\nUntagged: several:1\nDeleted: ${digest}\n`);
      await build(`${base}\nRUN echo several > /several`, 'again:1', 'again:2');
      const id = digest.slice('sha256:'.length, 19);
      assert.match(output(await person.run(['rmi', '-f', id])), /^Untagged: again:1\nUntagged: again:2\nDeleted: /);
      refused(await person.run(['rmi', id]), /^error\[IMAGE_NOT_FOUND\]/);
      assert.equal(output(await person.run(['rmi', '--ignore', id, 'never:1'])), '');
      const nothing = await person.run(['rmi']);
      assert.equal(nothing.code, 2);
      assert.match(nothing.stderr, /rmi is not told what to remove/);
    });

    test('untag takes all names or some, and the image stays', async () => {
      const digest = await build(`${base}\nRUN echo names > /names`, 'n:1', 'n:2', 'n:3', 'n:4');
      assert.equal(output(await person.run(['untag', 'n:1', 'n:2', 'n:3'])), 'Untagged: n:2\nUntagged: n:3\n');
      refused(await person.run(['untag', 'n:1', 'n:4', 'n:2']), /n:2 is no name of n:1/, /has the names n:1, n:4/);
      assert.deepEqual(
        (await names(person)).filter((name) => name.startsWith('n:')),
        ['n:1', 'n:4'],
      );
      assert.equal(output(await person.run(['untag', digest])), 'Untagged: n:1\nUntagged: n:4\n');
      assert.equal(output(await person.run(['run', digest, 'cat', '/names'])), 'names\n');
      refused(await person.run(['untag', 'n:1']), /^error\[IMAGE_NOT_FOUND\]/);
      output(await person.run(['gc']));
      refused(await person.run(['run', digest, 'true']), /^error\[IMAGE_/);
    });
  });
}
