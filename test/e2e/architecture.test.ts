// Programs and images for another machine, told before anything starts: no 'exec format error' ever reaches a person.
import assert from 'node:assert';
import { createHash } from 'node:crypto';
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { basesDir } from '../platform/bases.js';
import { foreignProgram } from '../support/foreign-program.js';
import { output, type Person, people, type Result } from '../support/tsbuild.js';

const foreign = foreignProgram();
const reason = typeof foreign === 'string' ? ` (skips: ${foreign})` : '';
const { path: program, architecture, machine, hostMachine } = typeof foreign === 'string' ? nothing() : foreign;
const hostArchitecture = process.arch === 'x64' ? 'amd64' : process.arch;
const [here, there] = [`linux/${hostArchitecture}`, `linux/${architecture}`];
const base = 'FROM host://sh,coreutils\n';
const emulator = `take what holds it for ${here} instead of ${there}, or register an emulator for ${machine} on this machine (qemu-user-static and binfmt-support)`;

function nothing() {
  return { path: '', architecture: '', machine: '', hostMachine: '' };
}

describe.skipIf(typeof foreign === 'string')(`with a real program for another machine${reason}`, () => {
  for (const person of people()) describe(`as ${person.name}`, () => refusals(person));
});

function refusals(person: Person): void {
  const said: Result[] = [];
  afterAll(() => {
    for (const { stdout, stderr } of said) assert.doesNotMatch(stdout + stderr, /exec format error/i);
  });

  const run = async (args: readonly string[], cwd?: string): Promise<Result> => {
    const result = await person.run(args, cwd === undefined ? {} : { cwd });
    said.push(result);
    return result;
  };
  const context = (buildfile: string, files: Readonly<Record<string, string>> = {}): string => {
    const dir = person.dir('context');
    writeFileSync(join(dir, 'Buildfile'), buildfile);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text, { mode: 0o755 });
    copyFileSync(program, join(dir, 'tool'));
    return person.own(dir);
  };
  /** Asserts exit code 1, the message, and that no RUN step has started. */
  const refuses = async (args: readonly string[], says: string, cwd?: string): Promise<void> => {
    const { code, stdout, stderr } = await run(args, cwd);
    assert.equal(stderr.slice(Math.max(0, stderr.search(/^error\[/m))), `${says}\n`);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
    assert.doesNotMatch(stderr, /^#\d+ [\d.]+ .*ran$/m);
  };
  const place = (line: number, column: number, text: string, marked = text): string =>
    ` --> Buildfile:${line}:${column}\n  |\n${line} | ${text}\n  | ${' '.repeat(column - 1)}${'^'.repeat(marked.length)}`;

  beforeAll(async () => {
    const text = 'FROM scratch\nCOPY --chmod=755 tool /bin/tool\nCMD ["/bin/tool", "true"]\n';
    output(await run(['-q', '--platform', there, '-t', 'foreign:1', '.'], context(text)));
    output(await run(['-q', '--arch-policy=allow', '-t', 'lying:1', '.'], context(text)));
  });

  describe('bases', () => {
    const mismatch = (ref: string): string =>
      `error[ARCH_MISMATCH]: ${ref} is ${there}, this build targets ${here}\n${place(1, 6, `FROM ${ref}`, ref)}\nhelp: pull ${ref} for ${here}, or build with --platform ${there}`;
    const onBase = (ref: string): string => context(`FROM ${ref}\nRUN echo ran\n`);

    test('an image of the store', () => refuses(['.'], mismatch('foreign:1'), onBase('foreign:1')));

    test('an OCI layout and archives', async () => {
      const dir = person.dir('elsewhere');
      output(await run(['push', 'foreign:1', `oci-layout://${dir}/layout:1`]));
      output(await run(['save', '-o', `${dir}/docker.tar`, 'foreign:1']));
      output(await run(['save', '--format', 'oci-archive', '-o', `${dir}/oci.tar`, 'foreign:1']));
      for (const ref of [
        `oci-layout://${dir}/layout:1`,
        `docker-archive:${dir}/docker.tar`,
        `oci-archive:${dir}/oci.tar`,
      ]) {
        await refuses(['.'], mismatch(ref), onBase(ref));
      }
    });

    test('an index that has other platforms only', async () => {
      const dir = `${person.dir('elsewhere')}/layout`;
      output(await run(['push', 'foreign:1', `oci-layout://${dir}:1`]));
      const index = JSON.parse(readFileSync(`${dir}/index.json`, 'utf8')) as { manifests: object[] };
      const [entry] = index.manifests;
      const s390x = { ...entry, platform: { os: 'linux', architecture: 's390x' } };
      const nested = JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.index.v1+json',
        manifests: [entry, s390x],
      });
      const digest = createHash('sha256').update(nested).digest('hex');
      writeFileSync(`${dir}/blobs/sha256/${digest}`, nested);
      const outer = {
        mediaType: 'application/vnd.oci.image.index.v1+json',
        digest: `sha256:${digest}`,
        size: nested.length,
      };
      writeFileSync(`${dir}/index.json`, JSON.stringify({ schemaVersion: 2, manifests: [outer] }));
      const ref = `oci-layout://${dir}`;
      const says = [
        `error[PLATFORM_NOT_IN_INDEX]: ${ref}: ${dir} is ${there}, linux/s390x, not ${here}`,
        place(1, 6, `FROM ${ref}`, ref),
        `help: build with --platform ${there}, or use an image that is published for ${here}`,
      ];
      await refuses(['.'], says.join('\n'), onBase(ref));
    });

    test('an image whose config lies', async () => {
      const says = [
        `error[ARCH_CONFIG_LIES]: lying:1 says that it is ${here}, but its programs are for ${there} (such as /bin/tool)`,
        place(1, 6, 'FROM lying:1', 'lying:1'),
        `help: whoever made lying:1 mislabelled it: take a correct image, or rebuild that one for ${here}`,
      ];
      await refuses(['.'], says.join('\n'), onBase('lying:1'));
    });

    test("this machine's own programs, in a build for another", async () => {
      const ref = 'host://sh';
      const says = `error[ARCH_MISMATCH]: ${ref} is ${here}, this build targets ${there}\n${place(1, 6, `FROM ${ref}`, ref)}\nhelp: pull ${ref} for ${there}, or build with --platform ${here}`;
      await refuses(['--platform', there, '.'], says, context(`FROM ${ref}\nRUN echo ran\n`));
    });
  });

  describe('steps', () => {
    const copied = `${base}COPY --chmod=755 tool /usr/bin/\nCOPY --chmod=755 *.sh /bin/\n`;
    const needs = (command: string, what: string): string =>
      `error[ARCH_CANNOT_EXECUTE]: RUN needs ${what}, a program for ${machine}; this machine is ${hostMachine}\n${place(4, 1, command)}\nhelp: ${emulator}`;
    const scripts = {
      'direct.sh': '#!/usr/bin/tool sh\necho ran\n',
      'far.sh': '#!/bin/direct.sh\n',
      'env.sh': '#!/usr/bin/env tool\n',
    };
    const commands = [
      'RUN ["tool", "echo", "ran"]',
      'RUN ["/usr/bin/tool"]',
      'RUN tool echo ran',
      'RUN set -e; cd /tmp && A=1 tool',
      'RUN ["/bin/direct.sh"]',
      'RUN ["far.sh"]',
      'RUN env.sh',
    ];
    for (const command of commands) {
      test(command, () =>
        refuses(
          ['.'],
          needs(command, '/usr/bin/tool (from COPY at Buildfile:2)'),
          context(`${copied}${command}\n`, scripts),
        ),
      );
    }

    test('a shell of the base that is foreign', async () => {
      const text = `FROM foreign:1\nCOPY tool /bin/sh\nRUN echo ran\n`;
      const says = `error[ARCH_CANNOT_EXECUTE]: RUN needs /bin/sh (from COPY at Buildfile:2), a program for ${machine}; this machine is ${hostMachine}\n${place(3, 1, 'RUN echo ran')}\nhelp: ${emulator}`;
      await refuses(['--platform', there, '.'], says, context(text));
    });

    test('a program further on in a command fails with the reason', async () => {
      const cwd = context(`${base}COPY --chmod=755 tool /usr/bin/\nRUN echo first; tool 2>/dev/null\n`);
      const { code, stderr } = await run(['.'], cwd);
      assert.equal(code, 1);
      assert.match(
        stderr,
        new RegExp(
          `\nhelp: it needs /usr/bin/tool \\(from COPY at Buildfile:2\\), a program for ${machine}; this machine is ${hostMachine}\n$`,
        ),
      );
    });

    test.skipIf(basesDir === undefined || hostArchitecture !== 'amd64')(
      'a program whose loader is missing (skips without real musl programs)',
      async () => {
        const cwd = context(`FROM scratch\nADD root.tar.gz /\n`);
        copyFileSync(`${basesDir}/alpine/alpine-minirootfs-3.20.3-x86_64.tar.gz`, join(cwd, 'root.tar.gz'));
        writeFileSync(
          join(cwd, 'Second'),
          `FROM alpine:1\nRUN --network=none echo fine\nFROM host://sh\nCOPY --from=alpine:1 /bin/busybox /bin/\nRUN busybox echo ran\n`,
        );
        output(await run(['-q', '-t', 'alpine:1', '.'], cwd));
        const { code, stderr } = await run(['-f', 'Second', '.'], cwd);
        assert.equal(code, 1);
        assert.match(
          stderr,
          /^error\[INTERPRETER_MISSING\]: RUN needs \/usr\/bin\/busybox \(from COPY at Second:4\), whose loader \/lib\/ld-musl-x86_64\.so\.1 the image does not have: it was built for musl, this image has glibc\n --> Second:5:1\n/m,
        );
      },
    );
  });

  describe('files that come into an image', () => {
    const text = `${base}COPY --chmod=755 tool /opt/\n`;
    const message = `/opt/tool is for ${machine}; the image is for ${here}`;

    test('are reported, also from the cache', async () => {
      const cwd = context(text);
      for (let i = 0; i < 2; i++) {
        const { code, stderr } = await run(['.'], cwd);
        assert.equal(code, 0);
        const help = 'help: --arch-policy=refuse makes this an error, --arch-policy=allow silences it';
        assert(stderr.includes(`warning[ARCH_FOREIGN_EXECUTABLE]: ${message} (Buildfile:2)\n${help}\n`), stderr);
      }
      assert.doesNotMatch((await run(['--arch-policy=allow', '.'], cwd)).stderr, /warning/);
    });

    test('are refused where that is asked for', async () => {
      const says = `error[ARCH_FOREIGN_EXECUTABLE]: ${message}\n${place(2, 1, 'COPY --chmod=755 tool /opt/')}\nhelp: take the file for ${here}, or build with --arch-policy=warn`;
      await refuses(['--arch-policy=refuse', '.'], says, context(text));
    });

    test('are reported when a step makes them', async () => {
      const { code, stderr } = await run(['.'], context(`${text}RUN cp /opt/tool /opt/made\n`));
      assert.equal(code, 0);
      assert.match(stderr, new RegExp(`/opt/made is for ${machine}; the image is for ${here} \\(Buildfile:3\\)`));
    });
  });

  test('tsbuild run refuses a foreign image, and a foreign program in an image of ours', async () => {
    for (const name of ['foreign:1', 'lying:1']) {
      const what = `${name} needs /bin/tool (from image ${name}), a program for ${machine}; this machine is ${hostMachine}`;
      await refuses(['run', name], `error[ARCH_CANNOT_EXECUTE]: ${what}\nhelp: ${emulator}`);
    }
  });
}

describe.skipIf(basesDir === undefined)('published images for many machines (skips without base systems)', () => {
  const person = people().at(-1)!;
  for (const name of basesDir === undefined ? [] : readdirSync(join(basesDir, 'busybox'))) {
    const runsHere = hostArchitecture === 'amd64' ? ['amd64', 'i386'] : [`${hostArchitecture}v8`, 'arm32v7'];
    if (runsHere.includes(name)) continue;
    test(`busybox for ${name} is refused as a base and as an image to run`, async () => {
      const dir = person.dir('context');
      writeFileSync(join(dir, 'Buildfile'), `FROM oci-layout://${basesDir}/busybox/${name}\nRUN echo ran\n`);
      const built = await person.run(['.'], { cwd: person.own(dir) });
      assert.equal(built.code, 1);
      assert.match(
        built.stderr,
        /^error\[ARCH_MISMATCH\]: oci-layout:\S+ is linux\/\S+, this build targets linux\/\w+\n --> Buildfile:1:6\n/m,
      );
    });
  }
});
