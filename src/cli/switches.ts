import type { Command } from 'commander';
import { UsageError } from './cli.js';

/**
 * Switches as Go's flags take them: '--pull=true' is '--pull', and '--pull=false' nothing.
 *
 * @throws UsageError for another value
 */
export function plainSwitches(argv: readonly string[], command: Command): string[] {
  const end = argv.indexOf('--');
  return argv.flatMap((word, i) => {
    const [, name, value = ''] = ((end < 0 || i < end) && /^(--[\w-]+)=(.*)$/s.exec(word)) || [];
    const option = command.options.find(({ long }) => long === name);
    if (!option || option.required || option.optional) return [word];
    if (/^(1|t|true)$/i.test(value)) return [name!];
    if (/^(0|f|false)$/i.test(value)) return [];
    throw new UsageError('USAGE', {
      message: `${name} does not take ${JSON.stringify(value)}`,
      hint: `it is a switch: write ${name}, or leave it out`,
    });
  });
}
