import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RawPath } from '#native';
import type { KeyChange } from '../../src/base/index.js';
import { type ComparedStep, compareSteps, standsOnOther } from '../../src/explain/compare.js';
import { encodeFiles, sayings, stepRecord } from '../../src/explain/index.js';
import { changesText } from '../../src/explain/words.js';
import { cacheKey, type KeyParts } from '../../src/solver/cache-key.js';
import { knownStep, runStep } from './support.js';

const words = (before: ComparedStep, after: ComparedStep): string => changesText(compareSteps(before, after));

describe('two keys differ', () => {
  const cases: readonly [string, ComparedStep, ComparedStep][] = [
    ['WORKDIR: /a → /b', runStep({ cwd: '/a' }), runStep({ cwd: '/b' })],
    ['USER: "" → app:app', runStep(), runStep({ user: 'app:app' })],
    ['--network: default → none', runStep(), runStep({ network: 'none' })],
    ['--security: sandbox → insecure', runStep(), runStep({ security: 'insecure' })],
    ['--ulimit: "" → [{"name":"nofile"}]', runStep(), runStep({ sandbox: { ulimits: [{ name: 'nofile' }] } })],
    ['SHELL: /bin/sh -c → /bin/bash -ec', runStep(), runStep({ args: ['/bin/bash -ec', 'make'] })],
    ['command: make → make -j', runStep(), runStep({ args: ['/bin/sh', '-c', 'make -j'] })],
    ['command: x → y', runStep({ script: '#!/a\nx' }), runStep({ script: '#!/a\ny' })],
    ['ENV A: 1 → ""', runStep({ env: [['A', '1']] }), runStep({ env: [['A', '']] })],
    ['ENV A is new (1)', runStep(), runStep({ env: [['A', '1']] })],
    ['ENV A is gone (was 1)', runStep({ env: [['A', '1']] }), runStep()],
    ['ARG A: 1 → 2', runStep({ env: [['A', '1']] }), { ...runStep({ env: [['A', '2']] }), argNames: ['A'] }],
    [
      'the order of its variables',
      runStep({
        env: [
          ['A', '1'],
          ['B', '1'],
        ],
      }),
      runStep({
        env: [
          ['B', '1'],
          ['A', '1'],
        ],
      }),
    ],
    ['--mount=type=cache,target=/c is new', runStep(), runStep({ mounts: [{ kind: 'cache', target: '/c' }] })],
    [
      '--mount=type=secret,env=T: required "" → true',
      runStep({ mounts: [{ kind: 'secret', target: null, env: 'T' }] }),
      runStep({ mounts: [{ kind: 'secret', target: null, env: 'T', required: true }] }),
    ],
    [
      '--mount=type=cache,target=/c: mode 755 → 700',
      runStep({ mounts: [{ kind: 'cache', target: '/c', mode: 0o755 }] }),
      runStep({ mounts: [{ kind: 'cache', target: '/c', mode: 0o700 }] }),
    ],
    [
      'platform: linux/amd64 → linux/arm/v7',
      knownStep(),
      knownStep({ platform: { os: 'linux', architecture: 'arm', variant: 'v7' } }),
    ],
    ['SOURCE_DATE_EPOCH: "" → 5', knownStep(), knownStep({ does: { kind: 'copy', epoch: 5 } })],
    ['another instruction stands here', knownStep(), runStep()],
    [
      'it was made by another version of tsbuild, whose records have another meaning',
      knownStep({ keyVersion: 1 }),
      knownStep(),
    ],
  ];
  test.each(cases)('%s', (text, before, after) => {
    expect(words(before, after)).toBe(text);
  });

  test('in files that are no longer known one by one', () => {
    const [was, is] = [knownStep({ inputs: { content: 'a' } }), knownStep({ inputs: { content: 'b' } })];
    expect(words(was, is)).toBe('its files changed');
    expect(words(runStep(), runStep())).toBe('');
    const mount = (digest: string): ComparedStep => ({ ...knownStep({ inputs: { '/src': digest } }) });
    expect(words(mount('a'), mount('b'))).toBe('what /src shows changed');
  });

  test('in files, named as below the destination', () => {
    const copied = (files: Readonly<Record<string, string>>, destination = '/app/'): ComparedStep => ({
      ...knownStep({ inputs: { content: JSON.stringify([files, destination]) } }),
      files: encodeFiles(
        'content',
        Object.entries(files)
          .sort()
          .map(([path, digest]) => ({ path: path as RawPath, type: 'file', mode: 0o644, uid: 0, gid: 0, digest })),
      ),
      says: { source: 'src', destination },
    });
    expect(words(copied({ 'app/a': 'aa', 'app/d/b': 'aa' }), copied({ 'app/a': 'bb', 'app/d/b': 'bb' }))).toBe(
      '2 files changed: a (content), d/b (content)',
    );
    expect(words(copied({ app: 'aa' }, '/app'), copied({ app: 'bb' }, '/app'))).toBe('1 file changed: src (content)');
    expect(words(copied({ 'app/a': 'aa' }), copied({ 'opt/a': 'aa' }, '/opt/'))).toBe('destination: /app/ → /opt/');
    expect(words(copied({ 'app/a\x1b[31m\n': 'aa' }), copied({ 'app/a\x1b[31m\n': 'bb' }))).toBe(
      '1 file changed: a?[31m? (content)',
    );
  });
});

