// What people read when the machine is wrong: permissions, stores that are none, archives that are damaged, registries
// that are away. And what scripts read: digests on standard output, progress as JSON.
import assert from 'node:assert';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { output, type Person, people, type RunOptions } from '../support/tsbuild.js';
import { assertStoreUnharmed, type Seen, seenStore } from '../support/unharmed.js';

/** An ordinary user where there is one: root may read and write everything. */
const person = people().at(-1)!;
const testOrdinary = test.skipIf(person.name !== 'user');

let before: Seen;
beforeAll(async () => {
  output(
    await person.run(['-t', 'app:1', '.'], { cwd: context(person, { Buildfile: 'FROM host://sh\nCMD ["true"]\n' }) }),
  );
  before = await seenStore(person);
});
afterAll(() => assertStoreUnharmed(person, before));

function context(owner: Person, files: Readonly<Record<string, string>>): string {
  const dir = owner.dir('context');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  return owner.own(dir);
}

/** A failure with exit code 1 whose message, from 'error[' on, is `says`. */
async function fails(args: readonly string[], says: string, options: RunOptions = {}): Promise<void> {
  const { code, stdout, stderr } = await person.run(args, options);
  assert.equal(stderr.slice(Math.max(0, stderr.search(/^error\[/m))), `${says}\n`);
  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
}

describe('stores', () => {
  const another = 'choose another directory with --store';

  test('that are a file, or below one', async () => {
    const file = join(person.home, 'file');
    writeFileSync(file, '');
    for (const dir of [file, join(file, 'below')]) {
      const says = `error[STORE_NOT_A_STORE]: store ${dir}: a part of its path is no directory\nhelp: ${another}`;
      await fails(['images', '--store', dir], says);
    }
  });

  test('that are a directory with other things in it', async () => {
    const dir = context(person, { letter: 'Dear …' });
    const says = `error[STORE_NOT_A_STORE]: ${dir} is no store: it contains 'letter'`;
    await fails(['images', '--store', dir], `${says}\nhelp: give --store an empty or a new directory`);
  });

  test('of a version to come', async () => {
    const dir = person.dir('newer');
    output(await person.run(['images', '--store', dir]));
    writeFileSync(join(dir, 'format.json'), '{"format":"tsbuild-store","version":99}\n');
    const says = `error[STORE_TOO_NEW]: store ${dir} has format 99, this version of tsbuild knows 1`;
    await fails(['images', '--store', dir], `${says}\nhelp: update tsbuild, or ${another}`);
  });

  testOrdinary("of another user, and where a directory can't be made", async () => {
    const help = 'help: the store belongs to another user: choose another with --store';
    await fails(
      ['images', '--store', '/root/store'],
      `error[STORE_DENIED]: store /root/store: permission denied\n${help}`,
    );
    const parent = person.dir('parent');
    chmodSync(parent, 0o555);
    const dir = join(parent, 'store');
    await fails(['images', '--store', dir], `error[STORE_DENIED]: store ${dir}: permission denied\n${help}`);
  });

  testOrdinary("that can't be written to can be read", async () => {
    const help =
      'help: its filesystem is read-only, or it belongs to another user: choose another directory with --store';
    const says = `error[STORE_READ_ONLY]: store ${person.store} can't be written to\n${help}`;
    chmodSync(person.store, 0o500);
    try {
      assert.match(output(await person.run(['images'])), /^app +1 /m);
      assert.match(output(await person.run(['inspect', 'app:1'])), /"RepoTags"/);
      await fails(['tag', 'app:1', 'other:1'], says);
      await fails(['-f', '-', '.'], says, { input: 'FROM scratch\n' });
    } finally {
      chmodSync(person.store, 0o700);
    }
  });
});

describe('contexts', () => {
  const text = 'FROM scratch\nCOPY . /all/\n';
  const place = ' --> Buildfile:2:1\n  |\n2 | COPY . /all/\n  | ^^^^^^^^^^^^';

  testOrdinary('with a directory that may not be read', async () => {
    const cwd = context(person, { Buildfile: text });
    mkdirSync(join(cwd, 'closed'), { mode: 0 });
    person.own(cwd);
    const says = `error[CONTEXT_UNREADABLE]: can't read closed: permission denied\n${place}`;
    await fails(['.'], `${says}\nhelp: make it readable, or exclude it with .dockerignore`, { cwd });
    writeFileSync(join(cwd, '.dockerignore'), 'closed\n');
    output(await person.run(['.'], { cwd }));
    rmSync(join(cwd, 'closed'), { recursive: true });
  });

  testOrdinary('with a file that may not be read', async () => {
    const cwd = context(person, { Buildfile: text, closed: 'secret' });
    chmodSync(join(cwd, 'closed'), 0);
    const { code, stderr } = await person.run(['.'], { cwd });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^error\[READ_FAILED\]: could not read closed: permission denied \(EACCES\)\n --> Buildfile:2:1\n/m,
    );
    assert.match(stderr, /\nhelp: check its permissions and those of the directories above it\n$/);
  });
});

