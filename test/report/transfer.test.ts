// Progress of transfers: rates and remaining time, in lines, live and as JSON. The clock is the test's.
import { expect, test } from 'vitest';
import { jsonTransfer, liveTransfer, plainTransfer, type TransferReport } from '../../src/report/transfer.js';

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;

interface Played {
  readonly report: TransferReport;
  readonly written: string[];
  /** Lets time pass, then tells. */
  step(ms: number, letter: string, state: string, done: number, total: number): void;
}

function played(open: (write: (text: string) => void, now: () => number) => TransferReport): Played {
  let now = 0;
  const written: string[] = [];
  const report = open(
    (text) => written.push(text),
    () => now,
  );
  return {
    report,
    written,
    step(ms, letter, state, doneBytes, totalBytes) {
      now += ms;
      report.onProgress({ digest: digest(letter), state, doneBytes, totalBytes });
    },
  };
}

test('a log gets a line a layer at its start, every ten seconds, at its end, and one for all', () => {
  const { report, written, step } = played(plainTransfer);
  step(0, 'a', 'present', 500, 500);
  step(0, 'b', 'receiving', 0, 100_000_000);
  for (let second = 1; second <= 25; second += 1) step(1000, 'b', 'receiving', second * 2_000_000, 100_000_000);
  step(25_000, 'b', 'done', 100_000_000, 100_000_000);
  report.end();
  expect(written.join('').split('\n')).toEqual([
    'aaaaaaaaaaaa: present 500B',
    'bbbbbbbbbbbb: receiving 100MB',
    'bbbbbbbbbbbb: receiving 20% of 100MB  2.00MB/s  ETA 40s',
    'bbbbbbbbbbbb: receiving 40% of 100MB  2.00MB/s  ETA 30s',
    'bbbbbbbbbbbb: done 100MB, 2.00MB/s',
    '1 blob, 100MB in 50s, 2.00MB/s',
    '',
  ]);
});

test('where nothing had to be moved, nothing is said of speed', () => {
  const { report, written, step } = played(plainTransfer);
  step(0, 'a', 'present', 5, 5);
  step(0, 'b', 'mounted', 5, 5);
  report.end();
  expect(written).toEqual(['aaaaaaaaaaaa: present 5B\n', 'bbbbbbbbbbbb: mounted 5B\n']);
});

/** What a terminal shows in the end, for what is written here: cursor up, erase below. */
function screen(written: readonly string[]): string[] {
  let lines: string[] = [];
  for (const [, up, text] of written.join('').matchAll(/\u001b\[(\d+)A\u001b\[J|([^\u001b]+)/g)) {
    if (up !== undefined) lines = lines.slice(0, lines.length - Number(up));
    else lines.push(...(text ?? '').split('\n').slice(0, -1));
  }
  return lines;
}

test('a terminal has a line with bar, rate and remaining time for each layer and for all, in place', () => {
  const { report, written, step } = played((write, now) => liveTransfer({ write, columns: () => 100 }, now));
  report.expect([
    { digest: digest('a'), size: 10_000_000 },
    { digest: digest('b'), size: 20_000_000 },
    { digest: digest('c'), size: 10_000_000 },
  ]);
  step(0, 'a', 'receiving', 0, 10_000_000);
  step(0, 'b', 'receiving', 0, 20_000_000);
  step(1000, 'a', 'receiving', 5_000_000, 10_000_000);
  step(1000, 'b', 'receiving', 10_000_000, 20_000_000);
  expect(screen(written)).toEqual([
    'aaaaaaaaaaaa: receiving   [==========>         ]  50% 5.00MB/10.0MB  2.50MB/s  ETA 2.0s',
    'bbbbbbbbbbbb: receiving   [==========>         ]  50% 10.0MB/20.0MB  5.00MB/s  ETA 2.0s',
    '0/3 blobs                 [=======>            ]  37% 15.0MB/40.0MB  7.50MB/s  ETA 3.3s',
  ]);
  step(2000, 'a', 'done', 10_000_000, 10_000_000);
  step(0, 'b', 'done', 20_000_000, 20_000_000);
  step(1000, 'c', 'done', 10_000_000, 10_000_000);
  report.end();
  expect(screen(written)).toEqual([
    'aaaaaaaaaaaa: done 10.0MB, 2.50MB/s',
    'bbbbbbbbbbbb: done 20.0MB, 5.00MB/s',
    expect.stringMatching(/^cccccccccccc: done 10\.0MB/),
    '3 blobs, 40.0MB in 5.0s, 8.00MB/s',
  ]);
});

test('a terminal is drawn on ten times a second at most, and is clean after a failure', () => {
  const { report, written, step } = played((write, now) => liveTransfer({ write, columns: () => 40 }, now));
  for (let i = 0; i < 10_000; i += 1) step(1, 'a', 'sending', i, 10_000);
  expect(written.length).toBeLessThanOrEqual(101);
  expect(Math.max(...screen(written).map((line) => line.length))).toBeLessThan(40);
  report.abandon();
  expect(screen(written)).toEqual([]);
});

test('the remaining time is there on a terminal of 80 columns', () => {
  const { written, step } = played((write, now) => liveTransfer({ write, columns: () => 80 }, now));
  step(0, 'a', 'receiving', 0, 1_230_000_000);
  step(2000, 'a', 'receiving', 246_800, 1_230_000_000);
  expect(screen(written)).toEqual(['aaaaaaaaaaaa: receiving   [>       ]   0% 247kB/1.23GB  123kB/s  ETA 2h46m']);
});

test('a stall shows in the rate, and a resumed transfer does not run backwards in it', () => {
  const { written, step } = played((write, now) => liveTransfer({ write, columns: () => 200 }, now));
  for (let i = 0; i <= 10; i += 1) step(1000, 'a', 'receiving', i * 1_000_000, 100_000_000);
  for (let i = 0; i < 10; i += 1) step(1000, 'a', 'receiving', 10_000_000, 100_000_000);
  expect(screen(written)[0]).toContain(' 0B/s');
  expect(screen(written)[0]).not.toContain('ETA');
  step(1000, 'a', 'receiving', 4_000_000, 100_000_000);
  step(1000, 'a', 'receiving', 6_000_000, 100_000_000);
  expect(screen(written)[0]).toContain(' 2.00MB/s  ETA 47s');
});

test('a program gets an object a line', () => {
  const { report, written, step } = played(jsonTransfer);
  step(0, 'a', 'sending', 0, 1000);
  step(100, 'a', 'sending', 400, 1000);
  step(400, 'a', 'sending', 500, 1000);
  step(500, 'a', 'done', 1000, 1000);
  report.end();
  expect(written.map((line) => JSON.parse(line))).toMatchObject([
    { v: 1, type: 'transfer', digest: digest('a'), state: 'sending', doneBytes: 0, totalBytes: 1000, etaMs: null },
    { type: 'transfer', state: 'sending', doneBytes: 500, bytesPerSecond: 1000, etaMs: 500 },
    { type: 'transfer', state: 'done', doneBytes: 1000 },
    { type: 'transfer-done', blobs: 1, bytes: 1000, durationMs: 1000, bytesPerSecond: 1000 },
  ]);
});
