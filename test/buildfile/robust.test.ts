// The parser is total: whatever the text, the answer is a Buildfile or a BuildError whose place lies in the text.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the shell's variables
import { readdirSync, readFileSync } from 'node:fs';
import { DockerfileParser } from 'dockerfile-ast';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BuildError, renderError } from '../../src/base/index.js';
import { ExpansionError, expandWord, parseBuildfile, parseMount } from '../../src/buildfile/index.js';

const samples = [
  ...readdirSync(new URL('../../builds', import.meta.url)).map((name) =>
    readFileSync(new URL(`../../builds/${name}/Buildfile`, import.meta.url), 'utf8'),
  ),
  `# syntax=docker/dockerfile:1
# escape=\\
ARG GO=1.22 VARIANT="bookworm"
FROM --platform=$BUILDPLATFORM golang:\${GO}-\${VARIANT:-slim} AS build
WORKDIR /src
RUN --mount=type=cache,target=/root/.cache,id=go \\
    --mount=type=bind,source=go.mod,target=go.mod \\
    # the comment
    go mod download -x
COPY --chown=1000:1000 --exclude=*.md . .
RUN <<'EOF' sh
set -e
go build -o /out/app ./...
EOF
ENV A=1 B="two words" C=three\\ words \\
    D='single $quoted'
LABEL org.opencontainers.image.title="app" version=1
ONBUILD COPY <<A <<-B /x/
a
A
	b
	B
HEALTHCHECK --interval=30s --retries=3 CMD ["curl", "-f", "http://localhost/"]
FROM scratch
COPY --from=build /out/app /app
EXPOSE 8080/tcp 9000-9010
VOLUME ["/data"]
USER 65532:65532
STOPSIGNAL SIGINT
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENTRYPOINT ["/app"]
CMD ["--help"]
`,
];

const fragments = fc.constantFrom(
  ...['\n', '\r\n', '\r', ' ', '\t', '\\', '\\\n', '`', '"', "'", '$', '${', '}', '<<', '<<-E', '<<EOF', 'EOF\n'],
  ...['#', '# a=b\n', '--', '--mount=', '--from=', '=', ',', '[', ']', '["a"', '{', ':', '/', 'FROM ', 'RUN ', 'COPY '],
  ...['ONBUILD ', 'ENV ', 'ARG ', 'HEALTHCHECK ', 'AS ', '\0', '\uFEFF', 'é', '😀', '\ud800', '\u2028', '&&', 'x'],
);

function parseTotally(text: string): void {
  try {
    const file = parseBuildfile({ name: 'Buildfile', text });
    for (const stage of file.stages) {
      for (const instruction of [stage.from, ...stage.instructions]) {
        expect(instruction.at.start).toBeLessThan(instruction.at.end);
        expect(instruction.at.end).toBeLessThanOrEqual(text.length);
        if (instruction.keyword !== 'RUN') continue;
        for (const mount of instruction.mounts) parseMount(mount, (word) => word.text);
      }
    }
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    expect(error.at, error.message).toBeDefined();
    expect(error.at!.start).toBeGreaterThanOrEqual(0);
    expect(error.at!.start).toBeLessThanOrEqual(error.at!.end);
    expect(error.at!.end).toBeLessThanOrEqual(text.length);
    expect(renderError(error)).toContain('--> Buildfile:');
  }
}

test('text that is nearly a Buildfile never breaks the parser', () => {
  const text = fc.array(fragments, { maxLength: 40 }).map((parts) => parts.join(''));
  fc.assert(fc.property(text, parseTotally), { numRuns: 3000 });
});

test('instructions with anything behind them never break the parser', () => {
  const line = fc.array(fragments, { maxLength: 12 }).map((parts) => parts.join(''));
  const keyword = fc.constantFrom(
    'FROM',
    'RUN',
    'COPY',
    'ENV',
    'ARG',
    'HEALTHCHECK',
    'ONBUILD COPY',
    'SHELL',
    'EXPOSE',
  );
  const text = fc
    .array(fc.tuple(keyword, line), { minLength: 1, maxLength: 4 })
    .map((lines) => `FROM a\n${lines.map(([name, rest]) => `${name} ${rest}`).join('\n')}`);
  fc.assert(fc.property(text, parseTotally), { numRuns: 3000 });
});

