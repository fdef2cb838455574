// The context that the command line names.
import { existsSync } from 'node:fs';
import { isDirectory } from './build-values.js';
import { UsageError } from './cli.js';

export function requireDirectory(context: string): string {
  if (context === '-' || /^(https?|git|ssh):\/\//.test(context) || context.startsWith('git@')) {
    throw new UsageError('USAGE', {
      message: `the context must be a directory here, not ${JSON.stringify(context)}`,
      hint: 'contexts from standard input, git and HTTP are not there yet: fetch it first and give the directory',
    });
  }
  if (isDirectory(context)) return context;
  throw new UsageError('USAGE', {
    message: existsSync(context) ? `the context ${context} is no directory` : `there is no directory ${context}`,
    hint: 'the context is the directory that COPY reads from, such as . ; a Buildfile is named with -f',
  });
}
