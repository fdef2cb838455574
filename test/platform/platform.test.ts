import assert from 'node:assert';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'vitest';
import { renderError } from '../../src/base/index.js';
import {
  formatPlatform,
  hostPlatform,
  parsePlatform,
  requirePlatform,
  samePlatform,
} from '../../src/platform/index.js';

describe('platform names', () => {
  const names = {
    'linux/amd64': 'linux/amd64',
    amd64: 'linux/amd64',
    x86_64: 'linux/amd64',
    'LINUX/X86-64': 'linux/amd64',
    'linux/amd64/v1': 'linux/amd64',
    'linux/amd64/v3': 'linux/amd64/v3',
    aarch64: 'linux/arm64',
    'arm64/v8': 'linux/arm64',
    'linux/arm64/8': 'linux/arm64',
    'linux/arm64/v9': 'linux/arm64/v9',
    arm: 'linux/arm/v7',
    armhf: 'linux/arm/v7',
    'arm/6': 'linux/arm/v6',
    armel: 'linux/arm/v6',
    i386: 'linux/386',
    i686: 'linux/386',
    ppc64el: 'linux/ppc64le',
    mips64el: 'linux/mips64le',
    riscv64: 'linux/riscv64',
    's390x ': 'linux/s390x',
    'macos/arm64': 'darwin/arm64',
    'windows/amd64': 'windows/amd64',
    local: formatPlatform(hostPlatform()),
    linux: formatPlatform(hostPlatform()),
  };
  for (const [text, expected] of Object.entries(names)) {
    test(`${text} is ${expected}`, () => assert.equal(formatPlatform(parsePlatform(text)), expected));
  }

  for (const text of [
    '',
    'linux/',
    'linux/foo',
    '/amd64',
    'linux/amd64/v3/x',
    'linux/amd64/vx',
    'a b',
    'amd46',
    '../x',
    'foo/bar/v1',
  ]) {
    test(`${JSON.stringify(text)} is refused`, () => {
      assert.throws(() => parsePlatform(text), { name: 'BuildError', code: 'PLATFORM_INVALID' });
    });
  }

  test('a typing mistake in the architecture is met with the right name', () => {
    assert.throws(() => parsePlatform('linux/amd46'), { hint: /did you mean amd64\?/ });
  });

  test('spellings of one platform are the same platform', () => {
    const platform = { os: 'linux', architecture: 'arm64' };
    assert(samePlatform(platform, { os: 'linux', architecture: 'aarch64', variant: 'v8' }));
    assert(!samePlatform(platform, { os: 'linux', architecture: 'amd64' }));
  });

  test('the host has the platform that dpkg knows it by', ({ skip }) => {
    let name = '';
    try {
      name = execFileSync('dpkg', ['--print-architecture'], { encoding: 'utf8' }).trim();
    } catch {
      skip('no dpkg here');
    }
    assert.equal(hostPlatform().architecture, parsePlatform(name).architecture);
  });
});

describe('the platform of a base', () => {
  const pairs = [
    { base: 'amd64', target: 'amd64', refused: false },
    { base: 'arm64', target: 'amd64', refused: true },
    { base: 'amd64', target: 'arm64', refused: true },
    { base: '386', target: 'amd64', refused: true },
    { base: 'arm/v6', target: 'arm/v7', refused: false },
    { base: 'arm/v7', target: 'arm/v6', refused: true },
    { base: 'arm/v7', target: 'arm64', refused: true },
    { base: 'amd64', target: 'amd64/v3', refused: false },
    { base: 'amd64/v3', target: 'amd64', refused: true },
    { base: 'windows/amd64', target: 'amd64', refused: true },
    { base: 'ppc64', target: 'ppc64le', refused: true },
  ];
  for (const { base, target, refused } of pairs) {
    test(`${base} in a ${target} build is ${refused ? 'refused' : 'accepted'}`, () => {
      const check = (): void => requirePlatform({ ref: 'b', platform: parsePlatform(base) }, parsePlatform(target));
      if (refused) assert.throws(check, { code: 'ARCH_MISMATCH' });
      else assert.doesNotThrow(check);
    });
  }

  test('a refusal shows the line, both platforms and both ways out', () => {
    const file = { name: 'Buildfile', text: 'FROM alpine:3.20\n' };
    const base = { ref: 'alpine:3.20', platform: parsePlatform('arm64'), at: { file, start: 5, end: 16 } };
    try {
      requirePlatform(base, parsePlatform('amd64'));
      assert.fail('accepted');
    } catch (error) {
      assert.equal(
        renderError(error),
        `error[ARCH_MISMATCH]: alpine:3.20 is linux/arm64, this build targets linux/amd64
 --> Buildfile:1:6
  |
1 | FROM alpine:3.20
  |      ^^^^^^^^^^^
help: pull alpine:3.20 for linux/amd64, or build with --platform linux/arm64`,
      );
    }
  });
});
