// Events → stable, greppable lines: '#3 [build 2/5] RUN make', its output, '#3 DONE 1.2s' or '#3 CACHED'.
import type { BuildEvent, CacheMiss, EventSink } from '../base/index.js';
import { lineAndColumn, renderWarning } from '../base/index.js';
import { LineCutter } from './lines.js';

export function plainReport(write: (text: string) => void): EventSink {
  const steps = new Map<number, { started: number; out: LineCutter; err: LineCutter; shownProgress: string }>();
  const print = (vertex: number, text: string): void => write(`#${vertex + 1} ${text}\n`);

  let warnings = 0;
  const bases = new Map<string, string>();
  const base = (event: Extract<BuildEvent, { type: 'base-progress' }>): void => {
    const text = progressText(event);
    if (bases.get(event.ref) === text) return;
    bases.set(event.ref, text);
    write(`${safe(event.ref)}: ${text}\n`);
  };
  const start = (event: Extract<BuildEvent, { type: 'vertex-start' }>): void => {
    const started = performance.now();
    const line = (text: string): void =>
      print(event.vertex, `${((performance.now() - started) / 1000).toFixed(3)} ${safe(text)}`);
    steps.set(event.vertex, { started, out: new LineCutter(line), err: new LineCutter(line), shownProgress: '' });
    print(event.vertex, safe(event.name));
  };
  const end = (vertex: number, verdict: string): void => {
    const step = steps.get(vertex);
    step?.out.end();
    step?.err.end();
    print(vertex, verdict);
  };

  /** By what is on its way: how far it was when that was last shown. */
  const outputs = new Map<string, string>();

  return (event) => {
    switch (event.type) {
      case 'build-start':
        return;
      case 'frontend':
        return write(`syntax ${safe(event.name)}: built in\n`);
      case 'base-progress':
        return base(event);
      case 'vertex-start':
        return start(event);
      case 'log':
        return steps.get(event.vertex)?.[event.stream === 'stdout' ? 'out' : 'err'].push(event.chunk);
      case 'progress': {
        const step = steps.get(event.vertex);
        const text = progressText(event);
        if (!step || step.shownProgress === text) return;
        step.shownProgress = text;
        return print(event.vertex, text);
      }
      case 'not-cached':
        if (!expected.has(event.reason)) print(event.vertex, `not cached: ${safe(event.text)}`);
        return;
      case 'result-unchanged':
        return print(event.vertex, 'same result as before: no step has to be executed because of it');
      case 'vertex-done':
        return end(event.vertex, event.cached ? 'CACHED' : `DONE ${seconds(event.durationMs)}`);
      case 'vertex-failed':
        return end(event.vertex, event.canceled ? 'CANCELED' : `ERROR after ${seconds(event.durationMs)}`);
      case 'output-progress': {
        const text = progressText(event);
        if (outputs.get(event.what) === text) return;
        outputs.set(event.what, text);
        return write(`output: ${text}\n`);
      }
      case 'warning':
        warnings++;
        return write(`${warningText(event)}\n`);
      case 'build-done':
        write(
          `built ${event.digest}${event.tags.length ? ` as ${event.tags.join(', ')}` : ''} in ${seconds(event.durationMs)}\n`,
        );
        if (warnings > 0) write(`${warnings === 1 ? '1 warning' : `${warnings} warnings`} found\n`);
        return;
    }
  };
}

/** Nobody wonders then. */
const expected = new Set<CacheMiss['reason']>(['first-build', 'no-cache', 'no-cache-filter']);

function warningText(event: Extract<BuildEvent, { type: 'warning' }>): string {
  if (event.check && event.at) return renderWarning({ ...event, at: event.at });
  const at = event.at && lineAndColumn(event.at.file, event.at.start);
  const place = event.at && at ? ` (${event.at.file.name}:${at.line})` : '';
  return `warning[${event.code}]: ${safe(event.message)}${place}${event.hint ? `\nhelp: ${safe(event.hint)}` : ''}`;
}

function progressText(event: { what: string; done: number; total: number | null }): string {
  if (event.total === null) return `${safe(event.what)}`;
  const tenths = event.total === 0 ? 10 : Math.floor((event.done / event.total) * 10);
  return `${safe(event.what)} ${tenths * 10}%`;
}

/** Seconds as people read them: '0.04s', '12.3s'. */
function seconds(ms: number): string {
  return ms < 1000 ? `${(ms / 1000).toFixed(2)}s` : `${(ms / 1000).toFixed(1)}s`;
}

/** A step's output keeps its colours and tabs; other control characters don't reach the terminal. */
function safe(text: string): string {
  return text.replace(controls, (match) => (colour.test(match) || match === '\t' ? match : ''));
}

const controls =
  /\u001b\[[0-9;?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[\u0000-\u001f\u007f-\u009f]/g;
const colour = /^\u001b\[[0-9;]*m$/;
