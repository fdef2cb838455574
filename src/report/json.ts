// Events → one JSON object a line; logs as text, lines whole.
import { type BuildEvent, type EventSink, lineAndColumn, type Span } from '../base/index.js';
import { LineCutter } from './lines.js';

/** Version of the line format: fields are added freely, never renamed or removed within one version. */
const schemaVersion = 1;

export function jsonReport(write: (text: string) => void): EventSink {
  const cutters = new Map<string, LineCutter>();
  const line = (value: object): void =>
    write(`${JSON.stringify({ v: schemaVersion, time: new Date().toISOString(), ...value })}\n`);

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

function place(at: Span): { file: string; line: number; column: number } {
  return { file: at.file.name, ...lineAndColumn(at.file, at.start) };
}
