// What people get to read when they, their files or their machine are wrong, word for word; and that nothing is harmed.
import assert from 'node:assert';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { output, type Person, people, type RunOptions } from '../support/tsbuild.js';
import { assertStoreUnharmed, type Seen, seenStore } from '../support/unharmed.js';

const [first, ...others] = people();
const ordinary = [first!, ...others].find((person) => person.name === 'user');
const testOrdinary = test.skipIf(ordinary === undefined);
const base = 'FROM host://sh,coreutils\n';
/** Nobody listens on port 1. */
const unreachable = 'localhost:1/app:1';
const refused = 'localhost:1: nothing listens there (connection refused)';
const checkName = 'check its name and port, and that this machine can reach it';

let before: Seen;
beforeAll(async () => {
  const dir = context(first!, { Buildfile: `${base}RUN echo kept > /kept\n` });
  output(await first!.run(['-t', 'kept:1', '.'], { cwd: dir }));
  before = await seenStore(first!);
});
afterAll(() => assertStoreUnharmed(first!, before));

function context(person: Person, files: Readonly<Record<string, string>>): string {
  const dir = person.dir('context');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  return person.own(dir);
}

interface Failure extends RunOptions {
  readonly person?: Person;
  readonly code: number;
  /** The whole message, from 'error[' on. */
  readonly says: string;
}

