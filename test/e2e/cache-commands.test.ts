// tsbuild cache, and gc and df of what builds keep for later ones.
import assert from 'node:assert';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pack } from 'tar-stream';
import { describe, test } from 'vitest';
import { output, type Person, people, type Result } from '../support/tsbuild.js';
import { assertStoreUnharmed, seenStore } from '../support/unharmed.js';

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

function context(person: Person, steps: string): string {
  const cwd = person.dir('context');
  writeFileSync(join(cwd, 'Buildfile'), `FROM host://sh,coreutils\n${steps}\n`);
  return person.own(cwd);
}

interface Shown {
  readonly id: string;
  readonly name: string;
  readonly inUse: boolean;
  readonly size: number;
  readonly sharing: string;
}

async function list(person: Person, ...args: readonly string[]): Promise<Shown[]> {
  const lines = output(await person.run(['cache', 'ls', '--format', 'json', ...args])).split('\n');
  return lines.filter(Boolean).map((line) => JSON.parse(line) as Shown);
}

/** A build that has the cache until `go`. */
async function holding(person: Person, id: string): Promise<{ go(): void; ended: Promise<number | null> }> {
  const wait = 'echo holds; for i in $(seq 200); do test -e /src/go && exit 0; sleep 0.05; done; exit 1';
  const cwd = context(person, `RUN --mount=target=/src --mount=type=cache,id=${id},target=/c ${wait}`);
  const child = person.start(['--no-cache', '.'], { cwd });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = new Promise<number | null>((done) => child.on('close', done));
  for (let i = 0; !/^#2 [\d.]+ holds$/m.test(said) && i < 400; i++) await pause(25);
  return { go: () => writeFileSync(join(cwd, 'go'), ''), ended };
}

function refused(result: Result, ...lines: readonly RegExp[]): void {
  assert.notEqual(result.code, 0, result.stdout);
  for (const line of lines) assert.match(result.stderr, line);
}

for (const person of people()) {
  describe(`as ${person.name}`, () => {
    const fill = (id: string): string =>
      `RUN --mount=type=cache,id=${id},uid=3,gid=4,mode=0711,target=/c mkdir /c/d; echo it > /c/d/file; ` +
      'chown 7:8 /c/d/file; chmod 4711 /c/d/file; touch -d @1000000000.5 /c/d/file; ln /c/d/file /c/hard; ln -s /etc/passwd /c/soft; mkfifo /c/pipe';
    const look = (id: string): string =>
      `RUN --mount=type=cache,id=${id},uid=3,gid=4,mode=0711,target=/c ` +
      "stat -c '%n %a %u:%g %h' /c /c/d /c/d/file /c/hard; stat -c %y /c/d/file; cat /c/hard; readlink /c/soft";

    test('a cache goes through an archive into another store, owners and all', async () => {
      const cwd = context(person, fill('travels'));
      output(await person.run(['.'], { cwd }));
      const seen = (await person.run(['--no-cache', '.'], { cwd: context(person, look('travels')) })).stderr;
      for (const file of ['plain.tar', 'cache.tar.gz', 'cache.tar.zst']) {
        const archive = join(cwd, file);
        output(await person.run(['cache', 'export', '--id', 'travels', '-o', archive]));
        const again = join(cwd, `again-${file}`);
        output(await person.run(['cache', 'export', 'travels', '-o', again]));
        assert.deepEqual(readFileSync(again), readFileSync(archive));
        const env = { TSBUILD_STORE: join(person.dir('store'), 's') };
        assert.equal(
          output(await person.run(['cache', 'import', '--id', 'travels', archive], { env })),
          'imported 5 files into the cache travels\n',
        );
        const other = await person.run(['--no-cache', '.'], { cwd: context(person, look('travels')), env });
        const printed = (text: string): string[] => [...text.matchAll(/^#2 [\d.]+ (.*)$/gm)].map(([, line]) => line!);
        assert.deepEqual(printed(other.stderr), printed(seen));
        assert.equal(printed(seen)[2], '/c/d/file 4711 7:8 2');
      }
      await assertStoreUnharmed(person, await seenStore(person));
    });

    test('importing replaces what the cache held, and comes from standard input too', async () => {
      const fillIt = (name: string): string => `RUN --mount=type=cache,id=replaced,target=/c touch /c/${name}`;
      output(await person.run(['.'], { cwd: context(person, fillIt('old')) }));
      const dir = person.dir('files');
      writeFileSync(join(dir, 'new'), '');
      execFileSync('tar', ['-C', dir, '--owner=0', '--group=0', '-cf', `${dir}/../in.tar`, 'new']);
      const input = readFileSync(`${dir}/../in.tar`).toString('latin1');
      output(await person.run(['cache', 'import', '--id', 'replaced', '-'], { input }));
      const { stderr } = await person.run(['.'], {
        cwd: context(person, 'RUN --mount=type=cache,id=replaced,target=/c echo have $(ls /c)'),
      });
      assert.match(stderr, /have new$/m);
      await assertStoreUnharmed(person, await seenStore(person));
    });

    test('a hostile archive writes nothing outside of the cache', async () => {
      const victim = person.dir('victim');
      const archive = async (name: string, write: (tar: ReturnType<typeof pack>) => void): Promise<string> => {
        const tar = pack();
        write(tar);
        tar.finalize();
        const chunks: Buffer[] = [];
        for await (const chunk of tar) chunks.push(chunk as Buffer);
        const path = join(person.dir('archive'), name);
        writeFileSync(path, Buffer.concat(chunks));
        return path;
      };
      const through = await archive('link.tar', (tar) => {
        tar.entry({ name: 'out', type: 'symlink', linkname: victim });
        tar.entry({ name: 'out/file' }, 'x');
      });
      output(await person.run(['cache', 'import', '--id', 'hostile', through]));
      const up = await archive('up.tar', (tar) => void tar.entry({ name: '../../../../file' }, 'x'));
      refused(await person.run(['cache', 'import', '--id', 'hostile', up]), /^error\[TAR_PATH_ESCAPES\]/);
      const layer = await archive('layer.tar', (tar) => void tar.entry({ name: 'a/.wh.b' }, ''));
      refused(
        await person.run(['cache', 'import', '--id', 'hostile', layer]),
        /^error\[ARCHIVE_INVALID\]: .*it is a layer of an image/,
      );
      const cut = await archive('cut.tar', (tar) => void tar.entry({ name: 'a' }, 'x'.repeat(5000)));
      writeFileSync(cut, readFileSync(cut).subarray(0, 2048));
      refused(await person.run(['cache', 'import', '--id', 'hostile', cut]), /^error\[TAR_/);
      refused(await person.run(['cache', 'import', '--id', 'hostile', victim]), /is a directory/);
      refused(await person.run(['cache', 'import', '--id', 'hostile', 'nowhere.tar']), /there is no file nowhere\.tar/);
      assert.deepEqual(readdirSync(victim), []);
      const { stderr } = await person.run(['.'], {
        cwd: context(person, 'RUN --mount=type=cache,id=hostile,target=/c cat /c/out/file'),
      });
      assert.match(stderr, /#2 [\d.]+ x$/m);
      await assertStoreUnharmed(person, await seenStore(person));
    });

    test('nothing touches a cache that a step uses', async () => {
      const { go, ended } = await holding(person, 'held');
      assert.equal((await list(person)).find(({ id }) => id === 'held')?.inUse, true);
      const pruned = await person.run(['cache', 'prune', '--id', 'held']);
      assert.equal(pruned.code, 1);
      assert.match(pruned.stderr, /cached mount held is in use: it stays/);
      output(await person.run(['gc', '--all']));
      const file = join(person.dir('out'), 'held.tar');
      const exporting = person.run(['cache', 'export', 'held', '-o', file]);
      await pause(500);
      assert(!existsSync(file));
      go();
      assert.equal(await ended, 0);
      const { code, stderr } = await exporting;
      assert.equal(code, 0, stderr);
      assert.match(stderr, /waiting for the cache held, which a step uses/);
      assert.match(output(await person.run(['cache', 'prune', 'held'])), /removed 1 cache mount/);
      assert.equal(
        (await list(person)).some(({ id }) => id === 'held'),
        false,
      );
    });

    test('caches are named by id or name, and slips are told', async () => {
      output(await person.run(['.'], { cwd: context(person, 'RUN --mount=type=cache,id=named,target=/c true') }));
      output(await person.run(['.'], { cwd: context(person, 'RUN --mount=type=cache,id=named,uid=9,target=/c true') }));
      refused(
        await person.run(['cache', 'export', 'named', '-o', 'x.tar']),
        /^error\[USAGE\]: 2 caches have the id named: [0-9a-f]{12}, [0-9a-f]{12}/,
      );
      const [one] = (await list(person)).filter(({ id }) => id === 'named');
      const inspected = JSON.parse(output(await person.run(['cache', 'inspect', one!.name.slice(0, 12)]))) as Shown[];
      assert.deepEqual(
        inspected.map(({ name }) => name),
        [one!.name],
      );
      refused(await person.run(['cache', 'inspect', 'namd']), /there is no cache namd/, /did you mean named\?/);
      refused(await person.run(['cache', 'prune']), /cache prune is not told what to remove/);
      refused(await person.run(['cache', 'export', '-o', 'x']), /which cache is not said/);
      refused(await person.run(['cache', 'lss']), /there is no command cache lss/, /did you mean tsbuild cache ls\?/);
      assert.match(output(await person.run(['cache', 'prune', '--id', 'named'])), /removed 2 cache mounts/);
    });

    test('a store with a ceiling shrinks its cache after a build, and keeps what was just built', async () => {
      const env = { TSBUILD_STORE: join(person.dir('store'), 's') };
      const big = (name: string): string =>
        `RUN --mount=type=cache,id=${name},target=/m head -c 4000000 /dev/urandom > /m/big; echo ${name} > /${name}`;
      output(await person.run(['-t', 'first', '.'], { env, cwd: context(person, big('one')) }));
      const total = async (): Promise<number> =>
        (JSON.parse(output(await person.run(['df', '--format', 'json'], { env }))) as { totalBytes: number })
          .totalBytes;
      const max = (await total()) + 1_000_000;
      const run = { env: { ...env, TSBUILD_STORE_MAX: `${max}` }, cwd: context(person, big('two')) };
      const { code, stderr } = await person.run(['.'], run);
      assert.equal(code, 0, stderr);
      assert.match(stderr, /the store was larger than \$TSBUILD_STORE_MAX: .* freed/);
      const after = await total();
      assert(after <= max, `${after} of ${max}`);
      const digest = /built (sha256:\w+)/.exec(stderr)?.[1] ?? '';
      output(await person.run(['inspect', digest], { env }));
      output(await person.run(['run', 'first', 'true'], { env }));
      const bad = await person.run(['.'], { ...run, env: { ...env, TSBUILD_STORE_MAX: 'lots' } });
      refused(bad, /TSBUILD_STORE_MAX lots is no size/);
    });

    test('du lists the build cache, gc filters it, and a limit is kept', async () => {
      const env = { TSBUILD_STORE: join(person.dir('store'), 's') };
      const du = async (...args: string[]): Promise<{ id: string; bytes: number; type: string }[]> =>
        output(await person.run(['du', '--format', 'json', '--filter', 'type!=none', ...args], { env }))
          .split('\n')
          .filter(Boolean)
          .map((line) => JSON.parse(line) as { id: string; bytes: number; type: string });
      const big = (name: string): string =>
        `RUN --mount=type=cache,id=${name},target=/m head -c 2000000 /dev/urandom > /${name}`;
      output(await person.run(['-q', '.'], { env, cwd: context(person, [big('a'), big('b'), big('c')].join('\n')) }));
      output(await person.run(['gc'], { env }));
      const before = await du();
      assert.equal(before.filter(({ type }) => type === 'exec.cachemount').length, 3);
      assert.equal((await du('--filter', 'description~=mount b$')).length, 1);
      const dry = output(await person.run(['gc', '--filter', 'type=exec.cachemount', '--dry-run'], { env }));
      assert.match(dry, /^remove +\S+ +exec\.cachemount .* everything was to go +cached mount b$/m);
      assert.match(dry, /would remove .*, 3 cache mounts/);
      assert.deepEqual(await du(), before);
      output(
        await person.run(['prune', '--filter', 'type=exec.cachemount', '--filter', 'description~=mount b$'], { env }),
      );
      assert.equal((await du('--filter', 'type=exec.cachemount')).length, 2);
      output(await person.run(['gc', '--filter', 'until=1h'], { env }));
      assert.equal((await du()).length, before.length - 1);
      output(await person.run(['gc', '--max-used-space', '5mb'], { env }));
      const after = await du();
      const total = after.reduce((sum, { bytes }) => sum + bytes, 0);
      assert(total <= 5 * 1024 * 1024 && total >= 2_000_000, `${total}`);
      refused(await person.run(['gc', '--filter', 'kind=x'], { env }), /--filter kind=x is no filter of the cache/);
      refused(await person.run(['gc', '--max-used-space', 'much'], { env }), /--max-used-space much is no size/);
      refused(await person.run(['gc', '--keep-duration', 'long'], { env }), /--keep-duration long is no duration/);
      output(await person.run(['gc', '--all'], { env }));
      assert.deepEqual(await du(), []);
    });
  });
}
