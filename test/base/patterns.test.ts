import { createRequire } from 'node:module';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BuildError, globMatcher, hasGlob, ignoreMatcher, patternMatcher, renderError } from '../../src/base/index.js';

// Expected values follow from Go's path/filepath.Match, and from moby/patternmatcher's rules where '**' or '!' is in it.
const ignored: [pattern: string, path: string, ignored: boolean][] = [
  ['**', 'file', true],
  ['**/', 'dir/file', true],
  ['**/**', 'dir/file', true],
  ['dir/**', 'dir/file', true],
  ['dir/**', 'dir/sub/file', true],
  ['dir/**', 'dir', false],
  ['**/dir', 'dir', true],
  ['**/dir', 'a/dir/file', true],
  ['**/dir', 'a/otherdir', false],
  ['**/dir2/*', 'dir/dir2/file', true],
  ['**/dir2/**', 'dir/dir2/dir3/file', true],
  ['**file', 'dir/file', true],
  ['**.md', 'd/x.md', true],
  ['**.md', 'x.md', true],
  ['**/file*txt', 'dir/dir/file.txt', true],
  ['**/**/*.txt', 'file.txt', true],
  ['**/**/*.txt2', 'dir/dir/file.txt', false],
  ['a**/*.txt', 'a/dir/file.txt', true],
  ['a**b', 'ab', true],
  ['*a**b', 'xaab', true],
  ['a/*.txt', 'a/dir/file.txt', false],
  ['a/*.txt**', 'a/file.txt', true],
  ['a[b-d]e', 'ace', true],
  ['a[b-d]e', 'aae', false],
  ['a[^b-d]e', 'aze', true],
  ['.*', '.foo', true],
  ['.*', 'foo', false],
  ['abc.def', 'abcZdef', false],
  ['abc?def', 'abcZdef', true],
  ['abc?def', 'abc/def', false],
  ['**/.foo', 'bar.foo', false],
  ['a(b)c/def', 'a(b)c/def', true],
  ['a.|)$(}+{bc', 'a.|)$(}+{bc', true],
  ['+(a)', '+(a)', true],
  ['!(a)', 'a', false],
  ['{a,b}', 'a', false],
  ['a\\*b', 'a*b', true],
  ['a\\*b', 'axb', false],
  ['/a', 'a', true],
  ['a', 'b/a', false],
  ['a/', 'a/b', true],
  ['./a/../b', 'b', true],
  ['A', 'a', false],
  ['a b', 'a b', true],
  ['  a  ', 'a', true],
  ['# a', '# a', false],
  [' # a', '# a', true],
  ['?', 'é', true],
  ['?', '😀', true],
  ['[α-ω]', 'λ', true],
  ['.', 'a', false],
  ['/', 'a', false],
];

for (const [pattern, path, expected] of ignored) {
  test(`the ignore pattern ${pattern} ${expected ? 'ignores' : 'keeps'} ${path}`, () => {
    expect(ignoreMatcher(pattern).ignores(path)).toBe(expected);
  });
}

const lists: [text: string, path: string, ignored: boolean][] = [
  ['docs\n!docs/README.md', 'docs/README.md', false],
  ['docs/\n!docs/README.md', 'docs/guide.md', true],
  ['!a.go\n*.go', 'a.go', true],
  ['**\n!util/web', 'util/web/foo', false],
  ['**\n!util/web\nutil/web/foo', 'util/web/foo', true],
  ['a/x\n!a', 'a/x', true], // '!a' is passed over at 'a', which nothing ignores, and so says nothing about 'a/x'
  ['*\n!a\na/b\n', 'a/c', false],
  ['\uFEFF# comment\r\nnode_modules\r\n\r\n! /node_modules/keep\r\n', 'node_modules/keep', false],
  ['\uFEFFnode_modules\r\n', 'node_modules/x', true],
];

for (const [text, path, expected] of lists) {
  test(`the ignore file ${JSON.stringify(text)} ${expected ? 'ignores' : 'keeps'} ${path}`, () => {
    expect(ignoreMatcher(text).ignores(path)).toBe(expected);
  });
}

test('a directory is pruned only if nothing below it can come back', () => {
  const matcher = ignoreMatcher('node_modules\ndist\n!dist/*.txt\nsrc\n!**/keep.c');
  expect(matcher.prunesDirectory('dist')).toBe(false);
  expect(matcher.prunesDirectory('lib')).toBe(false);
  expect(ignoreMatcher('node_modules\ndist\n!dist/*.txt').prunesDirectory('node_modules')).toBe(true);
  expect(ignoreMatcher('a\n!a/b/c').prunesDirectory('a/b')).toBe(false);
  expect(ignoreMatcher('a\n!a/b/c').prunesDirectory('a/d')).toBe(true);
  expect(ignoreMatcher('*\n!a/**').prunesDirectory('a')).toBe(false);
  expect(ignoreMatcher('*\n!a/**').prunesDirectory('b')).toBe(true);
});

