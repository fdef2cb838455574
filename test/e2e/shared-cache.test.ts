// --cache-to and --cache-from: results of one store serve another.
import assert from 'node:assert';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { hasRegistry, startRegistry } from '../store/transport-server.js';
import { output, type Person, people, type Result } from '../support/tsbuild.js';
import { assertStoreUnharmed, seenStore } from '../support/unharmed.js';

const noRegistry = hasRegistry() ? null : 'docker-registry is not installed';

const buildfile = `FROM host://sh,coreutils AS build
WORKDIR /src
COPY src .
RUN cat a.txt > /built; head -c 100000 /dev/urandom >> /built
RUN true
FROM host://sh,coreutils
COPY many /many
RUN head -c 100000 /dev/urandom > /own
COPY --from=build /built /built
`;

function context(person: Person): string {
  const cwd = person.dir('context');
  writeFileSync(join(cwd, 'Buildfile'), buildfile);
  mkdirSync(join(cwd, 'src'));
  writeFileSync(join(cwd, 'src/a.txt'), 'a');
  mkdirSync(join(cwd, 'many'));
  for (let i = 0; i < 250; i++) writeFileSync(join(cwd, 'many', `${i}`), `${i}`); // too many to be read for their key first
  return person.own(cwd);
}

/** The same files with other times, as another machine has them. */
function elsewhere(person: Person, cwd: string): string {
  const copy = join(person.dir('context'), 'copy');
  cpSync(cwd, copy, { recursive: true });
  for (const entry of readdirSync(copy, { recursive: true, encoding: 'utf8' })) utimesSync(join(copy, entry), 5, 5);
  return person.own(copy);
}

function freshStore(person: Person): { TSBUILD_STORE: string } {
  return { TSBUILD_STORE: join(person.dir('store'), 's') };
}

