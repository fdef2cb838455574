import assert from 'node:assert';
import { spawnSync } from 'node:child_process';
import { closeSync, copyFileSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { canExecuteHere, findEmulator, hostPlatform, readElf } from '../../src/platform/index.js';
import { isaLevelOf } from '../../src/platform/isa-level.js';
import { basesDir } from './bases.js';
import { elfFixture } from './elf-fixture.js';

describe('what this kernel executes', () => {
  test("this machine's own Node is native", () => {
    const facts = readElf(elfOf(process.execPath));
    assert(facts !== null);
    assert.equal(canExecuteHere(facts, hostPlatform()), 'native');
  });

  test('i386 on amd64 is what trying it says', ({ skip }) => {
    if (process.arch !== 'x64' || basesDir === undefined) skip('needs amd64 and an i386 program');
    const dir = mkdtempSync(join(tmpdir(), 'tsbuild-i386-'));
    copyFileSync(`${basesDir}/hello/hello-i386`, join(dir, 'hello'));
    const works = spawnSync(join(dir, 'hello')).error === undefined;
    rmSync(dir, { recursive: true });
    const facts = readElf(elfFixture({ machine: 3, bits: 32 }))!;
    assert.equal(canExecuteHere(facts, { os: 'linux', architecture: 'amd64' }), works ? 'compat' : 'no');
  });

  test('a foreign machine is not executed', () => {
    const facts = readElf(elfFixture({ machine: 22, endian: 'big' }))!;
    assert.equal(canExecuteHere(facts, { os: 'linux', architecture: 'arm64' }), 'no');
  });
});

describe('registered emulators', () => {
  const head = elfFixture({ machine: 183 });
  const magic = '7f454c460201010000000000000000000200b700';
  const mask = 'ffffffffffffff00fffffffffffffffffeffffff';

  function withHandlers(files: Readonly<Record<string, string>>, check: (directory: string) => void): void {
    const directory = mkdtempSync(join(tmpdir(), 'tsbuild-binfmt-'));
    mkdirSync(directory, { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    try {
      check(directory);
    } finally {
      rmSync(directory, { recursive: true });
    }
  }
  const handler = (flags: string, state = 'enabled') =>
    `${state}\ninterpreter /usr/bin/qemu-aarch64-static\nflags: ${flags}\noffset 0\nmagic ${magic}\nmask ${mask}\n`;

  test('one whose magic matches is found, with whether it works in every root', () => {
    withHandlers({ status: 'enabled\n', register: '', 'qemu-aarch64': handler('OCF') }, (directory) => {
      assert.equal(findEmulator(head, directory)?.interpreter, '/usr/bin/qemu-aarch64-static');
      assert.equal(findEmulator(head, directory)?.everywhere, true);
      assert.equal(findEmulator(elfFixture({ machine: 62 }), directory), undefined);
    });
    withHandlers({ status: 'enabled\n', 'qemu-aarch64': handler('OC') }, (directory) => {
      assert.equal(findEmulator(head, directory)?.everywhere, false);
    });
  });

  test('disabled ones, ones by extension and unreadable directories are none', () => {
    withHandlers({ status: 'enabled\n', 'qemu-aarch64': handler('F', 'disabled') }, (directory) => {
      assert.equal(findEmulator(head, directory), undefined);
    });
    withHandlers({ status: 'disabled\n', 'qemu-aarch64': handler('F') }, (directory) => {
      assert.equal(findEmulator(head, directory), undefined);
    });
    withHandlers(
      { status: 'enabled\n', py: 'enabled\ninterpreter /bin/python\nflags: \nextension .py\n' },
      (directory) => {
        assert.equal(findEmulator(head, directory), undefined);
      },
    );
    assert.equal(findEmulator(head, '/nonexistent'), undefined);
  });
});

test('the levels of x86-64 are told by the flags of the processor', () => {
  const v2 = ['cx16', 'lahf_lm', 'popcnt', 'sse4_1', 'sse4_2', 'ssse3'];
  const v3 = [...v2, 'avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'abm', 'movbe', 'xsave'];
  const v4 = [...v3, 'avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'];
  assert.deepEqual(
    [['sse2'], v2, v3, v4].map((flags) => isaLevelOf(new Set(flags))),
    [1, 2, 3, 4],
  );
  assert.equal(isaLevelOf(new Set()), Number.POSITIVE_INFINITY);
});

function elfOf(path: string): Buffer {
  const head = Buffer.alloc(4096);
  const file = openSync(path, 'r');
  try {
    readSync(file, head);
  } finally {
    closeSync(file);
  }
  return head;
}
