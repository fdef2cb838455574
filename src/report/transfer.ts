// The progress of pushes, pulls and copies: lines for logs, live lines for terminals, JSON for programs.
import { type Measured, type TransferEvent, Transfers } from './transfer-meter.js';

export interface TransferReport {
  onProgress(event: TransferEvent): void;
  /** Layers that will be moved, where that is known before. */
  expect(layers: readonly { readonly digest: string; readonly size: number }[]): void;
  /** The last words. */
  end(): void;
  /** In place of them when it failed: what is said then is an error's affair. */
  abandon(): void;
}

export interface Terminal {
  write(text: string): void;
  columns(): number;
}

type Now = () => number;
const clock: Now = () => performance.now();

export const silentTransfer: TransferReport = {
  onProgress: () => {},
  expect: () => {},
  end: () => {},
  abandon: () => {},
};

/** How often a layer that takes long says so in a log. */
const plainEveryMs = 10_000;

/** One line a layer when it starts, now and then if it takes long, and when it is there; then all in one. */
export function plainTransfer(write: (text: string) => void, now: Now = clock): TransferReport {
  const transfers = new Transfers(now);
  const shown = new Map<string, { state: string; atMs: number }>();
  return {
    expect: (layers) => transfers.expect(layers),
    onProgress(event) {
      transfers.update(event);
      const { digest, state } = event;
      const last = shown.get(digest);
      const isNew = last?.state !== state;
      if (!isNew && now() - (last?.atMs ?? 0) < plainEveryMs) return;
      shown.set(digest, { state, atMs: now() });
      write(
        `${shortDigest(digest)}: ${isNew ? startLine(event, transfers) : `${state} ${progressText(transfers, digest)}`}\n`,
      );
    },
    end() {
      const text = summary(transfers);
      if (text !== null) write(`${text}\n`);
    },
    abandon: () => {},
  };
}

function startLine({ digest, state, doneBytes, totalBytes }: TransferEvent, transfers: Transfers): string {
  if (state !== 'done') return `${state} ${bytes(totalBytes)}`;
  const average = transfers.averageOf(digest);
  return `done ${bytes(doneBytes)}${average === null ? '' : `, ${rate(average.bytesPerSecond)}`}`;
}

function progressText(transfers: Transfers, digest: string): string {
  const measured = transfers.active().find((each) => each.digest === digest);
  return measured === undefined ? '' : `${percent(measured)} of ${bytes(measured.totalBytes)}${speed(measured)}`;
}

/** Null where nothing had to be moved. */
function summary(transfers: Transfers): string | null {
  const { done } = transfers.count();
  if (done === 0) return null;
  const { doneBytes } = transfers.total();
  const { durationMs, bytesPerSecond } = transfers.average();
  return `${done} ${done === 1 ? 'blob' : 'blobs'}, ${bytes(doneBytes)} in ${duration(durationMs)}, ${rate(bytesPerSecond)}`;
}

const redrawEveryMs = 100;
/** What stands beside a bar, at its longest: without it the remaining time would be cut off. */
const besideBar = 72;

/** A line with a bar for each layer under way and one for all, redrawn in place; what is there stays above them. */
export function liveTransfer(terminal: Terminal, now: Now = clock): TransferReport {
  const transfers = new Transfers(now);
  const stated = new Map<string, string>();
  let drawn = 0;
  let drawnAtMs = Number.NEGATIVE_INFINITY;
  const erase = (): string => (drawn === 0 ? '' : `\u001b[${drawn}A\u001b[J`);
  const draw = (above: string): void => {
    const bar = Math.max(4, Math.min(20, terminal.columns() - besideBar));
    const lines = liveLines(transfers, bar).map((line) => line.slice(0, Math.max(20, terminal.columns() - 1)));
    terminal.write(`${erase()}${above}${lines.map((line) => `${line}\n`).join('')}`);
    drawn = lines.length;
    drawnAtMs = now();
  };
  return {
    expect: (layers) => transfers.expect(layers),
    onProgress(event) {
      transfers.update(event);
      const { digest, state } = event;
      const isNew = stated.get(digest) !== state;
      stated.set(digest, state);
      const stays = isNew && ['done', 'present', 'mounted'].includes(state);
      if (stays) draw(`${shortDigest(digest)}: ${startLine(event, transfers)}\n`);
      else if (now() - drawnAtMs >= redrawEveryMs) draw('');
    },
    end() {
      const text = summary(transfers);
      terminal.write(`${erase()}${text === null ? '' : `${text}\n`}`);
      drawn = 0;
    },
    abandon() {
      terminal.write(erase());
      drawn = 0;
    },
  };
}