const segment = fc.constantFrom('a', 'b', 'ab', 'a.c', 'x');
const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const piece = fc.constantFrom('a', 'b', 'ab', '*', '**', '?', 'a*', '*.c', '[ab]', '[^a]', '**b', 'a**', 'x');
const pattern = fc
  .tuple(fc.constantFrom('', '', '!'), fc.array(piece, { minLength: 1, maxLength: 4 }))
  .map(([sign, parts]) => sign + parts.join('/'));

test('what is below a pruned directory is ignored', () => {
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 5 }), path, segment, (patterns, directory, name) => {
      const matcher = ignoreMatcher(patterns.join('\n'));
      if (matcher.prunesDirectory(directory)) expect(matcher.ignores(`${directory}/${name}`)).toBe(true);
    }),
    { numRuns: 5000 },
  );
});

test('the order of questions does not change the answers', () => {
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 4 }), fc.array(path, { maxLength: 6 }), (patterns, paths) => {
      const shared = ignoreMatcher(patterns.join('\n'));
      for (const each of paths) expect(shared.ignores(each)).toBe(ignoreMatcher(patterns.join('\n')).ignores(each));
    }),
    { numRuns: 1000 },
  );
});

test('a single pattern decides as @balena/dockerignore does, except for a leading ** before a name', () => {
  const dockerignore = createRequire(import.meta.url)('@balena/dockerignore') as (options: { ignorecase: boolean }) => {
    add(text: string): { ignores(path: string): boolean };
  };
  // Left out: '**b' and 'a**', which that library does not treat as the comparison of endings and beginnings they are in docker.
  const plain = fc
    .array(fc.constantFrom('a', 'b', 'ab', '*', '**', '?', 'a*', '*.c', '[ab]', 'x'), { minLength: 1, maxLength: 4 })
    .map((parts) => parts.join('/'));
  fc.assert(
    fc.property(plain, path, (text, asked) => {
      const theirs = dockerignore({ ignorecase: false }).add(text).ignores(asked);
      expect(ignoreMatcher(text).ignores(asked), `${text} on ${asked}`).toBe(theirs);
    }),
    { numRuns: 5000 },
  );
});

test('a malformed line is an error at its place', () => {
  try {
    ignoreMatcher('ok\n  a[b  \n', 'app.dockerignore');
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(BuildError);
    expect(renderError(error)).toBe(
      [
        'error[IGNORE_INVALID]: "a[b" is not a valid pattern',
        ' --> app.dockerignore:2:3',
        '  |',
        '2 |   a[b',
        '  |   ^^^',
        "help: close every '[' with ']'; write '\\' before a character that is meant literally",
      ].join('\n'),
    );
  }
  expect(() => ignoreMatcher('!')).toThrow(expect.objectContaining({ code: 'IGNORE_INVALID' }));
  expect(() => patternMatcher(['a\\'])).toThrow(expect.objectContaining({ code: 'IGNORE_INVALID' }));
});

const globs: [pattern: string, path: string, matches: boolean | 'malformed'][] = [
  ['abc', 'abc', true],
  ['*', 'abc', true],
  ['*', 'a/b', false],
  ['*c', 'abc', true],
  ['a*', 'ab/c', false],
  ['a*/b', 'abc/b', true],
  ['a*b*c*d*e*/f', 'axbxcxdxexxx/f', true],
  ['a*b*c*d*e*/f', 'axbxcxdxexxx/fff', false],
  ['a*b?c*x', 'abxbbxdbxebxczzx', true],
  ['ab[^c]', 'abc', false],
  ['a[^a]b', 'a☺b', true],
  ['a???b', 'a☺b', false],
  ['[a-ζ]*', 'α', true],
  ['*[a-ζ]', 'A', false],
  ['[\\]a]', ']', true],
  ['[\\-x]', '-', true],
  ['**', 'a/b', false],
  ['a**b', 'axb', true],
  ['[]a]', ']', 'malformed'],
  ['[-]', '-', 'malformed'],
  ['[x-]', 'x', 'malformed'],
  ['[a-b-c]', 'a', 'malformed'],
  ['[^', 'a', 'malformed'],
  ['a[', 'a', 'malformed'],
  ['a\\', 'a', 'malformed'],
];

for (const [text, asked, expected] of globs) {
  test(`the COPY pattern ${text} ${expected === true ? 'matches' : expected === false ? 'does not match' : 'is refused for'} ${asked}`, () => {
    if (expected === 'malformed') {
      expect(() => globMatcher(text)).toThrow(expect.objectContaining({ code: 'PATTERN_INVALID' }));
    } else expect(globMatcher(text)(asked)).toBe(expected);
  });
}

test('a pattern with many stars is matched in linear time', () => {
  const text = `${'a'.repeat(4000)}/${'a'.repeat(200)}`;
  const start = performance.now();
  expect(globMatcher(`${'*a'.repeat(50)}b`)(text)).toBe(false);
  expect(ignoreMatcher(`${'**/*a*/'.repeat(30)}b`).ignores(text)).toBe(false);
  expect(performance.now() - start).toBeLessThan(1000);
});

test('a name without special characters needs no matching', () => {
  expect(hasGlob('src/a.c')).toBe(false);
  expect(hasGlob('src/*.c')).toBe(true);
});
