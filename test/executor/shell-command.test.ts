import assert from 'node:assert';
import { describe, test } from 'vitest';
import { firstProgram, namedPrograms } from '../../src/executor/shell-command.js';

describe('the program that a shell surely starts first', () => {
  const cases: [text: string, program: string | null][] = [
    ['tool --x', 'tool'],
    ['  /opt/tool', '/opt/tool'],
    ['A=1 B= tool', 'tool'],
    ['set -ex; tool', 'tool'],
    ['cd /src && tool a | b', 'tool'],
    ['set -e\ncd /src\ntool\n', 'tool'],
    ['# why\ntool', 'tool'],
    ['tool>out', 'tool'],
    ['tool; other', 'tool'],
    ['cd /src && ./tool', null], // relative to a directory that we don't follow
    ['tool || true', null],
    ['if true; then tool; fi', null],
    ['(tool)', null],
    ['! tool', null],
    ['[ -x tool ] && tool', null],
    ['tool() { :; }; tool', null],
    ['PATH=/x tool', null],
    ['"tool" a', null],
    ['$TOOL a', null],
    ['echo a; tool', null],
    ['exec tool', null],
    ['', null],
  ];
  for (const [text, program] of cases) {
    test(JSON.stringify(text), () => assert.equal(firstProgram(['/bin/sh', '-c', text]), program));
  }

  test('of a command that is no shell with a text there is none', () => {
    for (const args of [['tool', '-c', 'x'], ['/bin/sh', 'x'], ['/bin/sh'], []]) assert.equal(firstProgram(args), null);
    assert.equal(firstProgram(['/bin/bash', '-o', 'pipefail', '-ec', 'tool']), 'tool');
  });
});

test('words that may be programs are found all over the text', () => {
  const text = 'set -e; a && b || c | d &\nif e; then f; fi; x=$(g h) `i` (j; { k; }) ; echo l; ! m; A=1 n; "o" $p; a';
  assert.deepEqual(namedPrograms(['sh', '-c', text]), ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'i', 'j', 'k', 'm', 'n']);
});