test('a Buildfile with pieces missing, doubled or put in never breaks the parser', () => {
  const mutation = fc.tuple(fc.nat(), fc.nat(20), fragments, fc.constantFrom('put', 'drop', 'double'));
  const mutated = fc
    .tuple(fc.constantFrom(...samples), fc.array(mutation, { minLength: 1, maxLength: 6 }))
    .map(([sample, mutations]) =>
      mutations.reduce((text, [where, length, put, kind]) => {
        const at = where % (text.length + 1);
        if (kind === 'put') return text.slice(0, at) + put + text.slice(at);
        if (kind === 'drop') return text.slice(0, at) + text.slice(at + length);
        return text.slice(0, at + length) + text.slice(at);
      }, sample),
    );
  fc.assert(fc.property(mutated, parseTotally), { numRuns: 2000 });
});

test('words of any kind expand or are refused', () => {
  const word = fc.array(fragments, { maxLength: 20 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(word, (text) => {
      try {
        expandWord(text, (name) => (name === 'x' ? 'value' : undefined), { escapeChar: '\\' });
      } catch (error) {
        if (!(error instanceof ExpansionError)) throw error;
      }
    }),
    { numRuns: 3000 },
  );
});

test('what makes dockerfile-ast overflow its stack is parsed', () => {
  for (const text of ["FROM a\nCOPY $'<<-E", "FROM a\nRUN $'<<-E\n", 'FROM a\nCOPY $"<<-E x\n']) parseTotally(text);
});

for (const [what, text] of [
  ['one line of 2 MB', `FROM a\nRUN ${'x '.repeat(1_000_000)}\n`],
  ['100,000 continued lines', `FROM a\nRUN ${'x \\\n'.repeat(100_000)}y\n`],
  ['100,000 comments above', `${'# a=b\n'.repeat(100_000)}FROM a\n`],
  ['deeply nested JSON', `FROM a\nRUN ${'['.repeat(200_000)}\n`],
  ['20,000 flags', `FROM a\nRUN ${'--mount=type=cache,target=/a '.repeat(20_000)} x\n`],
  ['50,000 heredocs on a line', `FROM a\nRUN ${'<<A '.repeat(50_000)}\n${'A\n'.repeat(50_000)}`],
  ['20,000 heredocs of COPY', `FROM a\nCOPY ${'<<A '.repeat(20_000)} /x/\n${'A\n'.repeat(20_000)}`],
] as const) {
  test(`${what} parse in seconds at most`, () => {
    const start = performance.now();
    parseTotally(text);
    expect(performance.now() - start).toBeLessThan(5000);
  });
}

test('10,000 ordinary lines parse in about a tenth of a second', () => {
  const body = samples.map((sample) => sample.replaceAll(/^(# (syntax|escape)|ARG GO).*$/gm, '')).join('\n');
  const text = `FROM scratch\n${body.repeat(Math.ceil(10_000 / body.split('\n').length))}`;
  const times = Array.from({ length: 5 }, () => {
    const start = performance.now();
    parseBuildfile({ name: 'Buildfile', text });
    return performance.now() - start;
  });
  console.log(`${text.split('\n').length} lines: ${times.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  expect(Math.min(...times)).toBeLessThan(1000); // a loaded machine may be slow, a quadratic parser is slower
});

test('our instructions lie where dockerfile-ast sees them, in files without its gaps', () => {
  for (const text of samples) {
    const file = parseBuildfile({ name: 'Buildfile', text });
    const ours = [...file.globalArgs, ...file.stages.flatMap((stage) => [stage.from, ...stage.instructions])]
      .map(({ keyword, at }) => `${keyword} ${text.slice(0, at.start).split('\n').length}`)
      .sort();
    const theirs = DockerfileParser.parse(text)
      .getInstructions()
      .map((each) => `${each.getKeyword()} ${each.getRange().start.line + 1}`)
      .sort();
    expect(ours).toEqual(theirs);
  }
});
