// tsbuild fsck and tsbuild store drop-forms as people use them.
import assert from 'node:assert';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, test } from 'vitest';
import type { CheckReport } from '#store';
import { output, type Person, people } from '../support/tsbuild.js';

for (const person of people()) describe(`as ${person.name}`, () => checked(person));

function checked(person: Person): void {
  let context: string;
  const build = (...args: string[]) => person.run(['--progress=plain', '-t', 'app:1', ...args, '.'], { cwd: context });
  const layersDir = (): string => join(person.store, 'layers/sha256');
  const check = async (...args: string[]): Promise<{ code: number | null; report: CheckReport; stderr: string }> => {
    const { code, stdout, stderr } = await person.run(['fsck', '--format', 'json', ...args]);
    return { code, report: JSON.parse(stdout) as CheckReport, stderr };
  };

  /** Of the image: what its RUN step wrote. */
  const topLayer = async (): Promise<string> => {
    const ids = [...output(await person.run(['inspect', 'app:1'])).matchAll(/"sha256:(\w{64})"/g)].map(([, id]) => id!);
    const found = ids.find((id) => tarOf(id)?.includes('result\0'));
    assert.ok(found !== undefined);
    return found;
  };
  const tarOf = (id: string): Buffer | null => {
    const path = join(layersDir(), id, 'tar');
    return existsSync(path) ? readFileSync(path) : null;
  };

  beforeAll(async () => {
    context = person.dir('context');
    writeFileSync(
      join(context, 'Buildfile'),
      `FROM host://sh,coreutils AS made
RUN mkdir /d && echo one >/d/one && chmod 640 /d/one && ln -s one /d/link && ln /d/one /d/other && echo two >/d/two
FROM host://sh,coreutils
COPY --from=made /d /d
RUN rm /d/two && chown 1:2 /d/one && cat /d/link >/result
CMD ["cat", "/result"]
`,
    );
    person.own(context);
    output(await build());
  }, 60_000);

  test('a store in use is clean, every byte of it read', async () => {
    const { code, report, stderr } = await check('--read-data');
    assert.deepEqual(report.findings, []);
    assert.deepEqual({ code, ok: report.ok, stderr }, { code: 0, ok: true, stderr: '' });
    assert.match(
      output(await person.run(['fsck'])),
      /^checked \d+ layers, \d+ trees?, \d+ blobs, 1 tag: no problems\n$/,
    );
  });

  test('after drop-forms everything works and is as it was', async () => {
    const before = output(await person.run(['inspect', 'app:1']));
    const dropped = output(await person.run(['store', 'drop-forms']));
    assert.match(dropped, /^dropped [1-9]\d* indexes and \d+ trees: \S+ freed\n$/);
    const indexes = (): number =>
      readdirSync(layersDir()).filter((name) => readdirSync(join(layersDir(), name)).includes('index.erofs')).length;
    assert.equal(indexes(), 0);
    assert.deepEqual(readdirSync(join(person.store, 'trees')), []);

    assert.doesNotMatch((await build()).stderr, /not cached/);
    assert.equal(output(await person.run(['inspect', 'app:1'])), before);
    output(await person.run(['store', 'drop-forms']));
    assert.equal(output(await person.run(['run', 'app:1'])), 'one\n');
    output(await person.run(['store', 'drop-forms']));
    output(await build('--no-cache'));
    assert.equal(output(await person.run(['run', 'app:1'])), 'one\n');
    assert.deepEqual((await check('--read-data')).report.findings, []);
  });

  test('a file of a tree that was changed is named, and the tree made again', async (context) => {
    const [tree] = readdirSync(join(person.store, 'trees'));
    if (tree === undefined) return context.skip('layers are mounted by their index here');
    const root = join(person.store, 'trees', tree, 'root');
    const file = readdirSync(root, { recursive: true })
      .map(String)
      .find((name) => /one$|result$|sh$/.test(name));
    assert.ok(file !== undefined);
    const bytes = readFileSync(join(root, file));
    bytes[0]! ^= 1;
    writeFileSync(join(root, file), bytes);
    const found = await check('--read-data');
    assert.deepEqual(
      found.report.findings.map(({ kind, code, object }) => [kind, code, object]),
      [['tree', 'DAMAGED', `sha256:${tree}`]],
    );
    assert.equal(found.code, 1);
    assert.equal((await check('--read-data', '--repair')).code, 0);
    assert.equal(output(await person.run(['run', 'app:1'])), 'one\n');
    assert.deepEqual((await check('--read-data')).report.findings, []);
  });

  test('a cut layer is told with who needs it and what to do; a build makes it again', async () => {
    const [, name] = /^built (sha256:\w+)/m.exec((await build()).stderr) ?? [];
    assert.ok(name !== undefined);
    const id = await topLayer();
    truncateSync(join(layersDir(), id, 'tar'), 512);
    const found = await person.run(['fsck']);
    assert.equal(found.code, 1);
    assert.match(
      found.stdout,
      new RegExp(
        `^layer ${id.slice(0, 12)}: damaged, needed by app:1\n  its tar has 512 bytes instead of \\d+\n  fetched again where .*\n\nchecked .*: 1 problem\n'tsbuild fsck --repair' mends`,
      ),
    );
    const run = await person.run(['run', 'app:1']);
    assert.match(
      run.stderr,
      /^warning\[LAYER_DAMAGED\]: layer sha256:\w+ in store \S+ is damaged: .*needed by docker.io\/library\/app:1\)/,
    );
    assert.match(run.stderr, /^error\[LAYER_MISSING\]/m);
    const repair = await person.run(['fsck', '--repair', '--offline']);
    assert.equal(repair.code, 1);
    assert.match(
      repair.stdout,
      /tag app:1: incomplete, needed by app:1\n {2}its image lacks sha256:\w+\n {2}failed: no registry was asked; pull or build app:1 again\n/,
    );
    output(await build());
    assert.equal(output(await person.run(['run', 'app:1'])), 'one\n');
    const after = await check('--read-data');
    assert.deepEqual({ findings: after.report.findings, code: after.code }, { findings: [], code: 0 });
    assert.equal(after.report.quarantine.length, 1);
  });

  test('quarantine stays until gc is told to empty it', async () => {
    output(await person.run(['gc']));
    assert.match(
      output(await person.run(['fsck'])),
      /^in quarantine: 1 object, \S+ \('tsbuild gc --quarantine' removes them\)\n/,
    );
    output(await person.run(['gc', '--quarantine']));
    assert.doesNotMatch(output(await person.run(['fsck'])), /quarantine/);
  });

  test('a lost database is made anew by --repair, and the images run', async () => {
    const dir = person.store;
    for (const name of readdirSync(dir)) if (name.startsWith('meta.db')) rmSync(join(dir, name));
    const found = await check();
    assert.deepEqual(
      found.report.findings.flatMap(({ kind, code }) => (kind === 'tree' ? [] : [[kind, code]])), // no copy tells of trees
      [['database', 'MISSING']],
    );
    assert.deepEqual(
      readdirSync(dir).filter((name) => name.startsWith('meta.db')),
      [],
    );
    assert.equal((await check('--repair')).code, 0);
    assert.equal(output(await person.run(['run', 'app:1'])), 'one\n');
  });

  test('what is not understood is a usage error, and where no store is, none is made', async () => {
    for (const [args, message] of [
      [['--read-data=half'], /--read-data half is no part of all data/],
      [['--read-data=8/7'], /--read-data 8\/7 is no part/],
      [['--fix'], /fsck has no option --fix/],
    ] as const) {
      const { code, stderr } = await person.run(['fsck', ...args]);
      assert.equal(code, 2);
      assert.match(stderr, message);
    }
    const nowhere = join(person.dir('nowhere'), 'store');
    const { code, stderr } = await person.run(['fsck', '--store', nowhere]);
    assert.equal(code, 1);
    assert.match(stderr, /^error\[STORE_NOT_A_STORE\]: there is no store at /);
    mkdirSync(nowhere); // it was not there
  });

  test('a part of the data by chance or in turn, and all turns make up all', async () => {
    output(await person.run(['fsck', '--read-data=50%']));
    const id = await topLayer();
    const bytes = readFileSync(join(layersDir(), id, 'tar'));
    bytes[1000]! ^= 1;
    writeFileSync(join(layersDir(), id, 'tar'), bytes);
    const codes = [];
    for (const turn of [1, 2, 3]) codes.push((await check(`--read-data=${turn}/3`)).code);
    assert.deepEqual(codes.sort(), [0, 0, 1]);
  });
}