function liveLines(transfers: Transfers, barWidth: number): string[] {
  const active = transfers.active();
  if (active.length === 0) return [];
  const lines = active.map(
    (layer) => `${shortDigest(layer.digest)}: ${layer.state.padEnd(11)} ${meterText(layer, barWidth)}`,
  );
  const { done, all } = transfers.count();
  return all > 1 ? [...lines, `${`${done}/${all} blobs`.padEnd(25)} ${meterText(transfers.total(), barWidth)}`] : lines;
}

function meterText(measured: Measured, barWidth: number): string {
  const { doneBytes, totalBytes } = measured;
  const filled = Math.floor(fraction(measured) * barWidth);
  const bar = `[${'='.repeat(filled)}${filled < barWidth ? '>' : ''}${' '.repeat(Math.max(0, barWidth - filled - 1))}]`;
  return `${bar} ${percent(measured).padStart(4)} ${bytes(doneBytes)}/${bytes(totalBytes)}${speed(measured)}`;
}

const jsonEveryMs = 250;

/** One object a line, as of a build. */
export function jsonTransfer(write: (text: string) => void, now: Now = clock): TransferReport {
  const transfers = new Transfers(now);
  const shown = new Map<string, { state: string; atMs: number }>();
  const line = (value: object): void =>
    write(`${JSON.stringify({ v: 1, time: new Date().toISOString(), ...value })}\n`);
  return {
    expect: (layers) => transfers.expect(layers),
    onProgress(event) {
      transfers.update(event);
      const last = shown.get(event.digest);
      if (last?.state === event.state && now() - last.atMs < jsonEveryMs) return;
      shown.set(event.digest, { state: event.state, atMs: now() });
      const measured = transfers.active().find(({ digest }) => digest === event.digest);
      line({
        type: 'transfer',
        ...event,
        bytesPerSecond: rounded(measured?.bytesPerSecond),
        etaMs: rounded(measured?.etaMs),
      });
    },
    end() {
      const { done } = transfers.count();
      const { durationMs, bytesPerSecond } = transfers.average();
      const { doneBytes } = transfers.total();
      line({
        type: 'transfer-done',
        blobs: done,
        bytes: doneBytes,
        durationMs: rounded(durationMs),
        bytesPerSecond: rounded(bytesPerSecond),
      });
    },
    abandon: () => {},
  };
}

function rounded(value: number | null | undefined): number | null {
  return value === null || value === undefined ? null : Math.round(value);
}

function fraction({ doneBytes, totalBytes }: Measured): number {
  return totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
}

function percent(measured: Measured): string {
  return `${Math.floor(fraction(measured) * 100)}%`;
}

function speed({ bytesPerSecond, etaMs }: Measured): string {
  if (bytesPerSecond === null) return '';
  return `  ${rate(bytesPerSecond)}${etaMs === null ? '' : `  ETA ${duration(etaMs)}`}`;
}

function rate(bytesPerSecond: number): string {
  return `${bytes(bytesPerSecond)}/s`;
}

function shortDigest(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1).slice(0, 12);
}

/** '0.4s', '12s', '3m05s', '2h07m'. */
function duration(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  const two = (value: number): string => String(value).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  const hours = Math.floor(seconds / 3600);
  return hours > 99 ? '>99h' : `${hours}h${two(Math.floor((seconds % 3600) / 60))}m`;
}

/** Powers of ten, as docker shows sizes. */
function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let [value, unit] = [count, 0];
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : value.toPrecision(3)}${units[unit]}`;
}
