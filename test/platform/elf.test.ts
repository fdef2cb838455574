import assert from 'node:assert';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, test } from 'vitest';
import { type ElfFacts, elfPlatform, formatPlatform, machineName, readElf } from '../../src/platform/index.js';
import { basesDir } from './bases.js';
import { elfFixture } from './elf-fixture.js';

function facts(head: Buffer): ElfFacts {
  const found = readElf(head.subarray(0, 4096));
  assert(found !== null);
  return found;
}

describe.skipIf(basesDir === undefined)('programs of ten architectures (skips without base systems)', () => {
  const machines: Record<string, [string, string]> = {
    amd64: ['x86-64', 'linux/amd64'],
    arm32v5: ['arm (EABI5 soft float)', 'linux/arm/v5'],
    arm32v6: ['arm (EABI5 soft float)', 'linux/arm/v5'],
    arm32v7: ['arm (EABI5 hard float)', 'linux/arm/v7'],
    arm64v8: ['arm64', 'linux/arm64'],
    i386: ['i386', 'linux/386'],
    mips64le: ['mips64le', 'linux/mips64le'],
    ppc64le: ['ppc64le', 'linux/ppc64le'],
    riscv64: ['riscv64', 'linux/riscv64'],
    s390x: ['s390x', 'linux/s390x'],
  };
  for (const [name, [machine, platform]] of Object.entries(machines)) {
    test(`hello for ${name} is a program for ${machine}`, () => {
      const elf = facts(readFileSync(`${basesDir}/hello/hello-${name}`));
      assert.equal(machineName(elf), machine);
      assert.equal(formatPlatform(elfPlatform(elf)), platform);
      assert.equal(elf.type, 'executable');
      assert.equal(elf.interpreter, null);
    });
  }
});

describe('ELF heads', () => {
  test('this Node says of itself what readelf says', ({ skip }) => {
    let header = '';
    try {
      header = execFileSync('readelf', ['-hlWn', process.execPath], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    } catch {
      skip('no readelf here');
    }
    const elf = facts(readFileSync(process.execPath));
    assert.equal(elf.bits, /Class: +ELF64/.test(header) ? 64 : 32);
    assert.equal(elf.endian, /little endian/.test(header) ? 'little' : 'big');
    assert.equal(elf.interpreter, /program interpreter: ([^\]]+)/.exec(header)?.[1] ?? null);
    assert.equal(elf.kernel, /OS: Linux, ABI: ([\d.]+)/.exec(header)?.[1] ?? null);
    assert(elf.dynamicAt !== null);
  });

  const made: [string, Parameters<typeof elfFixture>[0], string, string][] = [
    ['big-endian PowerPC', { machine: 21, endian: 'big' }, 'ppc64', 'linux/ppc64'],
    ['little-endian 32-bit MIPS', { machine: 8, bits: 32 }, 'mipsle', 'linux/mipsle'],
    ['MIPS n32', { machine: 8, bits: 32, endian: 'big', flags: 0x20 }, 'mips64', 'linux/mips64'],
    ['LoongArch', { machine: 258 }, 'loong64', 'linux/loong64'],
    ['x32', { machine: 62, bits: 32 }, 'x86-64 (x32 ABI)', 'linux/amd64p32'],
    ['31-bit S/390', { machine: 22, bits: 32, endian: 'big' }, 's390', 'linux/s390'],
    ['old ARM ABI', { machine: 40, bits: 32 }, 'arm (old ABI)', 'linux/arm/v7'],
    ['FreeBSD', { machine: 62, osabi: 9 }, 'x86-64', 'freebsd/amd64'],
    ['an unknown machine', { machine: 4711 }, 'machine 4711 (64-bit)', 'linux/elf-4711'],
  ];
  for (const [name, fixture, machine, platform] of made) {
    test(`${name} is called ${machine}`, () => {
      const elf = facts(elfFixture(fixture));
      assert.equal(machineName(elf), machine);
      assert.equal(formatPlatform(elfPlatform(elf)), platform);
    });
  }

  for (const [bits, endian] of [
    [32, 'little'],
    [32, 'big'],
    [64, 'little'],
    [64, 'big'],
  ] as const) {
    test(`the interpreter is found in ${bits}-bit ${endian}-endian files`, () => {
      const elf = facts(elfFixture({ machine: 40, bits, endian, interpreter: '/lib/ld-musl-x.so.1' }));
      assert.equal(elf.interpreter, '/lib/ld-musl-x.so.1');
    });
  }

  test('an interpreter beyond the head has a place but no name', () => {
    const elf = facts(elfFixture({ machine: 62, interpreter: '/lib/ld.so', interpreterOffset: 9000 }));
    assert.equal(elf.interpreter, null);
    assert.deepEqual(elf.interpreterAt, { offset: 9000, size: 11 });
  });

  test('files that are no ELF, or too short for its header, are null', () => {
    for (const bytes of [
      '',
      '\x7fELF',
      '#!/bin/sh\n',
      `\x7fELF${'\0'.repeat(80)}`,
      `\x7fELF\x02\x01${'\0'.repeat(20)}`,
    ]) {
      assert.equal(readElf(Buffer.from(bytes, 'latin1')), null);
    }
  });

  test('damaged heads give facts or null, and never an exception', () => {
    const sound = [
      readFileSync(process.execPath).subarray(0, 4096),
      elfFixture({ machine: 40, bits: 32, endian: 'big', interpreter: '/l' }),
    ];
    const damage = fc.tuple(
      fc.constantFrom(...sound),
      fc.array(fc.tuple(fc.nat(1200), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)), { maxLength: 40 }),
      fc.nat(4096),
    );
    fc.assert(
      fc.property(damage, ([head, changes, length]) => {
        const bytes = Buffer.from(head.subarray(0, Math.max(length, 20)));
        for (const [at, value] of changes) if (at >= 6 && at < bytes.length) bytes[at] = value;
        const elf = readElf(bytes);
        if (elf === null) return;
        assert(machineName(elf).length > 0 && elfPlatform(elf).architecture.length > 0);
      }),
      { numRuns: 5000 },
    );
  });
});
