import assert from 'node:assert';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, test } from 'vitest';
import type { RootView } from '#store';
import { BuildError } from '../../src/base/index.js';
import { type Command, findEmulator, hostPlatform, requireRunnable } from '../../src/platform/index.js';
import { basesDir } from './bases.js';
import { elfFixture } from './elf-fixture.js';
import { type FileSpec, openTestStore, type TestStore } from './roots.js';

const host = { os: 'linux', architecture: 'amd64' };
const amd64 = elfFixture({ machine: 62 });
const glibc = elfFixture({ machine: 62, type: 3, interpreter: '/lib64/ld-linux-x86-64.so.2' });
const musl = elfFixture({ machine: 62, type: 3, interpreter: '/lib/ld-musl-x86_64.so.1' });
const arm64 = elfFixture({ machine: 183 });

/** Where the machine emulates arm64, such programs can start. */
const testForeign = test.skipIf(findEmulator(arm64) !== undefined);

let roots: TestStore;
beforeAll(async () => {
  roots = await openTestStore();
});
afterAll(() => roots.close());

function check(view: RootView, program: string, more: Partial<Command> = {}, platform = host): void {
  const command = { program, searchPath: '/usr/bin:/bin', cwd: '/work', what: 'RUN', ...more };
  requireRunnable(view, command, platform, (layer) =>
    layer === 0 ? 'base image b' : `COPY at Buildfile:${layer + 1}`,
  );
}

function refusal(view: RootView, program: string, more: Partial<Command> = {}, platform = host): BuildError {
  try {
    check(view, program, more, platform);
  } catch (error) {
    assert(error instanceof BuildError);
    return error;
  }
  throw new Error(`${program} was accepted`);
}

describe('commands that can start', () => {
  const accepted: [string, string, Readonly<Record<string, FileSpec>>, Partial<Command>?][] = [
    ['a static program', '/bin/sh', { 'bin/sh': amd64 }],
    [
      'a program behind symlinks',
      '/bin/sh',
      { bin: { link: 'usr/bin' }, 'usr/bin/sh': { link: '/usr/bin/dash' }, 'usr/bin/dash': amd64 },
    ],
    ['a program on PATH', 'tool', { 'bin/tool': amd64 }],
    [
      'one on PATH after a file without permission',
      'tool',
      { 'usr/bin/tool': { bytes: 'x', mode: 0o644 }, 'bin/tool': amd64 },
    ],
    ['one in the working directory, by an empty PATH element', 'tool', { 'work/tool': amd64 }, { searchPath: '/bin:' }],
    ['a relative path', './tool', { 'work/tool': amd64 }],
    ['a path with .. through a symlink', '/a/../tool', { a: { link: 'x/y' }, 'x/y/z': amd64, 'x/tool': amd64 }],
    ['a program with its loader', '/bin/ls', { 'bin/ls': glibc, 'lib64/ld-linux-x86-64.so.2': amd64 }],
    ['a script', './run', { 'work/run': '#!/bin/sh -e\n', 'bin/sh': amd64 }],
    ['a script by env', './run', { 'work/run': '#! /usr/bin/env tool\n', 'usr/bin/env': amd64, 'bin/tool': amd64 }],
    [
      'env with an option, which is not followed',
      './run',
      { 'work/run': '#!/usr/bin/env -S x y\n', 'usr/bin/env': amd64 },
    ],
    [
      'five scripts that interpret each other',
      '/s1',
      { s1: '#!/s2\n', s2: '#!/s3\n', s3: '#!/s4\n', s4: '#!/s5\n', s5: '#!/p\n', p: amd64 },
    ],
    ['an interpreter with a name of 252 bytes', '/s', { s: `#!/${'x'.repeat(251)}\n`, ['x'.repeat(251)]: amd64 }],
    ['what lies below a mount', '/cache/bin/tool', { x: '' }, { hidden: ['/cache'] }],
    ['what may lie below a mount earlier on PATH', 'tool', { x: '' }, { hidden: ['/usr/bin'] }],
    ['a symlink into a mount', '/bin/tool', { 'bin/tool': { link: '/cache/tool' } }, { hidden: ['/cache/'] }],
    ['a program of /proc', '/proc/self/exe', { x: '' }],
    ['a script whose interpreter lies below a mount', '/s', { s: '#!/venv/bin/python\n' }, { hidden: ['/venv'] }],
  ];
  for (const [name, program, files, more] of accepted) {
    test(`${name} is accepted`, async () => check(await roots.root(files), program, more));
  }

  test('an interpreter far into the file is found', async () => {
    const far = elfFixture({ machine: 62, type: 3, interpreter: '/lib/ld-here', interpreterOffset: 70_000 });
    check(await roots.root({ 'bin/p': far, 'lib/ld-here': amd64 }), '/bin/p');
    const error = refusal(await roots.root({ 'bin/p': far }), '/bin/p');
    assert.match(error.message, /whose loader \/lib\/ld-here the image does not have/);
  });

  test("this machine's own Node is accepted over its own root's files", async () => {
    const node = readFileSync(process.execPath).subarray(0, 65536);
    const interpreter = /\/lib[^\0]*ld-[^\0]+/.exec(node.toString('latin1'))?.[0];
    const files = { 'bin/node': node, ...(interpreter && { [interpreter.slice(1)]: readFileSync(interpreter) }) };
    check(await roots.root(files), 'node', {}, hostPlatform());
  });
});