async function fails(args: readonly string[], { person = first!, code, says, ...options }: Failure): Promise<void> {
  const result = await person.run(args, options);
  assert.equal(result.stderr.slice(Math.max(0, result.stderr.search(/^error\[/m))), `${says}\n`);
  assert.equal(result.code, code);
  assert.equal(result.stdout, '');
}

/** A build of `buildfile` that fails with exit code 1. */
async function refuses(buildfile: string, says: string, args: readonly string[] = []): Promise<void> {
  const dir = context(first!, { Buildfile: buildfile, 'hello.txt': 'hello\n' });
  await fails([...args, '.'], { code: 1, says, cwd: dir });
}

describe('a command line that is wrong ends with 2', () => {
  const buildHelp = 'tsbuild build --help shows what it takes';
  const secretForm = 'write --secret id=NAME,src=FILE or id=NAME,env=VARIABLE';
  const argFileForm = 'give a file with lines NAME=VALUE';
  const nameForm = "write it as [registry[:port]/]name[:tag], such as 'app:1' or 'localhost:5000/team/app:1'";
  const cases: [words: string[], message: string, help: string][] = [
    [['buidl', '.'], 'there is no command buidl', 'did you mean tsbuild build?'],
    [['imagse', '--format', 'json'], 'there is no command imagse', 'did you mean tsbuild images?'],
    [['help', 'nonsense'], 'there is no command nonsense', "'tsbuild help' lists the commands"],
    [['--netwrok=host', '.'], 'build has no option --netwrok', 'did you mean --network?'],
    [['-x', '.'], 'build has no option -x', buildHelp],
    [['--progress=foo', '.'], '--progress does not take "foo"', 'it takes auto, plain, tty, json, quiet or none'],
    [['--tag'], "option '-t, --tag <name>' argument missing", buildHelp],
    [
      ['build', 'a', 'b'],
      'build takes one context, not 2: a b',
      'tsbuild help lists the commands; tsbuild build --help shows the options',
    ],
    [['df', 'all'], 'df takes no arguments, not all', 'tsbuild df --help shows what it takes'],
    [['run'], "missing required argument 'image'", 'tsbuild run --help shows what it takes'],
    [['--build-arg', '=1', '.'], '--build-arg =1: there is no name before the =', 'write --build-arg NAME=VALUE'],
    [['--label', '=a', '.'], '--label =a: there is no name before the =', 'write --label NAME=VALUE'],
    [['--no-cache=no', '.'], '--no-cache does not take "no"', 'it is a switch: write --no-cache, or leave it out'],
    [
      ['--push', '.'],
      '--output type=registry: tag is needed when pushing to registry',
      'name the image with -t, or name=',
    ],
    [['--provenance=maybe', '.'], '--provenance: provenance is true or false, not "maybe"', 'write provenance=true'],
    [['--provenance=mode=mid', '.'], '--provenance mode=mid: invalid mode "mid"', 'it is min or max'],
    [
      ['--provenance=version=v0.2', '.'],
      '--provenance version=v0.2: provenance of version v0.2 is not written',
      'leave version out: it is v1',
    ],
    [
      ['--attest', 'type=porvenance', '.'],
      '--attest type=porvenance: there is no type porvenance',
      'did you mean provenance?',
    ],
    [
      ['--attest', 'type=provenance,mdoe=min', '.'],
      '--attest type=provenance,mdoe=min: there is no field mdoe',
      'did you mean mode?',
    ],
    [['--build-arg-file', 'no', '.'], "--build-arg-file no: it can't be read: there is no such file", argFileForm],
    [['-o', 'type=local', '.'], '--output type=local: dest is required', 'give dest=DIRECTORY'],
    [
      ['-o', 'type=local,dest=out,mode=delete', '.'],
      '--output type=local,dest=out,mode=delete: mode=delete is not supported',
      'empty the directory first, and leave mode out',
    ],
    [
      ['-o', 'type=oci,dest=x.tar,compression=lz4', '.'],
      '--output type=oci,dest=x.tar,compression=lz4: unsupported layer compression type: lz4',
      'it is one of uncompressed, gzip, estargz, zstd',
    ],
    [
      ['-o', 'type=oci,dest=x.tar,compression-level=high', '.'],
      '--output type=oci,dest=x.tar,compression-level=high: compression-level=high is no number',
      'gzip and estargz take 0 to 9, zstd 1 to 22',
    ],
    [
      ['-o', 'type=oci,dest=x.tar,compression=zstd,compression-level=23', '.'],
      '--output type=oci,dest=x.tar,compression=zstd,compression-level=23: compression-level=23 is no level of zstd',
      'it goes from 1 to 22',
    ],
    [
      ['--provenance=true', '-o', 'type=oci,dest=x.tar,oci-mediatypes=false', '.'],
      '--output type=oci,dest=x.tar,oci-mediatypes=false: cannot export attestations or an index with "oci-mediatypes=false"',
      'leave one of the two out',
    ],
    [
      ['-o', 'type=docker,dest=x,tar=false', '.'],
      '--output type=docker,dest=x,tar=false: docker reads archives only',
      'leave tar=false out, or write type=oci',
    ],
    [['-o', 'type=imgae', '.'], '--output type=imgae: there is no type imgae', 'did you mean image?'],
    [
      ['-o', 'type=image,nmae=x', '.'],
      '--output type=image,nmae=x: type=image has no field nmae',
      'did you mean name?',
    ],
    [
      ['-o', 'type=image,push=true', '.'],
      '--output type=image,push=true: tag is needed when pushing to registry',
      'name the image with -t, or name=',
    ],
    [
      ['-o', 'type=image,rewrite-timestamp=maybe', '.'],
      '--output: rewrite-timestamp is true or false, not "maybe"',
      'write rewrite-timestamp=true',
    ],
    [
      ['-o', 'type=image,"name=a', '.'],
      '--output type=image,"name=a: a quote is never closed',
      'close it, or leave it out: only fields with commas need quotes',
    ],
    [['--annotation', 'a', '.'], '--annotation a: there is no =', 'write --annotation KEY=VALUE'],
    [
      ['--annotation', 'index:a=b', '.'],
      '--annotation index:a=b: index annotations not supported for single platform export',
      'write --annotation manifest:KEY=VALUE, or attest something (--provenance=true), which makes an index',
    ],
    [
      ['--annotation', 'mainfest:a=b', '.'],
      '--annotation mainfest:a=b: there is no mainfest to annotate',
      'did you mean manifest?',
    ],
    [
      ['--platform=linux/amd64', '--annotation', 'manifest[linux/arm64]:a=b', '.'],
      '--annotation manifest[linux/arm64]:a=b: the image is not for linux/arm64',
      'leave the platform out, or build for it with --platform',
    ],
    [['--secret', 'a', '.'], '--secret a: there is no =', secretForm],
    [['--secret', 'id=a,scr=b', '.'], '--secret id=a,scr=b: there is no field scr', secretForm],
    [['--secret', 'id=a,src=no', '.'], "--secret a: no can't be read: there is no such file", 'check src='],
    [['--secret', 'id=a,env=NOPE', '.'], '--secret a: the environment has no NOPE', 'set it, or give src=FILE'],
    [
      ['--build-context', 'a', '.'],
      '--build-context a: there is no =',
      'write --build-context NAME=DIR, NAME=IMAGE or NAME=URL',
    ],
    [
      ['--build-context', 'a=./no', '.'],
      '--build-context a: ./no is no directory',
      'give a directory, oci-layout://DIR[:tag], a URL, target:STAGE or the name of an image',
    ],
    [
      ['-t', 'kept:1', '-t', 'UPPER', '.'],
      '--tag UPPER: not an image name: "UPPER": repository names are lower-case: "upper", not "UPPER"',
      nameForm,
    ],
    [
      ['--platform', 'linux/mips99', '.'],
      '--platform linux/mips99: unknown architecture mips99 in platform "linux/mips99"',
      'did you mean mips64? a platform is os/architecture[/variant], such as linux/amd64, linux/arm64 or linux/arm/v7',
    ],
    [
      ['nowhere/at/all'],
      'there is no directory nowhere/at/all',
      'the context is the directory that COPY reads from, such as . ; a Buildfile is named with -f',
    ],
    [['gc', '--keep-days', 'x'], '--keep-days x is no number of days', '--keep-days 7'],
    [['import'], 'import takes either a source or --debian', 'tsbuild import --help shows examples'],
  ];
  for (const [words, message, help] of cases) {
    test(`tsbuild ${words.join(' ')}`, async () => {
      const cwd = context(first!, { Buildfile: `${base}RUN false\n` });
      await fails(words, { code: 2, says: `error[USAGE]: ${message}\nhelp: ${help}`, cwd });
    });
  }

  test('an archive is not sent to a terminal', async () => {
    const { execFileSync } = await import('node:child_process');
    const typed = `TSBUILD_STORE=${first!.store} bin/tsbuild save kept:1; echo "exit $?"`;
    const shown = execFileSync('script', ['-qec', typed, '/dev/null'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    }).toString();
    assert.match(
      shown,
      /error\[USAGE\]: an archive is nothing for a terminal\r\nhelp: write it to a file with -o, or into a pipe\r\nexit 2/,
    );
  });

  test('options of all commands may stand before the command', async () => {
    assert.match(output(await first!.run(['--store', first!.store, 'images'])), /^kept +1 /m);
  });
});

describe('Buildfiles that are no Buildfiles', () => {
  test('a missing one, named or not', async () => {
    const cwd = first!.dir('empty');
    const notFound = (what: string, help: string): string => `error[BUILDFILE_NOT_FOUND]: ${what}\nhelp: ${help}`;
    const help = 'check the path given with -f; it is relative to the current directory';
    await fails(['.'], {
      code: 1,
      cwd,
      says: notFound('. holds no Buildfile or Dockerfile', 'write one, or name it with -f'),
    });
    await fails(['-f', 'no', '.'], { code: 1, cwd, says: notFound('there is no Buildfile no', help) });
  });

  test('a directory', async () => {
    const cwd = first!.dir('context');
    mkdirSync(join(cwd, 'Buildfile'));
    const says = "error[BUILDFILE_UNREADABLE]: Buildfile can't be read: it is a directory\nhelp: give a file with -f";
    await fails(['.'], { code: 1, cwd, says });
  });

  testOrdinary('one that may not be read', async () => {
    const cwd = context(ordinary!, { Buildfile: base });
    chmodSync(join(cwd, 'Buildfile'), 0);
    const help = 'check its permissions and those of the directories above it';
    const says = `error[BUILDFILE_UNREADABLE]: Buildfile can't be read: permission denied\nhelp: ${help}`;
    await fails(['.'], { person: ordinary!, code: 1, cwd, says });
  });

  test('a program', async () => {
    const cwd = first!.dir('context');
    writeFileSync(join(cwd, 'Buildfile'), readFileSync('/bin/true'));
    const help = 'give the Buildfile with -f, and the context as the last argument';
    const says = `error[BUILDFILE_NOT_TEXT]: Buildfile is no text: it contains NUL bytes\nhelp: ${help}`;
    await fails(['.'], { code: 1, cwd, says });
  });

  test('nothing but comments', async () => {
    const help = "help: begin it with FROM and an image, or 'FROM scratch'";
    const place = ' --> Buildfile:2:1\n  |\n2 |\n  | ^';
    await refuses('# nothing\n', `error[BUILDFILE_EMPTY]: Buildfile has no instructions\n${place}\n${help}`);
  });

  test('a line of a megabyte is cut around the place', async () => {
    const says = [
      'error[ARGUMENTS_INVALID]: k has no =',
      ' --> Buildfile:2:1000010',
      '  |',
      `2 | …${'x'.repeat(96)}=1 k`,
      `  | ${' '.repeat(100)}^`,
      'help: write LABEL NAME=VALUE, with the value in quotes if it has blanks',
    ];
    await refuses(`FROM scratch\nLABEL ${'x'.repeat(1_000_000)}=1 k\n`, says.join('\n'));
  });

  test('ten thousand instructions take no longer than they must', async () => {
    const labels = Array.from({ length: 10_000 }, (_, i) => `LABEL a${i}=b\n`).join('');
    const started = performance.now();
    output(await first!.run(['--no-cache', '.'], { cwd: context(first!, { Buildfile: `FROM scratch\n${labels}` }) }));
    assert(performance.now() - started < 10_000);
  });
});

describe('bases and stages that are not there', () => {
  const at = (line: number, column: number, text: string, marked: string): string =>
    ` --> Buildfile:${line}:${column}\n  |\n${line} | ${text}\n  | ${' '.repeat(column - 1)}${'^'.repeat(marked.length)}`;
  const missing = (ref: string): string => `${ref} is not in the store, and could not be pulled: ${refused}`;

  test('a registry that does not answer', async () => {
    const place = at(1, 6, `FROM ${unreachable}`, unreachable);
    await refuses(
      `FROM ${unreachable}\n`,
      `error[BASE_NOT_FOUND]: ${missing(unreachable)}\n${place}\nhelp: ${checkName}`,
    );
  });

  test('a slip of an image that the store has', async () => {
    output(await first!.run(['tag', 'kept:1', 'localhost:1/kept:1']));
    const help = 'did you mean localhost:1/kept:1, which is in the store?';
    const place = at(1, 6, 'FROM localhost:1/kpet:1', 'localhost:1/kpet:1');
    await refuses(
      'FROM localhost:1/kpet:1\n',
      `error[BASE_NOT_FOUND]: ${missing('localhost:1/kpet:1')}\n${place}\nhelp: ${help}`,
    );
    output(await first!.run(['rmi', 'localhost:1/kept:1']));
  });

  test('stages that need each other', async () => {
    const text = 'FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\nCOPY --from=a /x /\n';
    const help = 'help: move what both need into a stage before them';
    const place = at(2, 13, 'COPY --from=b /x /', 'b');
    await refuses(text, `error[STAGE_CYCLE]: stages need each other: a → b → a\n${place}\n${help}`);
  });

  test('a name that is none', async () => {
    const says = [
      'error[REFERENCE_INVALID]: not an image name: "app@sha256:12": "sha256:12" is no digest (\'sha256:\' and 64 lower-case hexadecimal digits)',
      at(1, 6, 'FROM app@sha256:12', 'app@sha256:12'),
      "help: write it as [registry[:port]/]name[:tag], such as 'app:1' or 'localhost:5000/team/app:1'",
    ];
    await refuses('FROM app@sha256:12\n', says.join('\n'));
  });

  test('an instruction that is not executed yet', async () => {
    const place = at(2, 14, 'RUN --device=vendor/class true', 'vendor/class');
    const says = `error[NOT_SUPPORTED]: RUN --device is not supported by this version of tsbuild\n${place}`;
    await refuses(`${base}RUN --device=vendor/class true\n`, says);
  });
});

describe('steps that fail', () => {
  test('show where, how and their last lines', async () => {
    const says = [
      'error[RUN_FAILED]: this step failed: exit code 7',
      ' --> Buildfile:3:1',
      '  |',
      '3 | RUN seq 1 30; \\',
      '4 |     echo why >&2; exit 7',
      'its last output:',
      ...Array.from({ length: 19 }, (_, i) => `  ${i + 12}`),
      '  why',
    ];
    await refuses(`${base}\nRUN seq 1 30; \\\n    echo why >&2; exit 7\n`, says.join('\n'), ['--no-cache']);
  });

  test('by a signal', async () => {
    const says =
      'error[RUN_FAILED]: this step failed: killed by SIGSEGV\n --> Buildfile:2:1\n  |\n2 | RUN kill -SEGV $$\n  | ^^^^^^^^^^^^^^^^^\n(it printed nothing)';
    await refuses(`${base}RUN kill -SEGV $$\n`, says);
  });

  test('leave the steps before them in the cache', async () => {
    const cwd = context(first!, { Buildfile: `${base}RUN echo once > /once\nRUN false\n` });
    await first!.run(['.'], { cwd });
    assert.match((await first!.run(['.'], { cwd })).stderr, /RUN echo once > \/once\n#2 CACHED\n/);
  });

  test('what they print drives no terminal', async () => {
    const esc = '\\033';
    const text = `${base}RUN printf '${esc}]0;title\\007${esc}[2Jgone${esc}[31mred${esc}[0m\\n'; exit 1\n`;
    const { stderr } = await first!.run(['--no-cache', '.'], { cwd: context(first!, { Buildfile: text }) });
    assert.match(stderr, /^#2 [\d.]+ gone\u001b\[31mred\u001b\[0m$/m, 'colours stay');
    assert.match(stderr, /\\x1b\]0;title\\x07\\x1b\[2Jgone\\x1b\[31mred/, 'in the message they are shown');
    assert.doesNotMatch(stderr.replace(/\u001b\[\d*m/g, ''), /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
  });

  test('nor does what a Buildfile, a file name or an argument holds', async () => {
    const hostile = '\u001b]0;title\u0007';
    const cwd = context(first!, {
      Buildfile: `FROM scratch\n${hostile} x\n`,
      Copyfile: `FROM scratch\nCOPY ${hostile}x /\n`,
    });
    for (const args of [['.'], ['-f', 'Copyfile', '.'], [`no${hostile}dir`], ['-t', hostile, '.'], ['run', hostile]]) {
      const { code, stderr } = await first!.run(args, { cwd });
      assert.notEqual(code, 0);
      assert.doesNotMatch(stderr, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
    }
  });
});

describe('images and programs that are not there', () => {
  const notFound = (name: string, help: string): string =>
    `error[IMAGE_NOT_FOUND]: the store has no image "${name}"\nhelp: ${help}`;
  for (const words of [
    ['run'],
    ['inspect'],
    ['history'],
    ['rmi'],
    ['push'],
    ['save', '-o', 'x.tar'],
    ['tag', '.', 'x:1'],
  ]) {
    test(`tsbuild ${words.join(' ')}`, async () => {
      const named = (name: string): string[] => (words[0] === 'tag' ? ['tag', name, 'x:1'] : [...words, name]);
      const cwd = first!.home;
      await fails(named('kpet:1'), { code: 1, cwd, says: notFound('kpet:1', 'did you mean kept:1?') });
      await fails(named('far-away'), {
        code: 1,
        cwd,
        says: notFound('far-away', "'tsbuild images' lists what it has"),
      });
    });
  }

  test('run without a command, and with programs that are not there', async () => {
    output(await first!.run(['-q', '-t', 'bare:1', '-f', '-', '.'], { input: 'FROM scratch\n' }));
    const says =
      'error[RUN_EMPTY]: bare:1 has neither ENTRYPOINT nor CMD\nhelp: name a program: tsbuild run bare:1 PROGRAM';
    await fails(['run', 'bare:1'], { code: 1, says });
    output(await first!.run(['rmi', 'bare:1']));
    const path =
      'which the image does not have on its PATH (/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)';
    await fails(['run', 'kept:1', 'maek'], {
      code: 1,
      says: `error[PROGRAM_NOT_FOUND]: kept:1 needs maek, ${path}\nhelp: install the package that has it in this stage, or copy it in before this step`,
    });
  });

  test('run hands on how the program ended', async () => {
    for (const person of [first!, ...others]) {
      if (person !== first)
        output(await person.run(['-t', 'kept:1', '.'], { cwd: context(person, { Buildfile: base }) }));
      assert.equal((await person.run(['run', 'kept:1', 'sh', '-c', 'exit 42'])).code, 42);
      assert.equal((await person.run(['run', 'kept:1', 'sh', '-c', 'kill -KILL $$'])).code, 137);
    }
  });
});
