// SOURCE_DATE_EPOCH: the same build at another time, by somebody else, in another store, is the same image.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ImageFiles, readImageFiles } from '../support/layer-files.js';
import { output, type Person, people } from '../support/tsbuild.js';

const everyone = people();
const [person] = everyone;
const epoch = 1_600_000_000;
/** For everybody to read. */
const shared = mkdtempSync(join(tmpdir(), 'tsbuild-reproducible-'));
const base = `oci-archive:${join(shared, 'base.tar')}`;
const rewriting = ['-o', 'type=image,rewrite-timestamp=true'];

beforeAll(async () => {
  chmodSync(shared, 0o755);
  // One base for all, made once: what lies in it has the times that it has.
  const dir = person!.dir('base');
  writeFileSync(join(dir, 'Buildfile'), 'FROM host://sh,coreutils,tar\n');
  output(await person!.run(['-t', 'base:1', '.'], { cwd: dir }));
  output(await person!.run(['save', '--format', 'oci-archive', '-o', join(shared, 'base.tar'), 'base:1']));
});

const buildfile = `FROM ${base} AS made
WORKDIR /made/by/workdir
RUN echo one > one && ln one hard && ln -s one soft && mkdir -p deep/er && date +%N > /dev/null
RUN echo two > deep/two && rm hard && rm -r deep/er && touch -d @1500000000 old && mkfifo pipe
COPY --chown=5:6 . /copied/
FROM ${base}
COPY --from=made /made /from-stage/
ADD archive.tar /unpacked/
COPY <<EOF /heredoc
text
EOF
RUN rm -rf /from-stage/by/workdir/deep && mkdir /from-stage/by/workdir/deep && touch -d @1500000000 /old
ENV A=1
CMD ["sh"]
`;

/** A context whose files are of now, and of another order. */
function contextOf(builder: Person, text = buildfile): string {
  const dir = builder.dir('context');
  writeFileSync(join(dir, 'Buildfile'), text);
  writeFileSync(join(dir, 'file'), 'file\n');
  const member = ['--mtime=@1900000000', '--owner=0', '--group=0', '--numeric-owner', '-C', dir, 'file'];
  execFileSync('tar', ['-cf', join(dir, 'archive.tar'), ...member]);
  return builder.own(dir);
}

interface Built {
  readonly digest: string;
  readonly image: ImageFiles;
  readonly stderr: string;
}

async function build(builder: Person, cwd: string, store: string, words: readonly string[], env = {}): Promise<Built> {
  const iid = join(builder.home, 'iid');
  const result = await builder.run(['--store', store, '--iidfile', iid, ...words, '.'], { cwd, env });
  output(result);
  const digest = readFileSync(iid, 'utf8');
  return { digest, image: await readImageFiles(store, digest), stderr: result.stderr };
}

afterAll(() => rmSync(shared, { recursive: true }));

describe('with rewrite-timestamp', () => {
  const words = ['--build-arg', `SOURCE_DATE_EPOCH=${epoch}`, ...rewriting];
  let first: Built;

  test('no file that the build made is younger than the epoch, and older ones stay', async () => {
    first = await build(person!, contextOf(person!), join(person!.home, 'one'), words);
    const times = (path: string): unknown => first.image.tree.get(path)?.mtime;
    expect(times('/old')).toBe(1_500_000_000);
    expect(times('/from-stage/by/workdir/deep')).toBe(epoch);
    expect(times('/from-stage/by/workdir/old')).toBe(epoch); // COPY dates everything
    expect(times('/unpacked/file')).toBe(epoch);
    expect(times('/heredoc')).toBe(epoch);
    const { config } = first.image;
    expect(config.created).toBe('2020-09-13T12:26:40.000Z');
    const history = config.history as { created: string; created_by: string }[];
    const own = history.filter(({ created_by }) => !created_by.startsWith('FROM '));
    expect(new Set(own.map(({ created }) => created))).toEqual(new Set([config.created]));
  });

  for (const builder of everyone) {
    test(`${builder.name} gets the same digest in another store, later`, async () => {
      await sleep(1100);
      const again = await build(builder, contextOf(builder), join(builder.home, 'two'), words);
      expect(again.image.diffIds).toEqual(first.image.diffIds);
      expect(again.digest).toBe(first.digest);
    });
  }

  test('another epoch makes another image, and executes no step anew that saw no date', async () => {
    const text = `FROM ${base}\nRUN echo step > /step\n`;
    const cwd = contextOf(person!, text);
    const store = join(person!.home, 'one');
    const at = (seconds: number): Promise<Built> =>
      build(person!, cwd, store, ['--build-arg', `SOURCE_DATE_EPOCH=${seconds}`, ...rewriting]);
    const [one, two] = [await at(epoch), await at(epoch + 1)];
    expect(two.digest).not.toBe(one.digest);
    expect(two.stderr).toContain('CACHED');
    expect(two.image.tree.get('/step')?.mtime).toBe(epoch + 1);
    expect((await at(epoch)).digest).toBe(one.digest);
  });

  test('layers of the base stay as they are', async () => {
    const text = `FROM ${base}\nRUN echo step > /step\n`;
    const cwd = contextOf(person!, text);
    const store = join(person!.home, 'one');
    const plain = await build(person!, cwd, store, []);
    const rewritten = await build(person!, cwd, store, ['--build-arg', 'SOURCE_DATE_EPOCH=1', ...rewriting]);
    expect(rewritten.image.diffIds.slice(0, -1)).toEqual(plain.image.diffIds.slice(0, -1));
    expect(rewritten.image.diffIds.at(-1)).not.toBe(plain.image.diffIds.at(-1));
    expect(rewritten.image.tree.get('/step')?.mtime).toBe(1);
  });

  test('without an epoch it changes nothing, and says so', async () => {
    const cwd = contextOf(person!, 'FROM scratch\nCOPY file /\n');
    const { stderr } = await person!.run([...rewriting, '.'], { cwd });
    expect(stderr).toContain(
      'warning[EPOCH_MISSING]: rewrite-timestamp changes nothing, for there is no SOURCE_DATE_EPOCH\n' +
        'help: give --build-arg SOURCE_DATE_EPOCH=SECONDS, or set it in the environment\n',
    );
  });
});

