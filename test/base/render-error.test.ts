import { expect, test } from 'vitest';
import { BuildError, renderError } from '../../src/base/index.js';

const text = 'FROM scratch\nRUN make && \\\n    make install\n\tCOPY a b\n';
const file = { name: 'Buildfile', text };
const at = (piece: string) => ({ file, start: text.indexOf(piece), end: text.indexOf(piece) + piece.length });

test('one line is shown with a caret below its piece, tabs kept', () => {
  const error = new BuildError('X', { message: 'no such file: a', at: at('a b'), hint: 'add it' });
  expect(renderError(error)).toBe(
    ['error[X]: no such file: a', ' --> Buildfile:4:7', '  |', '4 | \tCOPY a b', '  | \t     ^^^', 'help: add it'].join(
      '\n',
    ),
  );
});

test('a command of several lines is shown whole, with its line numbers', () => {
  const error = new BuildError('X', { message: 'failed', at: at('RUN make && \\\n    make install') });
  expect(renderError(error).split('\n').slice(2)).toEqual(['  |', '2 | RUN make && \\', '3 |     make install']);
});

test('control characters of foreign text are shown, not sent', () => {
  expect(renderError(new BuildError('X', { message: 'tag \u001b[2J' }))).toBe('error[X]: tag \\x1b[2J');
});

test('an error without a code says that it is a bug', () => {
  expect(renderError(new Error('oops'))).toMatch(/^error\[INTERNAL\]: oops\nhelp: this is a bug/);
});
