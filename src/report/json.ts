// Events → one JSON object a line; logs as text, lines whole.
import { type BuildEvent, type EventSink, lineAndColumn, type Span } from '../base/index.js';
import { LineCutter } from './lines.js';

/** Version of the line format: fields are added freely, never renamed or removed within one version. */
const schemaVersion = 1;

export function jsonReport(write: (text: string) => void): EventSink {
  const cutters = new Map<string, LineCutter>();
  const line = (value: object): void => write(jsonLine(value));

  const log = (event: Extract<BuildEvent, { type: 'log' }>): void => {
    const { vertex, stream, chunk } = event;
    const key = `${vertex} ${stream}`;
    let cutter = cutters.get(key);
    if (!cutter) {
      cutter = new LineCutter((text) => line({ type: 'log', vertex, stream, text }));
      cutters.set(key, cutter);
    }
    cutter.push(chunk);
  };

  return (event) => {
    if (event.type === 'log') return log(event);
    if (event.type === 'vertex-done' || event.type === 'vertex-failed') {
      cutters.get(`${event.vertex} stdout`)?.end();
      cutters.get(`${event.vertex} stderr`)?.end();
    }
    line(event.type === 'warning' ? { ...event, at: event.at && place(event.at) } : event);
  };
}

/** The last line of a build that failed, in place of the text that people get. */
export function jsonFailure(error: unknown): string {
  const { code, message, hint, at, notes } = (error instanceof Error ? error : { message: String(error) }) as Failure;
  return jsonLine({ type: 'build-failed', code: code ?? 'INTERNAL', message, hint, at: at && place(at), notes });
}

interface Failure {
  readonly code?: string;
  readonly message: string;
  readonly hint?: string;
  readonly at?: Span;
  readonly notes?: readonly string[];
}

/** @returns the line of a build that a person stopped */
export function jsonInterruption(reason: unknown): string {
  return jsonLine({ type: 'build-interrupted', signal: (reason as { signal?: string }).signal });
}

function jsonLine(value: object): string {
  return `${JSON.stringify({ v: schemaVersion, time: new Date().toISOString(), ...value })}\n`;
}

function place(at: Span): { file: string; line: number; column: number } {
  return { file: at.file.name, ...lineAndColumn(at.file, at.start) };
}
