// --build-arg-file: build arguments, one on a line.
import { readFileSync } from 'node:fs';
import { buildArg, whyUnreadable } from './build-values.js';
import { UsageError } from './cli.js';

/** Lines 'NAME=VALUE'; blank lines and those that begin with # say nothing. @throws UsageError with the line */
export function buildArgFile(path: string, env: NodeJS.ProcessEnv): [name: string, value: string][] {
  const lines = read(path)
    .replace(/^\ufeff/, '')
    .split(/\r?\n/);
  return lines.flatMap((line, i) => {
    const text = line.trimStart();
    if (text === '' || text.startsWith('#')) return [];
    if (!text.startsWith('=')) return buildArg(text, env);
    throw new UsageError('USAGE', {
      message: `--build-arg-file ${path}: line ${i + 1} has no name before the =`,
      hint: 'write NAME=VALUE, one on a line',
    });
  });
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError('USAGE', {
      message: `--build-arg-file ${path}: it can't be read: ${whyUnreadable(error)}`,
      hint: 'give a file with lines NAME=VALUE',
      cause: error,
    });
  }
}
