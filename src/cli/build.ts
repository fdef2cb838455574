// tsbuild build: flags as docker buildx and podman spell them → one build request → its image.
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { BuildError, type EventSink } from '../base/index.js';
import { buildImage } from '../build/index.js';
import { jsonFailure, jsonInterruption, jsonReport, plainReport } from '../report/index.js';
import { type BuildOptions, buildOptions } from './build-options.js';
import { buildRequest } from './build-request.js';
import { type Cli, ToldError, UsageError } from './cli.js';

export function configure(command: Command): void {
  command
    .allowExcessArguments() // said better below
    .argument('[context]', 'directory that COPY and ADD read', '.')
    .addHelpText('after', '\nexample:\n  tsbuild -f Buildfile -t app:1 --build-arg VERSION=2 .');
  for (const option of buildOptions) command.addOption(option);
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<BuildOptions>();
  if (command.args.length > 1) {
    throw new UsageError('USAGE', {
      message: `build takes one context, not ${command.args.length}: ${command.args.join(' ')}`,
      hint: 'tsbuild help lists the commands; tsbuild build --help shows the options',
    });
  }
  const request = buildRequest(options, command.args[0] ?? '.', cli);
  const quiet = options.quiet === true || options.progress === 'quiet';
  const store = await cli.openStore(options.store, { sync: options.sync === true });
  const building = buildImage(request, {
    store,
    openHost: () => cli.openHost(),
    emit: quiet ? () => {} : progress(options.progress, cli),
    signal: cli.signal,
  });
  const image = await (options.progress === 'json'
    ? building.catch((error: unknown) => tellJson(error, cli))
    : building);
  if (options.iidfile !== undefined) writeDigest(options.iidfile, image.digest);
  if (quiet) cli.out(`${image.digest}\n`);
  return 0;
}

/** Whoever reads the progress as JSON reads its end as JSON too. */
function tellJson(error: unknown, cli: Cli): never {
  cli.err(cli.signal.aborted ? jsonInterruption(cli.signal.reason) : jsonFailure(error));
  throw new ToldError('told', { cause: error });
}

function writeDigest(file: string, digest: string): void {
  try {
    writeFileSync(file, digest);
  } catch (cause) {
    throw new BuildError('IIDFILE_UNWRITABLE', {
      message: `the image was built, but its digest can't be written to ${file}: ${(cause as Error).message}`,
      hint: 'check --iidfile',
      cause,
    });
  }
}

function progress(kind: BuildOptions['progress'], cli: Cli): EventSink {
  const write = (text: string): void => cli.err(text);
  return kind === 'json' ? jsonReport(write) : plainReport(write);
}
