// Sizes and durations as docker's commands take them.
import { parseDuration } from '../base/index.js';
import { UsageError } from './usage-error.js';

/** Bytes of '512mb', '2GB', '10GiB', '1048576': units are powers of 1024, as docker's sizes of memory and storage. @throws UsageError */
export function byteSize(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(text);
  const bytes = match ? Math.floor(Number(match[1]) * 1024 ** ' kmgtp'.indexOf(match[2]!.toLowerCase() || ' ')) : -1;
  if (Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  throw new UsageError('USAGE', {
    message: `${option} ${text} is no size`,
    hint: `as in ${option} 512mb or ${option} 10gb`,
  });
}

/** Milliseconds of '24h', '1h30m', and of whole days and weeks: '7d', '2w'. @throws UsageError */
export function durationMs(option: string, text: string): number {
  const [, count, unit] = /^(\d+)([dw])$/.exec(text) ?? [];
  if (count !== undefined) return Number(count) * (unit === 'w' ? 7 : 1) * 86_400_000;
  const ns = parseDuration(text);
  if (ns !== null && ns >= 0) return ns / 1e6;
  throw new UsageError('USAGE', {
    message: `${option} ${text} is no duration`,
    hint: `as in ${option} 24h, ${option} 1h30m or ${option} 7d`,
  });
}
