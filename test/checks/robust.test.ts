// Checks are total: whatever the text, the answer is findings with places, or a BuildError that planning gives too.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BuildError, renderError, renderWarning, type Span } from '../../src/base/index.js';
import { fragments, mutated } from '../support/buildfiles.js';
import { findingsOf } from './support.js';

const everything = { buildArgs: { BUILDKIT_DOCKERFILE_CHECK: 'experimental=all' }, ignoreFile: '*.md\n' };

function checkTotally(text: string): void {
  try {
    for (const { rule, message, at, of, hint } of findingsOf(text, everything)) {
      requireInside(at, text);
      requireInside(of, text);
      expect(renderWarning({ code: rule, message, at, hint })).toContain(`warning[${rule}]: `);
    }
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    expect(error.at, error.message).toBeDefined();
    expect(renderError(error)).toContain('--> ');
  }
}

function requireInside({ file, start, end }: Span, text: string): void {
  expect(file.text).toBe(text);
  expect(start).toBeGreaterThanOrEqual(0);
  expect(start).toBeLessThanOrEqual(end);
  expect(end).toBeLessThanOrEqual(text.length);
}

test('a Buildfile with pieces missing, doubled or put in is checked, or refused with a place', () => {
  fc.assert(fc.property(mutated(), checkTotally), { numRuns: 2000 });
});

test('instructions with anything behind them are checked, or refused with a place', () => {
  const keyword = fc.constantFrom(
    'FROM',
    'ENV',
    'ARG',
    'COPY',
    'ADD',
    'EXPOSE',
    'WORKDIR',
    'CMD',
    'ONBUILD ENV',
    '# check=',
  );
  const line = fc.tuple(keyword, fc.array(fragments, { maxLength: 6 }));
  const text = fc
    .array(line, { minLength: 1, maxLength: 5 })
    .map((lines) => `FROM scratch AS a\n${lines.map(([name, rest]) => `${name} ${rest.join('')}`).join('\n')}`);
  fc.assert(fc.property(text, checkTotally), { numRuns: 2000 });
});

for (const [what, text] of [
  ['10,000 ordinary lines', Array.from({ length: 625 }, (_, i) => stage(i)).join('')],
  ['10,000 lines with a finding in each', `FROM scratch\n${'copy $nope /\n'.repeat(10_000)}`],
  [
    '5,000 variables, and as many that are none',
    `FROM scratch\n${lines('ENV', 'A')}${lines('ADD --chown=0 x', '/$B')}`,
  ],
  ['10,000 comments that skip', `FROM scratch\n${'# check=skip=LegacyKeyValueFormat\nENV a b\n'.repeat(5_000)}`],
] as const) {
  test(`${what} are checked in well under a tenth of a second`, () => {
    const times = Array.from({ length: 5 }, () => {
      const start = performance.now();
      findingsOf(text);
      return performance.now() - start;
    });
    console.log(`${what}, parsed, planned and checked: ${times.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    expect(Math.min(...times)).toBeLessThan(1500); // a loaded machine may be slow, what is quadratic is slower
  });
}

function stage(index: number): string {
  return `# s${index} is a stage
FROM scratch AS s${index}
ARG VERSION=1 NEXT=$VERSION
ENV HOME_DIR=$NEXT PATH=/x:$PATH
WORKDIR /src
RUN --mount=type=cache,target=/root/.cache,id=go \\
    go mod download -x
COPY --chown=1000:1000 . .
RUN <<'EOF' sh
go build
EOF
LABEL a="app" version=1
COPY src/ lib/ ./
EXPOSE 8080/tcp 9000-9010
ENTRYPOINT ["/app"]
CMD ["--help"]
`;
}

function lines(before: string, name: string): string {
  return Array.from({ length: 5_000 }, (_, i) => `${before} ${name}${i}${before === 'ENV' ? '=1' : ''}\n`).join('');
}
