import assert from 'node:assert';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'vitest';
import { aptMirrors } from '../../src/source/apt-sources.js';

let etc: string;
beforeEach(() => {
  etc = mkdtempSync(join(tmpdir(), 'tsbuild-apt-'));
  mkdirSync(join(etc, 'sources.list.d'));
});
afterEach(() => rmSync(etc, { recursive: true }));

const stanzas = `Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main
`;

describe("the mirrors of this machine's apt", () => {
  test('serve its own release with updates and security', () => {
    writeFileSync(join(etc, 'sources.list.d/debian.sources'), stanzas);
    writeFileSync(join(etc, 'sources.list.d/other.list'), 'deb [arch=amd64] https://other.example/apt nodistro main\n');
    assert.deepEqual(aptMirrors('bookworm', etc), [
      'deb http://mirror.example/debian bookworm main contrib',
      'deb http://mirror.example/debian bookworm-updates main contrib',
      'deb http://mirror.example/debian-security bookworm-security main',
    ]);
  });

  test('are asked for other releases too', () => {
    writeFileSync(join(etc, 'sources.list.d/debian.sources'), stanzas);
    assert.deepEqual(aptMirrors('trixie', etc), ['http://mirror.example/debian']);
  });

  test('are read from the one-line format', () => {
    writeFileSync(
      join(etc, 'sources.list'),
      '# x\ndeb-src http://a/debian bookworm main\ndeb [signed-by=/k] http://a/debian bookworm main # y\n',
    );
    assert.deepEqual(aptMirrors('bookworm', etc), ['deb http://a/debian bookworm main']);
  });

  test('are left to mmdebstrap where there are none', () => {
    assert.deepEqual(aptMirrors('bookworm', etc), []);
    assert.deepEqual(aptMirrors('bookworm', '/nonexistent'), []);
  });
});
