// tsbuild why through the real command line: what it says of real builds, in all its forms.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { holds } from '../support/case-seen.js';
import { output, people, type Result, writeContext } from '../support/tsbuild.js';

const buildfile = `FROM host://sh,coreutils AS build
ARG VERSION=1.2
COPY src /src
RUN cat /src/a > /out; echo $VERSION >> /out
FROM host://sh,coreutils
RUN echo > /x
COPY --from=build /out /out
`;

for (const person of people()) {
  describe(`tsbuild why, as ${person.name}`, () => {
    let dir: string;
    const build = (...args: string[]): Promise<Result> => person.run([...args, '.'], { cwd: dir });
    const why = (...args: string[]): Promise<Result> => person.run(['why', ...args], { cwd: dir });
    const said = async (...args: string[]): Promise<string> =>
      output(await why(...args)).replace(/build [0-9a-f]{12}, [^:,]*([:,])/g, 'build ID, AGO$1');

    beforeAll(() => {
      dir = person.dir('why');
      writeContext(dir, { Buildfile: buildfile, 'src/a': 'a', 'src/b': 'b' }, writeFileSync);
      person.own(dir);
    });

    test('there is nothing to say before the first build', async () => {
      const { code, stderr } = await why();
      expect(code).toBe(1);
      expect(stderr).toContain('error[BUILD_NOT_FOUND]: nothing has been built in this store yet');
    });

    test('of a first build, of an unchanged one', async () => {
      const { stderr } = await build();
      expect(stderr).not.toContain('not cached');
      expect(await said()).toBe(
        `build ID, AGO: Buildfile
4 steps: 0 cached, 4 executed

the first build: nothing like it was built before
  #2 [build 2/3] COPY src /src
  #3 [build 3/3] RUN cat /src/a > /out; echo $VERSION >> /out
  #5 [stage-1 2/3] RUN echo > /x
  #6 [stage-1 3/3] COPY --from=build /out /out
`.replace('$VERSION', '1.2'),
      );
      await build();
      expect(await said()).toContain('4 steps: 4 cached, 0 executed\n\nevery step came from the cache\n');
      expect(await said('5')).toContain('#5 [stage-1 2/3] RUN echo > /x\ncached\n\nits key:\n');
    });

    test('of changed files: the cause first, then what follows from it', async () => {
      writeFileSync(join(dir, 'src/a'), 'aa');
      const { stderr } = await build();
      expect(stderr).toContain('#2 not cached: COPY src: 1 file changed: a (content)\n');
      expect(stderr).toContain('#3 not cached: #2 (COPY src /src) changed\n');
      expect(await said()).toBe(`build ID, AGO: Buildfile
4 steps: 1 cached, 3 executed

#2 [build 2/3] COPY src /src
  COPY src: 1 file changed: a (content)
  and because of that:
    #3 [build 3/3] RUN cat /src/a > /out; echo 1.2 >> /out

#6 [stage-1 3/3] COPY --from=build /out /out
  COPY /out: 1 file changed: /out (content)
  it reads #3 [build 3/3] RUN cat /src/a > /out; echo 1.2 >> /out
`);
    });

    test('of one step, however it is named', async () => {
      const whole = await said('2');
      expect(whole).toMatch(/^differs +files +3 files$/m);
      expect(whole).toMatch(/^same +destination +\/src$/m);
      expect(whole).toMatch(/^what differs:\n {2}a: content$/m);
      for (const name of [['#2'], ['build/2'], ['copy src'], ['COPY', 'src']]) expect(await said(...name)).toBe(whole);
      expect(await said('stage-1/3')).toMatch(/^#6 /);
      expect((await said('build')).match(/^#\d/gm)).toEqual(['#1', '#2', '#3']);
      expect(await said('3')).toMatch(/^differs +parent +#2 \[build 2\/3\] COPY src \/src$/m);
    });

    test('with JSON, for programs', async () => {
      const { v, build: which, steps } = JSON.parse(output(await why('--format', 'json')));
      expect({ v, which }).toMatchObject({
        v: 1,
        which: { outcome: 'done', platform: expect.stringContaining('linux/') },
      });
      expect(steps[1]).toMatchObject({
        step: 2,
        stage: 'build',
        why: { reason: 'changed', changes: [{ what: 'file', name: 'a', aspect: 'content' }], cause: null },
      });
      expect(steps[2].why).toMatchObject({ reason: 'follows', cause: 2 });
      const one = JSON.parse(output(await why('6', '--format', 'json')));
      expect(one.steps).toHaveLength(1);
      expect(one.steps[0]).toMatchObject({ step: 6, why: { cause: 3 }, comparedWith: { step: 6 } });
      expect(one.steps[0].components).toContainEqual({ name: 'source', value: '/out', same: true });
    });

    test('of an earlier build, or one of another Buildfile', async () => {
      const id = JSON.parse(output(await why('--format', 'json'))).build.id as string;
      writeFileSync(join(dir, 'Other'), 'FROM scratch\nCOPY src/b /\n');
      await build('-f', 'Other');
      expect(await said()).toContain('AGO: Other\n1 step: 0 cached, 1 executed\n');
      expect(await said('--build', id.slice(0, 6))).toContain('1 cached, 3 executed');
      expect(await said('-f', 'Buildfile')).toContain('1 cached, 3 executed');
      const slip = await why('--build', 'xyz');
      expect(slip.stderr).toMatch(
        /^error\[BUILD_NOT_FOUND\]: there is no build xyz\nhelp: the last build is [0-9a-f]{12}, of /,
      );
      expect((await why('-f', 'nowhere')).stderr).toContain('error[BUILD_NOT_FOUND]: no build of nowhere is known\n');
    });

    test('of a step that there is not: the nearest, or what there is', async () => {
      const of = async (step: string): Promise<string> => (await why(step, '-f', 'Buildfile')).stderr;
      expect(await of('9')).toBe(
        'error[STEP_NOT_FOUND]: the build has no step 9\nhelp: the build has #1 to #6; stages are build\n',
      );
      expect(await of('biuld')).toContain('help: did you mean build?\n');
      expect(await of('COPY scr')).toContain('help: did you mean COPY src /src?\n');
    });

    test('of an ARG, with a hint where the command does not name it', async () => {
      await build('--build-arg', 'VERSION=1.3', '--target', 'build');
      expect(await said('-f', 'Buildfile')).toContain(
        '#3 [build 3/3] RUN cat /src/a > /out; echo 1.3 >> /out\n  ARG VERSION: 1.2 → 1.3\n',
      );
      writeFileSync(join(dir, 'Hint'), 'FROM host://sh,coreutils\nARG V\nRUN echo > /y\n');
      await build('-f', 'Hint', '--build-arg', 'V=1');
      await build('-f', 'Hint', '--build-arg', 'V=2');
      expect(await said()).toContain(
        "  hint: every RUN after ARG V has it in its environment; if the command doesn't need it, declare it further down\n",
      );
    });

    test('of a build that failed, and of the next one', async () => {
      writeFileSync(join(dir, 'Fails'), 'FROM host://sh,coreutils\nRUN echo fails; exit 3\n');
      await build('-f', 'Fails');
      expect(await said()).toContain('AGO, failed: Fails\n1 step: 0 cached, 0 executed, 1 failed\n');
      expect(await said()).toContain('the build failed in #2 [2/2] RUN echo fails; exit 3\n');
      expect((await build('-f', 'Fails')).stderr).toContain('#2 not cached: it failed the last time\n');
    });

    test('of what an option or a person asked for', async () => {
      const { stderr } = await build('--no-cache', '-f', 'Other');
      expect(stderr).not.toContain('not cached');
      expect(await said()).toContain('#2 [1/1] COPY src/b /\n  executed because of --no-cache\n');
      output(await person.run(['gc', '--all']));
      expect((await build('-f', 'Other')).stderr).toContain('#2 not cached: its result is no longer in the store\n');
      await new Promise((done) => setTimeout(done, 20));
      expect((await build('-f', 'Other', '--cache-ttl', '1ms')).stderr).toContain(
        '#2 not cached: its result is older than --cache-ttl allows\n',
      );
    });

    test('of a checkout elsewhere: the same project', async () => {
      const elsewhere = person.dir('elsewhere');
      writeContext(elsewhere, { Buildfile: buildfile, 'src/a': 'aaa', 'src/b': 'b' }, writeFileSync);
      person.own(elsewhere);
      const { stderr } = await person.run(['.'], { cwd: elsewhere });
      expect(stderr).toContain('#2 not cached: COPY src: 1 file changed: a (content)\n');
    });

    test('no secret is kept', async () => {
      writeFileSync(join(dir, 'given'), 'secret-of-a-file');
      writeFileSync(
        join(dir, 'Secrets'),
        'FROM host://sh,coreutils AS one\nARG API_TOKEN\nRUN --mount=type=secret,id=s,env=S true\nFROM scratch\nCOPY --from=one /etc /etc\n',
      );
      const options = [
        '-f',
        'Secrets',
        '--secret',
        'id=s,src=given',
        '--build-arg',
        'http_proxy=http://u:proxy-secret@x.invalid',
      ];
      output(await build(...options, '--build-arg', 'API_TOKEN=token-one'));
      const { stderr } = await build(...options, '--build-arg', 'API_TOKEN=token-two');
      expect(stderr).toContain('#2 not cached: ARG API_TOKEN changed (its value is not shown)\n');
      for (const text of ['secret-of-a-file', 'proxy-secret', 'token-one', 'token-two'])
        expect(holds(person.store, text)).toBe(false);
    });

    test('a store whose history was lost says so, and builds', async () => {
      for (const name of ['meta.db', 'meta.db-wal', 'meta.db-shm']) rmSync(join(person.store, name), { force: true });
      expect((await why()).stderr).toContain('nothing has been built in this store yet');
      expect((await build('-f', 'Other')).code).toBe(0);
    });
  });
}
