import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DiffId } from '#store';
import { alignSteps } from '../../src/explain/align.js';
import { encodeFiles, type FormerBuild, openExplainer, type StepEntry } from '../../src/explain/index.js';
import { knownStep, layer, runStep } from './support.js';

/** Steps of one stage, one on the other; a layer's name is what the step's result is. */
function chain(steps: readonly Partial<StepEntry>[]): StepEntry[] {
  const made: StepEntry[] = [];
  for (const [i, step] of steps.entries()) {
    const { layer: own = layer(`l${i}`) } = step;
    const stack = `${made[i - 1]?.stack ?? ''}/${own}`;
    const defaults = { name: `[${i + 1}/9] RUN ${i}`, kind: i === 0 ? 'base' : 'run', stage: '0', from: [] } as const;
    const outcome = { outcome: 'executed', durationMs: 1, layer: own, stack } as const;
    made.push({ ...defaults, parent: i === 0 ? null : i - 1, key: `key ${i}`, ...outcome, ...step });
  }
  return made;
}

const base = { name: 'FROM base:1', key: null, image: 'sha256:aaaaaaaaaaaaaaaaaaaaaa' };
const former = (steps: readonly StepEntry[], id = 'then', startedMs = 1): FormerBuild => ({
  ...{ id, startedMs },
  entry: { version: 1, buildfile: 'Buildfile', context: '/', target: null, platform: 'linux/amd64', steps },
});

/** What is said of the last of `now`, whose former self was made of `was`. */
function said(
  now: readonly StepEntry[],
  builds: readonly FormerBuild[],
  { was = runStep(), is = runStep({ stack: 'other' }), hasResult = false } = {},
): string {
  const explainer = openExplainer(now, { builds, step: () => was, hasResult: () => hasResult });
  const { reason, text, cause } = explainer.miss(now.length - 1, is);
  return `${reason}: ${text}${cause === null ? '' : ` <- #${cause + 1}`}`;
}

const unreached = { key: 'new key' };

