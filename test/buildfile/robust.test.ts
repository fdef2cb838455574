// The parser is total: whatever the text, the answer is a Buildfile or a BuildError whose place lies in the text.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the shell's variables
import { DockerfileParser } from 'dockerfile-ast';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BuildError, renderError } from '../../src/base/index.js';
import { ExpansionError, expandWord, parseBuildfile, parseMount } from '../../src/buildfile/index.js';
import { fragments, mutated, samples } from '../support/buildfiles.js';

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
  fc.assert(fc.property(mutated(), parseTotally), { numRuns: 2000 });
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
