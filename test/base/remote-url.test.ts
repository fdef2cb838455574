import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BuildError, type GitRepository, parseGitUrl, withoutCredentials } from '../../src/base/index.js';

const plain: Omit<GitRepository, 'remote'> = {
  ref: null,
  subdir: '',
  commit: null,
  keepGitDir: null,
  submodules: true,
  times: 'checkout',
};

const repositories: [url: string, wanted: Partial<GitRepository>][] = [
  ['https://example.com/foo.git', {}],
  ['https://example.com/foo.git#deadbeef', { ref: 'deadbeef' }],
  ['https://example.com/foo.git#release/1.2', { ref: 'release/1.2' }],
  ['https://example.com/foo.git#baz/qux:quux/quuz', { ref: 'baz/qux', subdir: 'quux/quuz' }],
  ['https://example.com/foo.git#:my/./dir/', { subdir: 'my/dir' }],
  ['https://example.com/foo.git#:/top', { subdir: 'top' }],
  ['https://me:word@example.com/foo.git', {}],
  ['HTTPS://example.com/foo.git', {}],
  ['git://example.com/foo', {}],
  ['ssh://git@example.com:2222/foo', {}],
  ['git@example.com:foo/bar', {}],
  ['git@example.com:foo/bar.git#v1:dir', { ref: 'v1', subdir: 'dir' }],
  ['other-user@host.example:foo', {}],
  ['https://example.com/foo.git?ref=v1&subdir=/dir', { ref: 'v1', subdir: 'dir' }],
  ['https://example.com/foo.git?tag=v1', { ref: 'refs/tags/v1' }],
  ['https://example.com/foo.git?tag=refs/tags/v1', { ref: 'refs/tags/v1' }],
  ['https://example.com/foo.git?branch=main', { ref: 'refs/heads/main' }],
  ['https://example.com/foo.git?commit=ABCDEF', { ref: 'abcdef', commit: 'abcdef' }],
  ['https://example.com/foo.git?checksum=abc&branch=main', { ref: 'refs/heads/main', commit: 'abc' }],
  ['https://example.com/foo.git?keep-git-dir', { keepGitDir: true }],
  ['https://example.com/foo.git?keep-git-dir=0&submodules=false', { keepGitDir: false, submodules: false }],
  ['https://example.com/foo.git?mtime=commit', { times: 'commit' }],
  ['https://example.com/foo.git?branch=a%2Fb#:dir%20one', { ref: 'refs/heads/a/b', subdir: 'dir one' }],
];

for (const [url, wanted] of repositories) {
  test(`${url} is a repository`, () => {
    expect(parseGitUrl(url)).toEqual({ ...plain, remote: url.replace(/[?#].*/, ''), ...wanted });
  });
}

const others = [
  'https://example.com/',
  'https://example.com/foo',
  'https://example.com/foo.git/',
  'https://example.com/foo.git.bar',
  'https://example.com/foo?x=.git',
  'custom.example/foo.git',
  'github.com/moby/buildkit',
  './.git',
  '.git',
  'dir/git@host:x',
  'file:///srv/foo.git',
  'ext::sh -c x',
  '-oProxyCommand=x@host:path',
];

for (const text of others) test(`${text} is none`, () => expect(parseGitUrl(text)).toBeNull());

describe('whatever the text is', () => {
  const parts = fc.constantFrom(
    'https://',
    'git@',
    'host',
    ':',
    '/',
    '.git',
    '#',
    '?',
    '&',
    '=',
    'ref',
    'tag',
    '%',
    '%2e',
    '..',
    '-',
    '\0',
  );
  const texts = fc.array(fc.oneof(parts, fc.string()), { maxLength: 12 }).map((words) => words.join(''));

  test('it is a repository, none, or refused with a reason; nothing of it is an option or leads upwards', () => {
    fc.assert(
      fc.property(texts, (text) => {
        try {
          const found = parseGitUrl(text);
          if (found === null) return;
          expect(found.remote).not.toMatch(/^-/);
          expect(found.ref ?? '').not.toMatch(/^-|\.\.|[\0-\x20]/);
          expect(found.subdir.split('/')).not.toContain('..');
        } catch (error) {
          expect(error).toBeInstanceOf(BuildError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

test('a URL is shown without what opens doors', () => {
  expect(withoutCredentials('https://me:word@example.com/a@b?token=1#main')).toBe('https://example.com/a@b?…#main');
  expect(withoutCredentials('git@example.com:foo')).toBe('git@example.com:foo');
  expect(withoutCredentials('ssh://git:word@example.com:22/foo')).toBe('ssh://git@example.com:22/foo');
});
