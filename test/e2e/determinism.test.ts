// The same input gives the same layers: in every store, for every user, whatever order a directory is read in.
import { chmodSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readImageFiles } from '../support/layer-files.js';
import { output, type Person, people } from '../support/tsbuild.js';

const everyone = people();

const buildfile = `FROM scratch AS files
COPY . /
FROM scratch
LABEL made=twice
COPY --from=files /dir/sub /
COPY --chown=5:6 --chmod=750 dir/file-1 dir/file-2 /
COPY --from=files / /
ADD . /
ENV A=1
CMD ["/file-1"]
`;

/** The same files, made in the order of `numbers`. */
function makeContext(person: Person, numbers: readonly number[]): string {
  const context = person.dir('context');
  for (const dir of ['dir', 'dir/sub', 'dir/empty']) mkdirSync(join(context, dir));
  writeFileSync(join(context, 'Buildfile'), buildfile);
  const files = numbers.flatMap((number) => [`dir/file-${number}`, `dir/sub/deep-${number}`]);
  for (const file of files) writeFileSync(join(context, file), file);
  for (const path of [...files, 'Buildfile']) chmodSync(join(context, path), 0o640);
  for (const path of [...files, 'Buildfile', 'dir/sub', 'dir/empty', 'dir']) {
    utimesSync(join(context, path), 1_700_000_000, 1_700_000_000.25);
  }
  for (const dir of ['dir', 'dir/sub', 'dir/empty']) chmodSync(join(context, dir), 0o755);
  return person.own(context);
}

async function layersOf(person: Person, context: string, store: string): Promise<readonly string[]> {
  output(await person.run(['--no-cache', '--store', store, '--iidfile', 'digest', '.'], { cwd: context }));
  const { diffIds } = await readImageFiles(store, readFileSync(join(context, 'digest'), 'utf8'));
  return diffIds;
}

describe('files of a context become the same layers', () => {
  const numbers = Array.from({ length: 60 }, (_, i) => i);
  const [person] = everyone;
  const other = everyone.at(-1)!;
  let first: readonly string[];

  test('in two stores, from two copies whose directories have another order', async () => {
    first = await layersOf(person!, makeContext(person!, numbers), join(person!.home, 'one'));
    expect(first).toHaveLength(4);
    const copy = makeContext(person!, numbers.toReversed());
    expect(await layersOf(person!, copy, join(person!.home, 'two'))).toEqual(first);
  });

  test.skipIf(other === person)('whoever owns them and builds them', async () => {
    expect(await layersOf(other, makeContext(other, numbers), join(other.home, 'three'))).toEqual(first);
  });

  test('built again over what the cache knows', async () => {
    const context = makeContext(person!, numbers);
    const store = join(person!.home, 'one');
    output(await person!.run(['--store', store, '--iidfile', 'digest', '.'], { cwd: context }));
    const { diffIds } = await readImageFiles(store, readFileSync(join(context, 'digest'), 'utf8'));
    expect(diffIds).toEqual(first);
  });
});
