// Several commands on one store at once.
import assert from 'node:assert';
import { writeFileSync } from 'node:fs';
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