/** Steps that were executed, by their text. */
function executed({ code, stderr }: Result): string[] {
  assert.equal(code, 0, stderr);
  const names = new Map(
    [...stderr.matchAll(/^#(\d+) \[(?:\S+ )?\d\/\d\] (.*)$/gm)].map(([, step, name]) => [step, name]),
  );
  return [...stderr.matchAll(/^#(\d+) DONE/gm)]
    .map(([, step]) => names.get(step) ?? '')
    .filter((name) => !name.startsWith('FROM') && name !== '');
}

const digestOf = ({ stderr }: Result): string => /built (sha256:\w+)/.exec(stderr)?.[1] ?? '';

for (const person of people()) {
  describe(`as ${person.name}`, () => {
    test('a store without anything takes every step from a cache of mode=max, to the same image', async () => {
      const cwd = context(person);
      const dir = join(person.dir('cache'), 'c');
      const first = await person.run(['--cache-to', `type=local,dest=${dir},mode=max`, '.'], { cwd });
      assert.equal(executed(first).length, 7);
      const env = freshStore(person);
      const second = await person.run(['--cache-from', `type=local,src=${dir}`, '.'], {
        cwd: elsewhere(person, cwd),
        env,
      });
      assert.deepEqual(executed(second), []);
      assert.equal(digestOf(second), digestOf(first));
      assert.match(second.stderr, /^#\d+ takes its result from /m);
      // What came is the store's own now.
      const third = await person.run(['.'], { cwd, env });
      assert.deepEqual(executed(third), []);
      assert.equal(digestOf(third), digestOf(first));
      await assertStoreUnharmed(
        { ...person, store: env.TSBUILD_STORE, run: (args) => person.run(args, { env }) },
        {
          tags: [],
        },
      );
    });

    test('mode=min has what the image consists of; reset drops what was there', async () => {
      const cwd = context(person);
      const dir = join(person.dir('cache'), 'c');
      output(await person.run(['--cache-to', `type=local,dest=${dir},mode=max,compression=zstd`, '.'], { cwd }));
      const blobs = (): number => readdirSync(join(dir, 'blobs/sha256')).length;
      const all = blobs();
      output(await person.run(['--cache-to', `type=local,dest=${dir},tag=small,compression=zstd`, '.'], { cwd }));
      assert(blobs() > all, 'both are there');
      const env = freshStore(person);
      const from = `type=local,src=${dir},tag=small`;
      const min = executed(await person.run(['--cache-from', from, '.'], { cwd, env }));
      assert(
        min.some((name) => name.startsWith('RUN cat a.txt')),
        `${min}`,
      );
      assert(!min.some((name) => name.startsWith('RUN head')), `${min}`);
      output(await person.run(['--cache-to', `type=local,dest=${dir},compression=zstd,reset`, '.'], { cwd }));
      assert(blobs() < all, `${blobs()} of ${all}`);
      const { manifests } = JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8')) as { manifests: unknown[] };
      assert.equal(manifests.length, 1);
    });

    test('a cache that is damaged, forged or not there is told, and the steps are executed', async () => {
      const cwd = context(person);
      const dir = join(person.dir('cache'), 'c');
      output(await person.run(['--cache-to', `type=local,dest=${dir},mode=max,compression=none`, '.'], { cwd }));
      const run = async (src: string): Promise<Result> =>
        person.run(['--cache-from', `type=local,src=${src}`, '.'], { cwd, env: freshStore(person) });

      const none = await run(join(dir, 'nothing'));
      assert.equal(executed(none).length, 7);
      assert.match(none.stderr, /^warning\[CACHE_NOT_USED\]: .* is no OCI image layout/m);

      const blobs = join(dir, 'blobs/sha256');
      for (const name of readdirSync(blobs)) {
        const bytes = readFileSync(join(blobs, name));
        if (bytes.length > 100_000) writeFileSync(join(blobs, name), bytes.fill(1, 50_000, 50_100));
      }
      const damaged = await run(dir);
      assert.match(damaged.stderr, /^warning\[CACHE_NOT_USED\]: .*a result can't be used: /m);
      assert(executed(damaged).some((name) => name.startsWith('RUN cat')));

      for (const name of readdirSync(blobs)) {
        const text = readFileSync(join(blobs, name), 'latin1');
        if (text.startsWith('{"version"')) writeFileSync(join(blobs, name), text.replace(/"layer":0/, '"layer":1'));
      }
      const forged = await run(dir);
      assert.equal(executed(forged).length, 7);
      assert.match(forged.stderr, /^warning\[CACHE_NOT_USED\]: .*the bytes for sha256:\w+ hash to/m);
    });

    test("a record of one's own is never replaced by one from elsewhere", async () => {
      const cwd = context(person);
      const other = freshStore(person);
      const dir = join(person.dir('cache'), 'c');
      output(await person.run(['--cache-to', `type=local,dest=${dir},mode=max`, '.'], { cwd, env: other }));
      const env = freshStore(person);
      const mine = await person.run(['.'], { cwd, env });
      const again = await person.run(['--cache-from', `type=local,src=${dir}`, '.'], { cwd, env });
      assert.equal(digestOf(again), digestOf(mine));
      assert.doesNotMatch(again.stderr, /takes its result/);
    });

    test.skipIf(noRegistry)(`a cache goes through a registry${noRegistry ? ` (${noRegistry})` : ''}`, async () => {
      const { name } = await startRegistry();
      const cwd = context(person);
      const ref = `${name}/cache/app:1`;
      const first = await person.run(['--cache-to', `type=registry,ref=${ref},mode=max`, '.'], { cwd });
      const second = await person.run(['--cache-from', ref, '.'], { cwd, env: freshStore(person) });
      assert.deepEqual(executed(second), []);
      assert.equal(digestOf(second), digestOf(first));
      const other = ['--cache-from', `${name}/cache/other:1`, '.'];
      const nowhere = await person.run(other, { cwd, env: freshStore(person) });
      assert.equal(executed(nowhere).length, 7);
      assert.match(nowhere.stderr, /^warning\[CACHE_NOT_USED\]: /m);
    });

    test("where a cache can't be written the build fails, unless the error is to be ignored", async () => {
      const cwd = context(person);
      const dir = person.dir('full');
      writeFileSync(join(dir, 'file'), '');
      const failed = await person.run(['--cache-to', `type=local,dest=${dir}`, '.'], { cwd });
      assert.equal(failed.code, 1);
      assert.match(failed.stderr, /^error\[LAYOUT_DIR_NOT_EMPTY\]/m);
      const ignored = await person.run(['--cache-to', `type=local,dest=${dir},ignore-error=true`, '.'], { cwd });
      assert.equal(ignored.code, 0, ignored.stderr);
      assert.match(ignored.stderr, /^warning\[CACHE_NOT_WRITTEN\]: the cache was not written: /m);
      assert.deepEqual(readdirSync(dir), ['file']);
      rmSync(join(dir, 'file'));
      await assertStoreUnharmed(person, await seenStore(person));
    });

    test('--cache-ttl leaves out what is older, and what is executed instead is new', async () => {
      const cwd = context(person);
      const env = freshStore(person);
      output(await person.run(['.'], { cwd, env }));
      assert.deepEqual(executed(await person.run(['--cache-ttl', '1h', '.'], { cwd, env })), []);
      assert.equal(executed(await person.run(['--cache-ttl', '0s', '.'], { cwd, env })).length, 7);
      await new Promise((done) => setTimeout(done, 1500));
      assert.equal(executed(await person.run(['--cache-ttl', '1s', '.'], { cwd, env })).length, 7);
      assert.deepEqual(executed(await person.run(['--cache-ttl', '1m', '.'], { cwd, env })), []);
    });

    test('--jobs is the number of steps at a time', async () => {
      const stage = (name: string): string =>
        `FROM host://sh,coreutils AS ${name}\nRUN --mount=type=cache,id=jobs,target=/m mkdir /m/one && sleep 0.2 && rmdir /m/one && touch /${name}\n`;
      const cwd = person.dir('context');
      const all = `FROM scratch\n${['a', 'b', 'c'].map((name) => `COPY --from=${name} /${name} /\n`).join('')}`;
      writeFileSync(join(cwd, 'Buildfile'), ['a', 'b', 'c'].map(stage).join('') + all);
      person.own(cwd);
      output(await person.run(['--jobs', '1', '--no-cache', '.'], { cwd }));
    });
  });
}