describe('why a step was not cached', () => {
  test('the first build has no reason but that', () => {
    expect(said(chain([base, unreached]), [])).toBe('first-build: nothing like it was built before');
  });

  test('a key that had a result: it was removed, or is too old', () => {
    const before = former(chain([base, { key: 'k' }]));
    expect(said(chain([base, { key: 'k' }]), [before])).toBe('removed: its result is no longer in the store');
    expect(said(chain([base, { key: 'k' }]), [before], { hasResult: true })).toBe(
      'expired: its result is older than --cache-ttl allows',
    );
  });

  test('a key that was tried: it failed, or was interrupted', () => {
    const ended = (outcome: StepEntry['outcome']) => former(chain([base, { key: 'k', outcome }]));
    const now = chain([base, { key: 'k' }]);
    expect(said(now, [ended('failed')])).toBe('failed: it failed the last time');
    expect(said(now, [ended('canceled')])).toBe('failed: it was not finished the last time');
    expect(said(now, [ended('failed'), former(chain([base, { key: 'k' }]))])).toContain('removed');
  });

  test('a step that nothing was like is new', () => {
    const now = chain([base, {}, { name: '[3/3] COPY x /', kind: 'copy', ...unreached }]);
    expect(said(now, [former(chain([base, {}]))])).toBe('new-step: this step is new');
  });

  test('the first step below that has another result', () => {
    const before = former(chain([base, {}, {}, {}, {}]));
    const now = chain([base, {}, { layer: layer('other') }, { layer: layer('other too') }, unreached]);
    expect(said(now, [before])).toBe('follows: #3 (RUN 2) changed <- #3');
  });

  test('of layers that are as they were nothing is said', () => {
    const before = former(chain([base, {}, {}, {}]));
    const now = chain([base, { key: 'other', outcome: 'executed' }, { layer: layer('other') }, unreached]);
    expect(said(now, [before])).toBe('follows: #3 (RUN 2) changed <- #3');
  });

  test('a base image by its digest, or by its name', () => {
    const before = former(chain([base, {}]));
    const other = { ...base, image: 'sha256:bbbbbbbbbbbbbbbbbbbbbb', layer: layer('b') };
    expect(said(chain([other, { ...unreached, name: '[2/9] RUN 1' }]), [before])).toBe(
      'follows: base image base:1: sha256:aaaaaaaaaaaa → sha256:bbbbbbbbbbbb <- #1',
    );
    expect(
      said(
        chain([
          { ...other, name: '[1/9] FROM base:2' },
          { ...unreached, name: '[2/9] RUN 1' },
        ]),
        [before],
      ),
    ).toBe('follows: base image base:1 → base:2 <- #1');
  });

  test('a step that is new below, one that is gone, and another order', () => {
    const named = (text: string) => ({ name: `[1/9] RUN ${text}`, layer: layer(text) });
    const before = former(chain([base, named('a'), named('b'), named('c')]));
    const last = { ...named('c'), ...unreached };
    expect(said(chain([base, named('a'), { ...named('n'), kind: 'copy' }, named('b'), last]), [before])).toBe(
      'follows: #3 (RUN n) is new <- #3',
    );
    expect(said(chain([base, named('b'), last]), [before])).toBe('follows: RUN a, which stood before it, is gone');
    expect(said(chain([base, named('b'), named('a'), last]), [before])).toBe(
      'follows: the steps before it are in another order',
    );
  });

  test('a step that makes nothing is not the reason', () => {
    const before = former(chain([base, {}, {}]));
    const now = chain([
      base,
      { name: '[2/9] COPY n /', kind: 'copy', layer: null },
      { name: '[3/9] RUN 1', layer: layer('z') },
      { name: '[4/9] RUN 2', ...unreached },
    ]);
    expect(said(now, [before])).toBe('follows: #3 (RUN 1) changed <- #3');
  });

  test('the nearest of several builds, not simply the last one', () => {
    const step = (key: string) => former(chain([base, { key }]), key, 1);
    const now = chain([base, { key: 'now' }]);
    const steps = new Map([
      [
        'far',
        runStep({
          env: [
            ['A', '1'],
            ['B', '1'],
          ],
          cwd: '/far',
        }),
      ],
      [
        'near',
        runStep({
          env: [
            ['A', '1'],
            ['B', '2'],
          ],
        }),
      ],
    ]);
    const history = {
      builds: [step('far'), step('near')],
      step: (key: string) => steps.get(key) ?? null,
      hasResult: () => false,
    };
    const made = openExplainer(now, history).miss(
      1,
      runStep({
        env: [
          ['A', '1'],
          ['B', '3'],
        ],
      }),
    );
    expect(made).toMatchObject({ text: 'ENV B: 2 → 3', former: { build: 'near', step: 1 } });
  });

  test('an ARG that the command does not name: declare it later', () => {
    const miss = (command: string) => {
      const now = chain([base, { key: 'now', argNames: ['V'] }]);
      const was = runStep({ env: [['V', '1']], args: ['/bin/sh', '-c', command] });
      const is = runStep({ env: [['V', '2']], args: ['/bin/sh', '-c', command] });
      return openExplainer(now, { builds: [former(chain([base, {}]))], step: () => was, hasResult: () => false }).miss(
        1,
        is,
      );
    };
    expect(miss('make')).toMatchObject({
      text: 'ARG V: 1 → 2',
      hint: expect.stringContaining('every RUN after ARG V'),
    });
    expect(miss('make V=$V').hint).toBeNull();
  });

  test('what a step copies from another one is that one’s doing', () => {
    const copy = {
      name: '[2/2] COPY --from=a /f /',
      kind: 'copy',
      from: [1],
      says: { source: '/f', destination: '/' },
    } as const;
    const files = (digest: string) =>
      encodeFiles('content', [{ path: 'f' as never, type: 'file', mode: 0o644, uid: 0, gid: 0, digest }]);
    const was = { ...knownStep({ inputs: { content: 'a' } }), files: files('aa') };
    const is = { ...knownStep({ inputs: { content: 'b' } }), files: files('bb') };
    const now = chain([base, { layer: layer('other') }, { ...copy, ...unreached }]);
    expect(said(now, [former(chain([base, {}, copy]))], { was, is })).toBe(
      'changed: COPY /f: 1 file changed: f (content) <- #2',
    );
  });

  test('a long chain takes no longer than its length', () => {
    const steps = Array.from({ length: 3000 }, (_, i) => (i === 0 ? base : { name: `[${i}/3000] RUN ${i}` }));
    const before = former(chain(steps));
    const now = chain(steps.map((step, i) => (i === 0 ? step : { ...step, key: `new ${i}`, layer: `${i}` as DiffId })));
    const explainer = openExplainer(now, { builds: [before], step: () => runStep(), hasResult: () => false });
    const started = performance.now();
    for (let i = 1; i < now.length; i++) explainer.miss(i, runStep({ stack: 'other' }));
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe('steps of two builds', () => {
  const stage = fc.constantFrom('a', 'b');
  const text = fc.constantFrom('RUN 1', 'RUN 2', 'RUN 3', 'COPY x /');
  const steps = fc
    .array(fc.record({ stage, text }), { maxLength: 12 })
    .map((all) =>
      chain(
        all.map(({ stage: of, text: name }) => ({ name, stage: of, kind: name.startsWith('RUN') ? 'run' : 'copy' })),
      ),
    );

  test('a build is aligned with itself', () => {
    fc.assert(
      fc.property(steps, (all) => {
        expect(alignSteps(all, all)).toEqual(all.map((_, i) => i));
      }),
    );
  });

  test('no former step is two steps, and each is of its kind', () => {
    fc.assert(
      fc.property(steps, steps, (before, now) => {
        const found = alignSteps(before, now).filter((was) => was !== null);
        expect(new Set(found).size).toBe(found.length);
        alignSteps(before, now).forEach((was, i) => {
          if (was !== null) expect(before[was]!.kind).toBe(now[i]!.kind);
        });
      }),
    );
  });
});
