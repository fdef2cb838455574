// The texts of an image's history, byte for byte as BuildKit writes them: tools and people compare them.
import type { Healthcheck } from '#store';

export const historyComment = 'buildkit.dockerfile.v0';

/** Go's %q of strings: `["sh" "-c"]`. */
export function quotedList(words: readonly string[]): string {
  return `[${words.map(quoted).join(' ')}]`;
}

/** Go's %v of strings: `[a b]`. */
export function plainList(words: readonly string[]): string {
  return `[${words.join(' ')}]`;
}

/** Go's %+v of a health check. */
export function healthcheckText(check: Healthcheck): string {
  const { Test = [], Interval = 0, Timeout = 0, StartPeriod = 0, StartInterval = 0, Retries = 0 } = check;
  const times = Object.entries({ Interval, Timeout, StartPeriod, StartInterval });
  const shown = times.map(([name, ns]) => `${name}:${durationText(ns)}`);
  return `{Test:${plainList(Test)} ${shown.join(' ')} Retries:${Retries}}`;
}

/** Go's text of a duration: '1m30s', '500ms', '0s'. */
function durationText(ns: number): string {
  if (ns === 0) return '0s';
  if (ns < 0) return `-${durationText(-ns)}`;
  if (ns < 1e3) return `${ns}ns`;
  if (ns < 1e6) return `${ns / 1e3}µs`;
  if (ns < 1e9) return `${ns / 1e6}ms`;
  const hours = Math.floor(ns / 3600e9);
  const minutes = Math.floor((ns % 3600e9) / 60e9);
  const seconds = (ns % 60e9) / 1e9;
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}

const escapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

function quoted(text: string): string {
  return `"${Array.from(text, escaped).join('')}"`;
}

function escaped(char: string): string {
  const short = escapes[char];
  if (short !== undefined) return short;
  const code = char.codePointAt(0)!;
  if (code < 0x20 || code === 0x7f) return `\\x${hex(code, 2)}`;
  // Letters, marks, numbers, punctuation, symbols and the plain blank are printable to Go.
  if (char === ' ' || /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(char)) return char;
  return code > 0xffff ? `\\U${hex(code, 8)}` : `\\u${hex(code, 4)}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}
