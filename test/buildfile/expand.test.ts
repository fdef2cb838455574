// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the shell's variables
import { expect, test } from 'vitest';
import { ExpansionError, expandWord, expandWords } from '../../src/buildfile/index.js';

const variables: Readonly<Record<string, string>> = {
  HOME: '/home',
  NULL: '',
  KOREAN: '한국어',
  FOO: 'xxyy',
  STARS: 'a***yy*',
  PATHS: '/foo*/*/*.txt',
  URL: 'http://google.de',
  X: 'x',
  SPACED: ' a  b ',
};
const lookup = (name: string): string | undefined => variables[name];

const cases: [word: string, expected: string | RegExp][] = [
  ['hello', 'hello'],
  ["he'll'o", 'hello'],
  ["he'llo", /never closed/],
  ["he\\'llo", "he'llo"],
  ['"hello', /never closed/],
  ['"he\'llo"', "he'llo"],
  ['hell\\o', 'hello'],
  ['hell\\\\o', 'hell\\o'],
  ["'hell\\o'", 'hell\\o'],
  ['"hell\\o"', 'hell\\o'],
  ['"hell\\"o\\$"', 'hell"o$'],
  ['he\\$HOME', 'he$HOME'],
  ["he'$HOME'", 'he$HOME'],
  ['he"$HOME"', 'he/home'],
  ['he$HOME', 'he/home'],
  ['he$HOMEX', 'he'],
  ['he${HOME}xx', 'he/homexx'],
  ['he${}xx', /name of a variable/],
  ['he${', /never closed/],
  ['he${HOME', /never closed/],
  ['he${hi}', 'he'],
  ['he$', 'he$'],
  ['he$.', 'he$.'],
  ['$$', ''],
  ['$1x${12}y$@$*$#$?$-$!', 'xy'],
  ['${한글}', ''],
  ['$KOREAN', '한국어'],
  ['안녕$HOME', '안녕/home'],
  ['${NULL:-def}', 'def'],
  ['${NULL-def}', ''],
  ['${NONE-def}', 'def'],
  ['${NONE:-${NULL:-${HOME}}}', '/home'],
  ['${NONE:-a${HOME}b$NONE}', 'a/homeb'],
  ['${HOME:+set}', 'set'],
  ['${NULL:+set}', ''],
  ['${NULL+set}', 'set'],
  ['${NONE+set}', ''],
  ['${HOME:?gone}', '/home'],
  ['${NULL?gone}', ''],
  ['${NULL:?gone $HOME}', /^gone \/home$/],
  ['${NONE?}', /^NONE needs a value$/],
  ['${FOO=x}', /no form/],
  ['${FOO#x}', 'xyy'],
  ['${FOO##*x}', 'yy'],
  ['${FOO#*x*y}', 'y'],
  ['${FOO#*}', 'xxyy'],
  ['${FOO##*}', ''],
  ['${FOO#}', 'xxyy'],
  ['${FOO#$X}', 'xyy'],
  ['${FOO%y}', 'xxy'],
  ['${FOO%%y*}', 'xx'],
  ['${FOO%x}', 'xxyy'],
  ['${STARS%%\\**\\*}', 'a'],
  ['${FOO#\\x}', /may only stand before/],
  ['${FOO/x/-}', '-xyy'],
  ['${FOO//x/-}', '--yy'],
  ['${FOO//x*/-}', '-'],
  ['${FOO/y}', /is missing/],
  ['${PATHS/\\*\\//.} ${PATHS//\\*\\//.}', '/foo.*/*.txt /foo..*.txt'],
  ['${URL/http:\\/\\//https://}', 'https:\\/\\/google.de'.replaceAll('\\', '')],
  ['"${NONE:-"a b"}"', 'a b'],
  ['${NONE:-}}', '}'],
  ["${NONE:-'}'}", '}'],
];

for (const [word, expected] of cases) {
  test(`${word} ${expected instanceof RegExp ? 'is refused' : `is ${JSON.stringify(expected)}`}`, () => {
    const expand = (): string => expandWord(word, lookup, { escapeChar: '\\' });
    if (expected instanceof RegExp) expect(expand).toThrow(expected);
    else expect(expand()).toBe(expected);
  });
}

test('with ` as the escape character a backslash is a character', () => {
  expect(expandWord('C:\\x`$HOME', lookup, { escapeChar: '`' })).toBe('C:\\x$HOME');
});

test('in heredocs quotes are characters', () => {
  expect(expandWord(`'$HOME' "\\$HOME`, lookup, { escapeChar: '\\', ignoreQuotes: true })).toBe(`'/home' "$HOME`);
});

test('names of steps keep quotes and what has no value', () => {
  const options = { escapeChar: '\\', rawQuotes: true, keepUnset: true };
  expect(expandWord(`echo "$HOME" '$HOME' $NONE \${NONE:-x}`, lookup, options)).toBe(
    `echo "/home" '$HOME' $NONE \${NONE:-x}`,
  );
});

test('a word can become several, where its blanks are not quoted', () => {
  const words = (word: string): string[] => expandWords(word, lookup, { escapeChar: '\\' });
  expect(words('80')).toEqual(['80']);
  expect(words('$SPACED')).toEqual(['a', 'b']);
  expect(words('x$SPACED"y z"')).toEqual(['x', 'a', 'b', 'y z']);
  expect(words('"$SPACED"')).toEqual([' a  b ']);
  expect(words('$NONE')).toEqual([]);
});

test('a hostile word takes neither the stack nor the time', () => {
  const start = performance.now();
  expect(() => expandWord('${a:-'.repeat(100_000), lookup, { escapeChar: '\\' })).toThrow(ExpansionError);
  const long = 'a'.repeat(20_000);
  const value = (): string => long;
  expect(expandWord(`\${v#${'*a'.repeat(20)}b}`, value, { escapeChar: '\\' })).toBe(long);
  expect(expandWord(`\${v//${'a*'.repeat(10)}b/x}`, value, { escapeChar: '\\' })).toBe(long);
  expect(performance.now() - start).toBeLessThan(2000);
});
