import { expect, test } from 'vitest';
import { parseChallenges, sameSite } from '../../store/transport/registry-auth.js';
import { parseRetryAfter } from '../../store/transport/retry.js';

const sites: [registry: string, other: string, same: boolean][] = [
  ['registry-1.docker.io', 'auth.docker.io', true],
  ['registry.gitlab.com', 'gitlab.com', true],
  ['registry.example.com', 'git.example.com', true],
  ['ghcr.io', 'ghcr.io', true],
  ['ghcr.io', 'token.ghcr.io', true],
  ['ghcr.io', 'quay.io', false],
  ['registry.example.com', 'example.com.evil.org', false],
  ['registry.example.com', 'notexample.com', false],
  ['foo.co.uk', 'bar.co.uk', false],
  ['127.0.0.1', '127.0.0.1', true],
  ['10.0.0.1', '10.0.0.2', false],
  ['localhost', '127.0.0.1', false],
  ['[::1]', '[::2]', false],
];
for (const [registry, other, same] of sites) {
  test(`a password for ${registry} ${same ? 'may' : 'must not'} go to ${other}`, () => {
    expect(sameSite(registry, other)).toBe(same);
  });
}

const headers: [header: string, challenges: unknown][] = [
  ['Basic realm="a, b=c"', [{ scheme: 'basic', parameters: { realm: 'a, b=c' } }]],
  [
    'Bearer realm="https://x/t",service="s\\"q",scope="repository:a/b:pull,push"',
    [{ scheme: 'bearer', parameters: { realm: 'https://x/t', service: 's"q', scope: 'repository:a/b:pull,push' } }],
  ],
  ['Negotiate, basic realm=plain', [{ scheme: 'basic', parameters: { realm: 'plain' } }]],
  ['Digest realm="x", Bearer realm="y"', [{ scheme: 'bearer', parameters: { realm: 'y' } }]],
  ['', []],
  ['realm="x"', []],
];
for (const [header, challenges] of headers) {
  test(`the challenge ${header || '(none)'} is understood`, () => {
    expect(parseChallenges(header)).toEqual(challenges);
  });
}

test('Retry-After is seconds or a date', () => {
  expect(parseRetryAfter('3', 0)).toBe(3000);
  expect(parseRetryAfter('Thu, 01 Jan 1970 00:00:10 GMT', 4000)).toBe(6000);
  expect(parseRetryAfter('Thu, 01 Jan 1970 00:00:10 GMT', 14_000)).toBe(0);
  expect(parseRetryAfter('soon', 0)).toBeUndefined();
  expect(parseRetryAfter(undefined, 0)).toBeUndefined();
});
