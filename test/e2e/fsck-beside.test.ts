// fsck beside builds and collections: it tells of nothing that is only on its way, and breaks nothing.
import assert from 'node:assert';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'vitest';
import { output, type Person, people } from '../support/tsbuild.js';

for (const person of people()) {
  test(`as ${person.name}, a store that others write to is clean at any moment`, () => beside(person), 240_000);
}

async function beside(person: Person): Promise<void> {
  let building = true;
  const build = async (name: string): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      const context = person.dir(`${name}${i}`);
      const text = `FROM host://sh,coreutils\nRUN head -c 2000000 /dev/urandom >/y\nRUN rm /y; echo ${name} ${i} >/z\n`;
      writeFileSync(join(context, 'Buildfile'), text);
      person.own(context);
      output(await person.run(['-q', '-t', `${name}:${i}`, '.'], { cwd: context }));
      if (i > 0) output(await person.run(['rmi', `${name}:${i - 1}`]));
    }
  };
  const collect = async (): Promise<void> => {
    while (building) output(await person.run(['gc', '--all']));
  };
  const check = async (): Promise<void> => {
    for (let round = 1; building; round++) {
      const repair = round % 3 === 0 ? ['--repair', '--offline'] : [];
      const { code, stdout, stderr } = await person.run(['fsck', '--read-data', '--format', 'json', ...repair]);
      if (/STORE_NOT_A_STORE/.test(stderr)) continue; // nobody has made it yet
      assert.deepEqual(
        { code, error: stderr.match(/error\[.*/)?.[0], problems: stdout.match(/"severity":"problem".*/)?.[0] },
        { code: 0, error: undefined, problems: undefined },
      );
    }
  };
  const builds = Promise.all([build('a'), build('b')]).finally(() => {
    building = false;
  });
  await Promise.all([builds, collect(), check()]);
  assert.match(output(await person.run(['fsck', '--read-data'])), /: no problems\n$/);
}