describe('commands that can not start', () => {
  test('a missing program is named, with the one that was meant', async () => {
    const error = refusal(await roots.root({ 'usr/bin/python3': amd64 }), 'pyton3');
    assert.equal(error.code, 'PROGRAM_NOT_FOUND');
    assert.match(error.message, /^RUN needs pyton3, which the image does not have on its PATH/);
    assert.equal(error.hint, 'did you mean python3?');
  });

  test('a shell that an image without one lacks leads to the exec form', async () => {
    const error = refusal(await roots.root({ 'app/x': amd64 }), '/bin/sh');
    assert.equal(error.code, 'PROGRAM_NOT_FOUND');
    assert.match(error.hint ?? '', /the image has no \/bin\/sh; use the exec form/);
  });

  const notExecutable: [string, FileSpec | null, RegExp][] = [
    ['a file without permission', { bytes: amd64, mode: 0o644 }, /has no execute permission \(mode 0644\)/],
    ['a directory', null, /is a directory, no program/],
    ['text without #!', 'echo hello\n', /has no #! line/],
    ['an empty file', '', /is empty/],
    ['other bytes', Buffer.from([0, 1, 2, 3]), /in no format that the kernel executes/],
    ['an object file', elfFixture({ machine: 62, type: 1 }), /an ELF file of type relocatable/],
    ['a truncated program', amd64.subarray(0, 40), /a damaged ELF file/],
    ["an interpreter name beyond the kernel's limit", `#!/${'x'.repeat(300)}\n`, /has no #! line/],
  ];
  for (const [name, spec, message] of notExecutable) {
    test(`${name} is PROGRAM_NOT_EXECUTABLE`, async () => {
      const error = refusal(await roots.root(spec === null ? { 'bin/p/x': '' } : { 'bin/p': spec }), '/bin/p');
      assert.equal(error.code, 'PROGRAM_NOT_EXECUTABLE');
      assert.match(error.message, message);
    });
  }

  testForeign('a program for another machine is refused with its file, machine and origin', async () => {
    const view = await roots.root({ 'bin/busybox': arm64, 'bin/sh': { link: 'busybox' } });
    const error = refusal(view, '/bin/sh');
    assert.equal(error.code, 'ARCH_CANNOT_EXECUTE');
    assert.equal(
      error.message,
      'RUN needs /bin/sh (/bin/busybox, from base image b), a program for arm64; this machine is x86-64',
    );
  });

  testForeign('the origin is the layer that has the file', async () => {
    const error = refusal(await roots.root({ 'bin/sh': amd64 }, { x: '' }, { 'app/tool': arm64 }), '/app/tool');
    assert.match(error.message, /\/app\/tool \(from COPY at Buildfile:3\)/);
  });

  testForeign('an interpreter for another machine is found through the script', async () => {
    const view = await roots.root({ 'run.sh': '#!/bin/sh\n', 'bin/sh': arm64 });
    const error = refusal(view, '/run.sh');
    assert.equal(error.code, 'ARCH_CANNOT_EXECUTE');
    assert.match(error.message, /\/bin\/sh .* for arm64/);
  });

  test('a glibc program in a musl image is told so', async () => {
    const view = await roots.root({
      'bin/busybox': musl,
      'bin/sh': { link: '/bin/busybox' },
      'lib/ld-musl-x86_64.so.1': amd64,
      'app/p': glibc,
    });
    const error = refusal(view, '/app/p');
    assert.equal(error.code, 'INTERPRETER_MISSING');
    assert.match(
      error.message,
      /whose loader \/lib64\/ld-linux-x86-64.so.2 the image does not have: it was built for glibc, this image has musl/,
    );
  });

  test('a musl program in a glibc image is told so', async () => {
    const view = await roots.root({ 'bin/sh': glibc, 'lib64/ld-linux-x86-64.so.2': amd64, 'app/p': musl });
    assert.match(refusal(view, '/app/p').message, /it was built for musl, this image has glibc/);
  });

  test('a loader for another machine is refused', async () => {
    const error = refusal(await roots.root({ 'bin/p': glibc, 'lib64/ld-linux-x86-64.so.2': arm64 }), '/bin/p');
    assert.equal(error.code, 'ARCH_CANNOT_EXECUTE');
    assert.match(error.message, /its loader .* is for arm64/);
  });

  test('a script without its interpreter is refused by both names', async () => {
    const error = refusal(await roots.root({ s: '#!/usr/bin/python3\n' }), '/s');
    assert.equal(error.code, 'SCRIPT_INTERPRETER_MISSING');
    assert.match(error.message, /\/s \(from base image b\), a script for \/usr\/bin\/python3/);
  });

  test('a script for a program that env will not find is refused', async () => {
    const error = refusal(
      await roots.root({ s: '#!/usr/bin/env node\n', 'usr/bin/env': amd64, 'bin/nodes': amd64 }),
      '/s',
    );
    assert.equal(error.code, 'SCRIPT_INTERPRETER_MISSING');
    assert.match(error.hint ?? '', /did you mean nodes\?/);
  });

  test('Windows line ends are recognised', async () => {
    const error = refusal(await roots.root({ s: '#!/bin/sh\r\necho\r\n', 'bin/sh': amd64 }), '/s');
    assert.equal(error.code, 'SCRIPT_INTERPRETER_MISSING');
    assert.match(error.message, /Windows line ends/);
  });

  test('a sixth script in a row, and scripts in a circle, are refused', async () => {
    const chain = { s0: '#!/s1\n', s1: '#!/s2\n', s2: '#!/s3\n', s3: '#!/s4\n', s4: '#!/s5\n', s5: '#!/p\n', p: amd64 };
    assert.match(refusal(await roots.root(chain), '/s0').message, /more than 5 scripts/);
    assert.match(refusal(await roots.root({ s: '#!/s\n' }), '/s').message, /more than 5 scripts/);
  });

  test('symlinks in a circle are no program', async () => {
    const error = refusal(await roots.root({ a: { link: '/b' }, b: { link: '/a' } }), '/a');
    assert.equal(error.code, 'PROGRAM_NOT_FOUND');
  });
});

describe.skipIf(basesDir === undefined)('real programs of other architectures (skips without base systems)', () => {
  for (const name of ['arm32v5', 'arm32v7', 'arm64v8', 'mips64le', 'ppc64le', 'riscv64', 's390x']) {
    test(`hello for ${name} is refused on amd64`, async ({ skip }) => {
      const hello = readFileSync(`${basesDir}/hello/hello-${name}`);
      if (findEmulator(hello)) skip('this machine emulates it');
      const view = await roots.root({ hello });
      assert.equal(refusal(view, '/hello').code, 'ARCH_CANNOT_EXECUTE');
    });
  }
  for (const name of ['amd64', 'i386']) {
    test(`hello for ${name} is accepted on amd64`, async ({ skip }) => {
      if (process.arch !== 'x64') skip('needs an amd64 kernel');
      check(await roots.root({ hello: readFileSync(`${basesDir}/hello/hello-${name}`) }), '/hello');
    });
  }
});
