import { UsageError } from './cli.js';

/** Parser of --compression-level. @throws UsageError */
export function compressionLevel(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new UsageError('USAGE', {
    message: `--compression-level ${text} is no number`,
    hint: 'gzip takes 0 to 9, zstd 1 to 22',
  });
}