describe('the epoch alone', () => {
  const text = 'FROM scratch\nWORKDIR /a/b\nCOPY file dir/\nADD archive.tar /\nLABEL x=y\n';

  test('dates what COPY and WORKDIR make, but no archive', async () => {
    const cwd = contextOf(person!, text);
    const built = await build(person!, cwd, person!.store, ['--build-arg', `SOURCE_DATE_EPOCH=${epoch}`]);
    const times = ['/a', '/a/b', '/a/b/dir', '/a/b/dir/file', '/file'].map((path) => built.image.tree.get(path)?.mtime);
    expect(times).toEqual([epoch, epoch, epoch, epoch, 1_900_000_000]);
  });

  test('may come from the environment, a global ARG, or the youngest file of the context', async () => {
    const created = async (cwd: string, words: string[], env = {}): Promise<unknown> =>
      (await build(person!, cwd, person!.store, words, env)).image.config.created;
    const cwd = contextOf(person!, text);
    expect(await created(cwd, [], { SOURCE_DATE_EPOCH: '5' })).toBe('1970-01-01T00:00:05.000Z');
    expect(await created(cwd, ['--build-arg', 'SOURCE_DATE_EPOCH=6'], { SOURCE_DATE_EPOCH: '5' })).toBe(
      '1970-01-01T00:00:06.000Z',
    );
    const withArg = contextOf(
      person!,
      `ARG SOURCE_DATE_EPOCH=7\n${text}ARG SOURCE_DATE_EPOCH\nENV E=$SOURCE_DATE_EPOCH\n`,
    );
    expect(await created(withArg, [])).toBe('1970-01-01T00:00:07.000Z');
    expect(await created(withArg, ['--build-arg', 'SOURCE_DATE_EPOCH='])).not.toMatch(/^1970/);
    for (const name of ['Buildfile', 'file', 'archive.tar']) utimesSync(join(withArg, name), 8, 8);
    const { image } = await build(person!, withArg, person!.store, ['--build-arg', 'SOURCE_DATE_EPOCH=context']);
    expect(image.config).toMatchObject({ created: '1970-01-01T00:00:08.000Z' });
    expect((image.config.config as { Env: string[] }).Env).toContain('E=8');
  });

  test('that is no time is refused where it stands', async () => {
    const cwd = contextOf(person!, 'ARG SOURCE_DATE_EPOCH=yesterday\nFROM scratch\nCOPY file /\n');
    const { code, stderr } = await person!.run(['.'], { cwd });
    expect(code).toBe(1);
    expect(stderr).toBe(`error[EPOCH_INVALID]: SOURCE_DATE_EPOCH is "yesterday"
 --> Buildfile:1:23
  |
1 | ARG SOURCE_DATE_EPOCH=yesterday
  |                       ^^^^^^^^^
help: give seconds since 1970 (as 'git log -1 --format=%ct' prints), 'context', or the name of a stage or of a --build-context that has files
`);
    const millis = await person!.run(['--build-arg', 'SOURCE_DATE_EPOCH=1600000000000', '.'], { cwd });
    expect(millis.stderr).toBe(
      'error[EPOCH_INVALID]: SOURCE_DATE_EPOCH is 1600000000000, which is no time from 1970 to 9999\n' +
        'help: give seconds, not milliseconds\n',
    );
  });
});