describe('values that sound secret', () => {
  const kept = (env: readonly (readonly [string, string])[]): KeyParts => stepRecord(runStep({ env }).record);

  test('are not kept, only whether they changed', () => {
    const [one, two] = ['hunter2', 'hunter3'].map((value) =>
      kept([
        ['API_TOKEN', value],
        ['PUBLIC_KEY', value],
      ]),
    );
    expect(JSON.stringify(one)).not.toContain('"API_TOKEN","hunter');
    expect(JSON.stringify(one)).toContain('["PUBLIC_KEY","hunter2"]');
    expect(changesText(compareSteps({ record: one!, files: null }, { record: two!, files: null }))).toBe(
      'ENV API_TOKEN changed (its value is not shown); ENV PUBLIC_KEY: hunter2 → hunter3',
    );
  });

  test('of proxies are no part of what is said of an instruction', () => {
    const vertex = { kind: 'run', argNames: [], hiddenEnv: [['HTTP_PROXY', 'http://secret']] };
    expect(sayings(vertex as never)).toEqual({});
  });
});

describe('any two keys', () => {
  const text = fc.constantFrom('', 'a', 'b c', '\n');
  const parts = fc.record({
    keyVersion: fc.constantFrom(1, 2),
    platform: fc.record({ os: fc.constant('linux'), architecture: fc.constantFrom('amd64', 'arm64') }),
    stack: fc.constantFrom(null, 'one', 'two'),
    does: fc.oneof(
      fc.record({ kind: fc.constant('mkdir' as const), path: text, user: text }),
      fc.constant({ kind: 'copy' as const }),
      fc.record({
        kind: fc.constant('run' as const),
        args: fc.array(text, { minLength: 1, maxLength: 3 }),
        script: fc.option(text),
        env: fc.uniqueArray(fc.tuple(fc.constantFrom('A', 'B', 'TOKEN'), text), { selector: ([name]) => name }),
        cwd: text,
        user: text,
        network: fc.constantFrom('default' as const, 'none' as const),
        security: fc.constantFrom('sandbox' as const, 'insecure' as const),
        sandbox: fc.record({ hostname: fc.option(text) }),
        mounts: fc.uniqueArray(
          fc.record({ kind: fc.constantFrom('bind', 'cache'), target: fc.constantFrom('/a', '/b'), mode: fc.nat(3) }),
          { selector: ({ kind, target }) => kind + target },
        ),
      }),
    ),
    inputs: fc.dictionary(fc.constantFrom('content', '/src'), fc.constantFrom('1', '2')),
  });

  test('are equal, or something is said of what differs, in one line', () => {
    fc.assert(
      fc.property(parts, parts, (was, is) => {
        const [before, after] = [was, is].map((each) => ({ record: stepRecord(each as KeyParts), files: null }));
        const changes: KeyChange[] = compareSteps(before!, after!);
        const line = changesText(changes);
        expect(changes.length > 0 || standsOnOther(before!, after!) || onlyInputsCame(was, is)).toBe(
          cacheKey(was as KeyParts) !== cacheKey(is as KeyParts),
        );
        expect(line === '').toBe(changes.length === 0);
        expect(line).not.toMatch(/[\u0000-\u001f]/);
      }),
      { numRuns: 500 },
    );
  });

  /** An input that is in one key only belongs to a mount that is, too. */
  function onlyInputsCame(was: { inputs: object }, is: { inputs: object }): boolean {
    return Object.keys(was.inputs).sort().join() !== Object.keys(is.inputs).sort().join();
  }
});
