import { expect, test } from 'vitest';
import type { BuildEvent } from '../../src/base/index.js';
import { jsonReport, plainReport } from '../../src/report/index.js';

const log = (text: string, vertex = 1): BuildEvent => ({
  type: 'log',
  vertex,
  stream: 'stdout',
  chunk: Buffer.from(text),
});

function shown(events: readonly BuildEvent[]): string[] {
  let text = '';
  const report = plainReport((piece) => {
    text += piece;
  });
  for (const event of events) report(event);
  return text
    .replace(/(#\d+ )\d+\.\d{3} /g, '$1T ')
    .trimEnd()
    .split('\n');
}

test('a step shows its name, whole lines of output, and how long it took', () => {
  const lines = shown([
    { type: 'vertex-start', vertex: 1, name: '[2/2] RUN make' },
    log('comp'),
    log('iling\nlinking\nno end'),
    { type: 'vertex-done', vertex: 1, cached: false, durationMs: 1234, layerBytes: 5 },
  ]);
  expect(lines).toEqual(['#2 [2/2] RUN make', '#2 T compiling', '#2 T linking', '#2 T no end', '#2 DONE 1.2s']);
});

test('a cached step says so', () => {
  const done: BuildEvent = { type: 'vertex-done', vertex: 0, cached: true, durationMs: 1, layerBytes: null };
  expect(shown([{ type: 'vertex-start', vertex: 0, name: '[1/1] RUN x' }, done])).toEqual([
    '#1 [1/1] RUN x',
    '#1 CACHED',
  ]);
});

test('a redrawn line counts once, colours stay, what could harm a terminal goes', () => {
  const lines = shown([
    { type: 'vertex-start', vertex: 1, name: 'x' },
    log(' 10%\r 50%\r100%\n\u001b[31mred\u001b[0m \u001b]0;title\u0007\u001b[2Jend\n'),
  ]);
  expect(lines.slice(1)).toEqual(['#2 T 100%', '#2 T \u001b[31mred\u001b[0m end']);
});

test('a character cut between two chunks stays whole', () => {
  const bytes = Buffer.from('größe\n');
  const chunk = (part: Buffer): BuildEvent => ({ type: 'log', vertex: 1, stream: 'stderr', chunk: part });
  expect(
    shown([{ type: 'vertex-start', vertex: 1, name: 'x' }, chunk(bytes.subarray(0, 3)), chunk(bytes.subarray(3))])[1],
  ).toBe('#2 T größe');
});

test('the JSON report gives one object a line, with the place of a warning', () => {
  const lines: string[] = [];
  const report = jsonReport((text) => lines.push(text));
  const file = { name: 'Buildfile', text: 'FROM scratch\nARG x' };
  report({ type: 'warning', code: 'W', message: 'unused', at: { file, start: 13, end: 16 }, hint: undefined });
  report(log('a\nb'));
  report({ type: 'vertex-done', vertex: 1, cached: false, durationMs: 1, layerBytes: null });
  const objects = lines.map((line) => JSON.parse(line));
  expect(objects.map((object) => object.type)).toEqual(['warning', 'log', 'log', 'vertex-done']);
  expect(objects[0].at).toEqual({ file: 'Buildfile', line: 2, column: 1 });
  expect(objects[2]).toMatchObject({ v: 1, text: 'b', vertex: 1, stream: 'stdout' });
});

test('what a check finds is shown with its line, and all warnings are counted at the end', () => {
  const file = { name: 'Buildfile', text: 'FROM scratch\nCMD x\n' };
  const check = { description: 'd', url: 'u' };
  const lines = shown([
    { type: 'warning', code: 'R', message: 'no', at: { file, start: 13, end: 16 }, hint: 'do', check },
    { type: 'warning', code: 'W', message: 'unused', at: { file, start: 13, end: 16 }, hint: undefined },
    { type: 'build-done', digest: 'sha256:1', tags: [], durationMs: 1 },
  ]);
  expect(lines).toEqual([
    'warning[R]: no',
    ' --> Buildfile:2:1',
    '  |',
    '2 | CMD x',
    '  | ^^^',
    'help: do',
    'warning[W]: unused (Buildfile:2)',
    'built sha256:1 in 0.00s',
    '2 warnings found',
  ]);
});

test('an output on its way is shown at each tenth', () => {
  const at = (done: number): BuildEvent => ({ type: 'output-progress', what: 'sending sha256:0123', done, total: 100 });
  expect(shown([at(0), at(3), at(55), at(55), at(100)])).toEqual([
    'output: sending sha256:0123 0%',
    'output: sending sha256:0123 50%',
    'output: sending sha256:0123 100%',
  ]);
});