describe('archives', () => {
  const noTar = 'help: it is incomplete, or no tar; fetch or make it again';
  const truncated = (name: string): string =>
    `error[TAR_TRUNCATED]: ${name}: the tar ends in the middle of a member (at byte 0)\n${noTar}`;

  test('that are none', async () => {
    const cwd = context(person, { letter: 'Dear …', 'noise.tar.gz': '\u001f\u008bnoise' });
    await fails(['load', '-i', 'letter'], truncated('letter'), { cwd });
    await fails(['load'], truncated('the archive'), { cwd, input: 'Dear …' });
    await fails(['import', 'letter'], truncated('letter'), { cwd });
    await fails(['import', '-'], truncated('standard input'), { cwd, input: 'Dear …' });
  });

  test('that are not there', async () => {
    const says = 'error[ARCHIVE_NOT_FOUND]: there is no file nowhere.tar\nhelp: name the archive file';
    await fails(['load', '-i', 'nowhere.tar'], says);
    const rootfs =
      'error[ROOTFS_NOT_FOUND]: there is no nowhere.tar\nhelp: name a directory or a tar with a root file system';
    await fails(['import', 'nowhere.tar'], rootfs);
  });

  test('that were cut short, at many places', async () => {
    const whole = join(person.home, 'whole.tar');
    output(await person.run(['save', '-o', whole, 'app:1']));
    const bytes = readFileSync(whole);
    const cut = join(person.dir('cut'), 'cut.tar');
    for (const share of [0.1, 0.5, 0.9, 0.999]) {
      writeFileSync(cut, bytes.subarray(0, Math.floor(bytes.length * share)));
      const { code, stderr } = await person.run(['load', '-i', cut]);
      assert.equal(code, 1);
      assert.match(stderr, /^error\[(TAR|ARCHIVE|LAYER|IMAGE|BLOB)_\w+\]: .+\nhelp: .+\n$/);
    }
  });

  test("that can't be written", async () => {
    const hint = 'help: name a file in a directory that you may write to, on a disk with room';
    const says = "error[ARCHIVE_UNWRITABLE]: nowhere/app.tar can't be written: there is no such directory";
    await fails(['save', '-o', 'nowhere/app.tar', 'app:1'], `${says}\n${hint}`);
  });
});

describe('registries that do not answer', () => {
  const help = 'help: check its name and port, and that this machine can reach it';
  const says = `error[REGISTRY_UNREACHABLE]: localhost:1: nothing listens there (connection refused)\n${help}`;
  test('a pull', () => fails(['pull', '-q', 'localhost:1/app:1'], says));
  test('a push', () => fails(['push', '-q', 'app:1', 'localhost:1/app:1'], says));
});

describe('for scripts', () => {
  const cwd = (): string =>
    context(person, { Buildfile: 'FROM host://sh\nRUN echo out; echo err >&2; echo $((6 * 7)) > /x\n' });

  test('-q prints the digest and nothing else', async () => {
    const { code, stdout, stderr } = await person.run(['-q', '--no-cache', '.'], { cwd: cwd() });
    assert.match(stdout, /^sha256:[0-9a-f]{64}\n$/);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  });

  test('progress goes to standard error', async () => {
    assert.equal(output(await person.run(['--no-cache', '.'], { cwd: cwd() })), '');
  });

  test('--progress=json is JSON from its first line to its last, also of a build that fails', async () => {
    const built = await person.run(['--progress=json', '--no-cache', '-t', 'app:1', '.'], { cwd: cwd() });
    const events = parseLines(output(built) + built.stderr);
    assert.deepEqual(
      events
        .filter(({ type }) => type === 'log')
        .map(({ stream, text }) => [stream, text])
        .sort(),
      [
        ['stderr', 'err'],
        ['stdout', 'out'],
      ],
    );
    assert.deepEqual(
      { ...events.at(-1), digest: '', durationMs: 0, time: '' },
      { v: 1, time: '', type: 'build-done', digest: '', tags: ['app:1'], durationMs: 0 },
    );
    output(await person.run(['-q', '-t', 'app:1', '-f', '-', '.'], { input: 'FROM host://sh\nCMD ["true"]\n' }));

    const failed = await person.run(['--progress=json', '-f', '-', '.'], { input: 'FROM host://sh\nRUN exit 3\n' });
    assert.deepEqual({ code: failed.code, stdout: failed.stdout }, { code: 1, stdout: '' });
    const { type, code, message, at } = parseLines(failed.stderr).at(-1)!;
    const place = { file: '<stdin>', line: 2, column: 1 };
    assert.deepEqual(
      { type, code, message, at },
      { type: 'build-failed', code: 'RUN_FAILED', message: 'this step failed: exit code 3', at: place },
    );
  });

  test("a digest that can't be written is said after the build", async () => {
    const { code, stderr } = await person.run(['-q', '--iidfile', 'nowhere/iid', '-f', '-', '.'], {
      input: 'FROM scratch\n',
    });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^error\[IIDFILE_UNWRITABLE\]: the image was built, but its digest can't be written to nowhere\/iid: ENOENT/,
    );
  });
});

function parseLines(text: string): Record<string, unknown>[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
