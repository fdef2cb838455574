import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RawPath } from '#native';
import { compareFiles, encodeFiles, fileSets, type ListedFile } from '../../src/explain/file-list.js';

const file = (path: string, digest = 'aa', more: Partial<ListedFile> = {}): ListedFile => ({
  ...{ path: path as RawPath, type: 'file', mode: 0o644, uid: 0, gid: 0, digest },
  ...more,
});
const sorted = (files: readonly ListedFile[]): ListedFile[] => [...files].sort((a, b) => (a.path < b.path ? -1 : 1));
const compare = (before: readonly ListedFile[], after: readonly ListedFile[]): string[] =>
  compareFiles(encodeFiles('content', sorted(before)), encodeFiles('content', sorted(after))).map(
    ({ path, how, aspects, from }) =>
      [how, ...(from === null ? [] : [from]), path, ...aspects.map(({ aspect }) => aspect)].join(' '),
  );

describe('two lists of files', () => {
  test('differ in contents, modes, owners and types', () => {
    expect(
      compare(
        [file('a'), file('b'), file('c'), file('d'), file('e', 'aa', { type: 'symlink' }), file('same')],
        [
          file('a', 'bb'),
          file('b', 'aa', { mode: 0o755 }),
          file('c', 'bb', { uid: 5 }),
          file('d', '', { type: 'dir' }),
          file('e', 'bb', { type: 'symlink' }),
          file('same'),
        ],
      ),
    ).toEqual(['changed a content', 'changed b mode', 'changed c content owner', 'changed d type', 'changed e target']);
  });

  test('tell a renamed file, unless several are equal', () => {
    expect(compare([file('x/a', 'bb')], [file('y/b', 'bb')])).toEqual(['renamed x/a y/b']);
    expect(compare([file('a', 'bb'), file('b', 'bb')], [file('c', 'bb')])).toEqual(['gone a', 'gone b', 'new c']);
  });

  test('are found again by the names of their inputs', () => {
    const list = encodeFiles('/one', [file('a')]) + encodeFiles('/two', [file('b'), file('c/d')]);
    expect([...fileSets(list).keys()]).toEqual(['/one', '/two']);
    expect(fileSets(list).get('/two')).toBe(encodeFiles('/two', [file('b'), file('c/d')]));
  });

  const name = fc
    .array(fc.constantFrom('a', 'b', '\x01', '\x02', ' ', '\n', 'é', 'f644 0 0 '), { minLength: 1, maxLength: 2 })
    .map((parts) => parts.join(''));
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
  const listed = fc
    .uniqueArray(fc.record({ path, digest: fc.constantFrom('aa', 'bb'), mode: fc.constantFrom(0o644, 0o755) }), {
      selector: (each) => each.path,
      maxLength: 30,
    })
    .map((files) => files.map(({ path: at, digest, mode }) => file(at, digest, { mode })));

  test('differ in what is not in both, whatever the names', () => {
    // Long equal beginnings and ends are skipped: those must not matter.
    const padding = (at: string): ListedFile[] => Array.from({ length: 300 }, (_, i) => file(`${at}/pad${i % 7}/${i}`));
    const texts = (files: readonly ListedFile[]) => new Set(files.map((each) => JSON.stringify(each)));
    fc.assert(
      fc.property(listed, listed, fc.boolean(), (before, after, padded) => {
        const more = padded ? [...padding('\x03'), ...padding('zz')] : [];
        const changes = compareFiles(
          encodeFiles('content', sorted([...before, ...more])),
          encodeFiles('content', sorted([...after, ...more])),
        );
        const touched = changes.flatMap(({ path: at, from }) => (from === null ? [at] : [at, from])).sort();
        const [was, is] = [texts(before), texts(after)];
        const differing = [
          ...before.filter((each) => !is.has(JSON.stringify(each))),
          ...after.filter((each) => !was.has(JSON.stringify(each))),
        ];
        expect(touched).toEqual([...new Set(differing.map((each) => each.path))].sort());
      }),
    );
  });
});
