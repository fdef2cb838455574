// Garbage collection by settings: gc.json, TSBUILD_GC, and what happens by itself after builds and loads.
import assert from 'node:assert';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'libsql';
import { describe, test } from 'vitest';
import { output, type Person, people, type Result } from '../support/tsbuild.js';

function context(person: Person, steps: string): string {
  const cwd = person.dir('context');
  writeFileSync(join(cwd, 'Buildfile'), `FROM host://sh,coreutils\n${steps}\n`);
  return person.own(cwd);
}

const big = (name: string): string => `RUN head -c 3000000 /dev/urandom > /${name}`;

/** As if all images had been made long ago. */
function age(person: Person, store: string): void {
  const database = new Database(join(store, 'meta.db'));
  database.exec('UPDATE images SET created_ms = created_ms - 3600000');
  database.close();
  person.own(store);
}

/** A person with a store, settings and a context of their own. */
function place(person: Person, settings: object | string | null) {
  const home = person.dir('home');
  const file = join(home, 'config/tsbuild/gc.json');
  if (settings !== null) {
    mkdirSync(join(home, 'config/tsbuild'), { recursive: true });
    writeFileSync(file, typeof settings === 'string' ? settings : JSON.stringify(settings));
  }
  person.own(home);
  const env = { TSBUILD_STORE: join(home, 'store'), XDG_CONFIG_HOME: join(home, 'config') };
  return {
    file,
    store: env.TSBUILD_STORE,
    run: (args: readonly string[], cwd = home, more: Readonly<Record<string, string>> = {}) =>
      person.run(args, { cwd, env: { ...env, ...more } }),
    cached: async (): Promise<number> =>
      output(await person.run(['du', '--filter', 'type!=none', '--format', 'json'], { env }))
        .split('\n')
        .filter((line) => line.includes('"regular"') && !line.includes('"shared":true')).length,
  };
}

function refused(result: Result, ...lines: readonly RegExp[]): void {
  assert.equal(result.code, 2, result.stderr);
  for (const line of lines) assert.match(result.stderr, line);
}

