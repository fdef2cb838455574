import { expect, test } from 'vitest';
import { renderError } from '../../src/base/index.js';
import { type Mount, parseBuildfile, parseMount } from '../../src/buildfile/index.js';

function mount(value: string): Mount {
  const run = parseBuildfile({ name: 'Buildfile', text: `FROM a\nRUN --mount=${value} x\n` }).stages[0]!
    .instructions[0]!;
  if (run.keyword !== 'RUN') throw new Error('not RUN');
  return parseMount(run.mounts[0]!, (word) => word.text.replace('$V', 'value'));
}

test('keys have their synonyms, and what is not given its default', () => {
  expect(mount('type=cache,dst=/a,id=$V,uid=1,gid=2,mode=0700,sharing=locked')).toMatchObject({
    type: 'cache',
    target: '/a',
    id: 'value',
    uid: 1,
    gid: 2,
    mode: 0o700,
    sharing: 'locked',
    readonly: false,
  });
  expect(mount('src=a,destination=/b')).toMatchObject({ type: 'bind', source: 'a', target: '/b', readonly: true });
  expect(mount('target=/b,rw')).toMatchObject({ type: 'bind', readonly: false });
  expect(mount('target=/b,ro,rw')).toMatchObject({ readonly: false });
  expect(mount('target=/b,rw=1,readonly=true')).toMatchObject({ readonly: true });
  expect(mount('type=cache,target=/b,ro')).toMatchObject({ readonly: true });
  expect(mount('type=tmpfs,target=/t,size=64m')).toMatchObject({ sizeBytes: 64 * 1024 * 1024 });
  expect(mount('required,type=secret,id=a,env=A')).toMatchObject({ required: true, env: 'A', mode: null });
  expect(mount('from=$V,target=/b').from?.text).toBe('$V');
  expect(mount('type=ssh')).toMatchObject({ type: 'ssh', target: null });
});

const refused: [value: string, message: RegExp, hint?: string][] = [
  ['type=cahce,target=/a', /"cahce" is no mount type/, 'did you mean cache?'],
  ['type=cache,targett=/a', /no key "targett"/, 'did you mean target?'],
  ['type=cache,target', /target needs a value/],
  ['type=cache', /a cache mount needs a target/],
  ['type=secret', /a secret mount needs an id/],
  ['type=secret,id=a,src=b', /source and id of a secret are the same/],
  ['type=bind,target=/a,size=1', /a bind mount has no size/],
  ['type=tmpfs,target=/a,uid=1', /a tmpfs mount has no uid/],
  ['type=cache,target=/a,required', /a cache mount has no required/],
  ['type=cache,target=/a,mode=9', /mode is an octal number/],
  ['type=cache,target=/a,ro=maybe', /readonly is true or false/],
  ['type=cache,target=/a,sharing=x', /"x" is no sharing/, 'it is one of shared, private, locked'],
  ['type=tmpfs,target=/a,size=many', /size is a number of bytes/],
  ['type=ssh,source=/a', /an ssh mount has no source/, 'source is for bind, cache and secret mounts'],
];

for (const [value, message, hint] of refused) {
  test(`--mount=${value} is refused`, () => {
    const expected = { code: 'MOUNT_INVALID', message: expect.stringMatching(message), ...(hint && { hint }) };
    expect(() => mount(value)).toThrow(expect.objectContaining(expected));
  });
}

test('the caret stands under the field', () => {
  try {
    mount('type=cache,targett=/a');
    expect.unreachable();
  } catch (error) {
    expect(renderError(error).split('\n').slice(3, 5)).toEqual([
      '2 | RUN --mount=type=cache,targett=/a x',
      '  |                        ^^^^^^^^^^',
    ]);
  }
});
