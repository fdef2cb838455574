// tsbuild build: flags as docker buildx and podman spell them → one build request → its image.
import type { Command } from 'commander';
import { addUsers, type Store } from '#store';
import type { EventSink } from '../base/index.js';
import { buildImage, withSource } from '../build/index.js';
import { jsonFailure, jsonInterruption, jsonReport, plainReport } from '../report/index.js';
import { openAutomaticGc } from './automatic-gc.js';
import { methodCalled } from './build-method.js';
import { type BuildOptions, buildOptions, type ProgressKind, progressKinds } from './build-options.js';
import { buildRequest } from './build-request.js';
import { type Cli, ToldError, UsageError } from './cli.js';
import { writeMetadata } from './metadata-file.js';
import { writeResult } from './write-result.js';

export function configure(command: Command): void {
  command
    .allowExcessArguments() // said better below
    .argument('[context]', 'what COPY and ADD read: a directory, a git or HTTP URL, or - for a tar or a Buildfile', '.')
    .addHelpText('after', '\nexample:\n  tsbuild -f Buildfile -t app:1 --build-arg VERSION=2 .');
  for (const option of buildOptions) command.addOption(option);
}

export { elsewhere } from './build-elsewhere.js';
export { plainSwitches as prepare } from './switches.js';

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<BuildOptions>();
  if (command.args.length > 1) {
    throw new UsageError('USAGE', {
      message: `build takes one context, not ${command.args.length}: ${command.args.join(' ')}`,
      hint: 'tsbuild help lists the commands; tsbuild build --help shows the options',
    });
  }
  const request = buildRequest(options, command.args[0] ?? '.', cli);
  const kind = progressKind(options, cli.env);
  const call = methodCalled(options);
  const store = await cli.openStore(options.store, { sync: options.sync === true });
  if (call !== null) {
    const { answerCall } = await import('./build-call.js');
    const io = { store, emit: progress(kind, cli), signal: cli.signal };
    const answering = withSource(request, io, (known) => answerCall(call, known, { ...io, out: cli.out }));
    return kind === 'json' ? answering.catch((error: unknown) => tellJson(error, cli, store)) : answering;
  }
  const collectGarbage = openAutomaticGc(cli, store);
  const building = buildImage(request, {
    store,
    openHost: () => cli.openHost(),
    emit: progress(kind, cli),
    signal: cli.signal,
  });
  const built = await (kind === 'json' ? building.catch((error: unknown) => tellJson(error, cli, store)) : building);
  if (options.iidfile !== undefined) writeResult('--iidfile', options.iidfile, built.digest);
  if (options.metadataFile !== undefined) await writeMetadata(options.metadataFile, built, cli.env);
  if (kind === 'quiet') cli.out(`${built.digest}\n`);
  await collectGarbage();
  return 0;
}

/** @throws UsageError for an environment that asks for something unknown */
function progressKind({ quiet, progress }: BuildOptions, env: NodeJS.ProcessEnv): ProgressKind {
  if (quiet === true) return 'quiet';
  const wanted = progress ?? env.BUILDKIT_PROGRESS ?? '';
  if (wanted === '') return 'auto';
  const known = progressKinds.find((kind) => kind === wanted);
  if (known !== undefined) return known;
  throw new UsageError('USAGE', {
    message: `BUILDKIT_PROGRESS is ${JSON.stringify(wanted)}`,
    hint: `set it to ${progressKinds.slice(0, -1).join(', ')} or ${progressKinds.at(-1)}, or give --progress`,
  });
}

/** Whoever reads the progress as JSON reads its end as JSON too. */
function tellJson(error: unknown, cli: Cli, store: Store): never {
  addUsers(store, error);
  cli.err(cli.signal.aborted ? jsonInterruption(cli.signal.reason) : jsonFailure(error));
  throw new ToldError('told', { cause: error });
}

function progress(kind: ProgressKind, cli: Cli): EventSink {
  const write = (text: string): void => cli.err(text);
  if (kind === 'quiet' || kind === 'none') return () => {};
  return kind === 'json' ? jsonReport(write) : plainReport(write); // lines are what a terminal gets, too
}