for (const person of people()) {
  describe(`as ${person.name}`, () => {
    test('a build that leaves the cache beyond its limits brings it back, and says so in one line', async () => {
      const { run, cached, store, file } = place(person, null);
      // Files are no image: what their steps made is there for the cache alone.
      const files = (name: string): Promise<Result> =>
        run(['-o', join(file, `../../../${name}`), '.'], context(person, big(name)));
      output(await run(['-t', 'kept', '.'], context(person, big('kept'))));
      output(await files('a'));
      mkdirSync(join(file, '..'), { recursive: true });
      writeFileSync(file, JSON.stringify({ policy: [{ maxUsedSpace: 4_000_000 }] }));
      person.own(join(file, '../..'));

      const none = await run(['-q', '.'], context(person, 'RUN echo small > /small'));
      assert.equal(none.stderr, '');
      age(person, store);
      assert.equal((await run(['-q', '.'], context(person, 'RUN echo small > /small'))).stdout, none.stdout);
      const before = await cached();
      const second = await files('b');
      output(second);
      assert.match(second.stderr, /^the build cache was beyond its limits: \S+MB freed$/m);
      assert((await cached()) <= before);
      output(await run(['run', 'kept', 'cat', '/kept']));
      // This image has no name, but was asked for within ten minutes.
      output(await run(['run', none.stdout.trim(), 'cat', '/small']));
      // Nothing to remove is nothing to say.
      const again = await files('b');
      assert.match(again.stderr, /CACHED/);
      assert.doesNotMatch(again.stderr, /freed/);
      assert.deepEqual(readdirSync(join(store, 'tmp')), []);
    });

    test('a copy into the store collects too', async () => {
      const { run, store } = place(person, { policy: [{ maxUsedSpace: 0 }] });
      const off = { TSBUILD_GC: 'off' };
      output(await run(['-q', '-t', 'kept', '.'], context(person, 'RUN echo kept > /kept'), off));
      output(await run(['-q', '.'], context(person, big('spare')), off));
      const dir = join(person.dir('copy'), 'image');
      const first = await run(['copy', 'kept', `dir:${dir}`]);
      output(first);
      assert.doesNotMatch(first.stderr, /freed/);
      age(person, store);
      const second = await run(['copy', `dir:${dir}`, 'copied:1']);
      output(second);
      assert.match(second.stderr, /^the build cache was beyond its limits: \S+MB freed$/m);
      assert.equal(output(await run(['run', 'copied:1', 'cat', '/kept'])), 'kept\n');
    });

    test('nothing is collected by itself where that is switched off', async () => {
      const policy = [{ maxUsedSpace: 0 }];
      for (const [settings, env] of [
        [{ policy }, { TSBUILD_GC: 'off' }],
        [{ enabled: false, policy }, {}],
      ] as const) {
        const { run, cached } = place(person, settings);
        const { stderr } = await run(['-q', '.'], context(person, [big('b'), big('c')].join('\n')), env);
        assert.equal(stderr, '');
        output(await run(['rmi', (await run(['images', '-aq'])).stdout.split('\n')[0]!]));
        assert.equal(await cached(), 3);
        // gc by hand has the policies, unless it is told others.
        assert.match(output(await run(['gc', '--keep-duration', '1h'])), /0 cache records/);
        if (!('TSBUILD_GC' in env)) assert.match(output(await run(['gc'], undefined, env)), /3 cache records/);
      }
    });

    test('gc says by which policy of the file an entry goes', async () => {
      const { run, file } = place(person, null);
      const settings = {
        policy: [
          { filter: ['type=exec.cachemount,type=source.local'], keepDuration: '48h', maxUsedSpace: '0' },
          { keepDuration: '60d' },
        ],
      };
      writeFileSync(`${file.replace(/config.*/, '')}policies.json`, JSON.stringify(settings));
      const env = { TSBUILD_GC: `${file.replace(/config.*/, '')}policies.json` };
      output(await run(['-q', '.'], context(person, `RUN --mount=type=cache,target=/m touch /m/x; echo x > /x`)));
      const dry = output(await run(['gc', '--dry-run'], undefined, env));
      assert.match(dry, /^keep +\S+ +exec\.cachemount .* used within 60 days/m);
      assert.match(dry, /^keep +\S+ +regular .* used within 60 days/m);
      assert.match(output(await run(['gc', '--dry-run'])), /used within 30 days/);
    });
  });
}

describe('settings that can not be understood', () => {
  const person = people().at(-1)!;
  for (const [says, settings, ...lines] of [
    ['no JSON', '{', /gc\.json: it is no JSON: /],
    ['no object', '[]', /gc\.json: it is no object/, /as in \{"policy"/],
    ['an unknown word', { polici: [] }, /gc\.json: it has no "polici"/, /did you mean policy\?/],
    ['an unknown word of a policy', { policy: [{ maxUsed: '1gb' }] }, /a policy has no "maxUsed"/],
    ['a wrong size', { policy: [{ maxUsedSpace: 'much' }] }, /gc\.json: maxUsedSpace much is no size/],
    ['a wrong time', { policy: [{ keepDuration: 'long' }] }, /gc\.json: keepDuration long is no duration/],
    ['a wrong filter', { policy: [{ filter: ['kind=x'] }] }, /gc\.json: --filter kind=x is no filter of the cache/],
    ['filters that are no list', { policy: [{ filter: 'type=x' }] }, /filter is a list of texts/],
    ['a wrong switch', { enabled: 'no' }, /gc\.json: enabled is true or false/],
  ] as const) {
    test(`are told before anything is done: ${says}`, async () => {
      const { run, store } = place(person, settings);
      refused(await run(['-q', '.'], context(person, 'RUN true')), /^error\[USAGE\]: /, ...lines);
      assert.deepEqual(readdirSync(join(store, 'layers/sha256')), []);
      refused(await run(['gc']), ...lines);
    });
  }

  test('so is a file that is not there, if it was named', async () => {
    const { run } = place(person, null);
    const env = { TSBUILD_GC: '/nowhere/gc.json' };
    refused(
      await run(['gc'], undefined, env),
      /can't be read: \/nowhere\/gc\.json \(ENOENT\)/,
      /TSBUILD_GC names a file/,
    );
  });
});
