import { type Command, Option } from 'commander';
import { describeStore } from '#store';
import type { Cli } from './cli.js';

export function configure(command: Command): void {
  command
    .addOption(new Option('--format <kind>', 'how to print').choices(['text', 'json']).default('text'))
    .addHelpText('after', '\nexample:\n  tsbuild store info');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const { store: dir, format } = command.opts<{ readonly store?: string; readonly format: 'text' | 'json' }>();
  const info = describeStore(await cli.openStore(dir));
  if (format === 'json') {
    cli.out(`${JSON.stringify(info)}\n`);
    return 0;
  }
  const forms = info.mountsIndexes === null ? 'not tried yet' : info.mountsIndexes ? 'where they lie' : 'unpacked';
  const lines: [string, string][] = [
    ['store', info.dir],
    ['format', `${info.format}, tables ${info.schema}`],
    ['filesystem', `${info.filesystem}${info.readOnly ? ', read-only' : ''}`],
    ['layers mount', forms],
  ];
  cli.out(lines.map(([name, value]) => `${name.padEnd(13)} ${value}\n`).join(''));
  return 0;
}
