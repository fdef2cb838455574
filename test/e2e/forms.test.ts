// The two forms in which a layer is mounted, tested against each other and against what the layers' tars mean.
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { makeForeignImage } from '../support/foreign-image.js';
import { readImageFiles } from '../support/layer-files.js';
import { listScript, listTree, parseListing, type TreeListing, treeLines } from '../support/tree.js';
import { installed, output, type Person, people } from '../support/tsbuild.js';

const everyone = people();
const missing = [
  ...(everyone[0]?.name === 'root' ? [] : ['root']),
  ...['getfattr', 'setfattr'].filter((program) => !installed(program)),
].join(', ');

/**
 * Changes of every kind below the current directory, at times that are always the same. Runs in a step and here. None
 * writes to a file of a lower layer that has several names: OverlayFS gives the writer a copy that only has one.
 */
const changeScript = `set -eu
cd plain
rm setuid; rm -r gone-and-back opaque/new; rm -r file-later; mkdir file-later; echo x > file-later/x
mv rename-me renamed; mv moved/deep moved/shallow; mv owned 'ren amed'
rm -r dir-meta; mkdir dir-meta; echo again > dir-meta/again; rm -r empty-dir; ln -s file empty-dir
chmod 4640 change-mode; chown 100:200 file; setfattr -n user.added -v later file; setfattr -x user.text file
rm hard-2; echo more > hard-2; ln hard-2 hard-4; ln large large-2; chmod 2777 sticky; chown -h 1:2 link
echo s >> sparse; truncate -s 2M new-holes; mkfifo new-pipe; rm pipe
cp capable new-capable; setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 new-capable
touch "$(printf 'added\\376')"; rm "$(printf 'latin1-\\344\\366\\374')"
find .. -newermt 2025-01-01 ! -newermt 2100-01-01 -depth -exec touch -h -d @1444444444.987654321 {} +
`;

const copyScript = `set -eu
cp -a plain copied
touch -d @1555555555 .
`;

const buildfile = `FROM oci-layout://layout AS foreign
FROM foreign
COPY change.sh copy.sh /
RUN cd /data && sh /change.sh
RUN cd /data && sh /copy.sh
`;

interface Setup {
  readonly person: Person;
  readonly form: string;
}

const setups: Setup[] = everyone.flatMap((person) =>
  (person.name === 'root' ? ['index', 'tree'] : ['tree']).map((form) => ({ person, form })),
);

describe.skipIf(missing !== '')(`an image of many kinds of files${missing && ` (skipped: no ${missing})`}`, () => {
  const listings = { before: [] as string[], after: [] as string[] };
  const contexts = new Map<Person, string>();
  const diffIds = new Map<string, readonly string[]>();

  beforeAll(async () => {
    const [root] = everyone;
    const dir = root!.dir('foreign');
    writeFileSync(join(dir, 'Buildfile'), 'FROM host://sh,coreutils,find,xargs,getfattr,setfattr\n');
    output(await root!.run(['--iidfile', 'digest', '.'], { cwd: dir }));
    const base = await readImageFiles(root!.store, readFileSync(join(dir, 'digest'), 'utf8'));
    const baseTar = join(root!.store, 'layers', base.diffIds[0]!.replace(':', '/'), 'tar');
    const { layout, truth } = makeForeignImage(dir, baseTar);
    for (const person of everyone) contexts.set(person, makeContext(person, layout));

    listings.before = treeLines(listTree(join(truth, 'data')));
    for (const script of [changeScript, copyScript]) {
      execFileSync('sh', ['-c', script], { cwd: join(truth, 'data'), stdio: 'pipe' });
    }
    listings.after = treeLines(listTree(join(truth, 'data')));
  });

  for (const setup of setups) {
    const { person, form } = setup;
    describe(`with layers mounted as ${form} by ${person.name}`, () => {
      test('shows what its tars say', async () => {
        const context = contexts.get(person)!;
        const name = `foreign-${form}:0`;
        output(await person.run(['--target', 'foreign', '-t', name, context], { cwd: context, env: formOf(setup) }));
        expect(await seen(setup, name)).toEqual(expected(setup, listings.before));
      });

      test('has the changes of steps, and a copy that lost nothing', async () => {
        const context = contexts.get(person)!;
        const name = `foreign-${form}:1`;
        const args = ['--no-cache', '--iidfile', `digest-${form}`, '-t', name, context];
        output(await person.run(args, { cwd: context, env: formOf(setup) }));
        const digest = readFileSync(join(context, `digest-${form}`), 'utf8');
        diffIds.set(`${form} ${person.name}`, (await readImageFiles(person.store, digest)).diffIds);
        expect(await seen(setup, name)).toEqual(expected(setup, listings.after));
      });
    });
  }

  test('becomes the same layers, byte for byte, however they were mounted', () => {
    const [first, ...others] = [...diffIds.values()];
    expect(first).toHaveLength(7);
    expect(others).toHaveLength(setups.length - 1);
    for (const other of others) expect(other).toEqual(first);
  });
});

function makeContext(person: Person, layout: string): string {
  const context = person.dir('context');
  cpSync(layout, join(context, 'layout'), { recursive: true });
  writeFileSync(join(context, '.dockerignore'), 'layout\n');
  writeFileSync(join(context, 'Buildfile'), buildfile);
  writeFileSync(join(context, 'change.sh'), changeScript);
  writeFileSync(join(context, 'copy.sh'), copyScript);
  execFileSync('touch', ['-d', '@1700000000', join(context, 'change.sh'), join(context, 'copy.sh')]);
  return person.own(context);
}

function formOf({ form }: Setup): { TSBUILD_FORM: string } {
  return { TSBUILD_FORM: form };
}

async function seen(setup: Setup, image: string): Promise<string[]> {
  const run = ['run', image, 'sh', '-c', listScript, 'list', '/data'];
  const tree: TreeListing = parseListing(output(await setup.person.run(run, { env: formOf(setup) })));
  return treeLines(tree);
}

/** No user namespace may make devices: the trees of ordinary users lack them. */
function expected({ person }: Setup, lines: readonly string[]): readonly string[] {
  return person.name === 'root' ? lines : lines.filter((line) => !/ type=[bc] /.test(line));
}
