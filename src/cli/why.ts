// tsbuild why: which steps of a build were not cached, and what of their keys was other than before.
import { type Command, Option } from 'commander';
import type { Cli } from './cli.js';
import { chooseBuild } from './why-build.js';
import { findSteps } from './why-find.js';
import { overviewJson, stepsJson } from './why-json.js';
import { overviewText, stepText } from './why-text.js';

interface WhyOptions {
  readonly build?: string;
  readonly file?: string;
  readonly format: 'text' | 'json';
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .argument('[step...]', "a step's number (5 or '#5'), a stage, STAGE/NUMBER, or how an instruction begins")
    .option('--build <id>', 'a build by its id, or the start of one (default: the last one)')
    .option('-f, --file <file>', 'the last build of this Buildfile')
    .addOption(new Option('--format <kind>', 'how to print').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      '\nexamples:\n  tsbuild why\n  tsbuild why 5\n  tsbuild why build/3\n  tsbuild why COPY src\n  tsbuild why --format json',
    );
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<WhyOptions>();
  const store = await cli.openStore(options.store);
  const build = chooseBuild(store, options);
  const wanted = command.args.join(' ');
  if (wanted === '') {
    cli.out(options.format === 'json' ? overviewJson(build) : overviewText(build));
    return 0;
  }
  const steps = findSteps(build, wanted);
  if (options.format === 'json') cli.out(stepsJson(store, build, steps));
  else cli.out(steps.map((step) => stepText(store, build, step)).join('\n'));
  return 0;
}
