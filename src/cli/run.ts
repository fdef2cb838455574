// tsbuild run: a program from an image, its output and exit code passed through.
import { type Command, Option } from 'commander';
import { mountLayer, openReadingLease, openView, type Platform, visibleLayers } from '#store';
import { runImage } from '../executor/index.js';
import { type Cli, collect, UsageError } from './cli.js';
import { openImage } from './open-image.js';
import { platformOption } from './platform-option.js';

interface RunOptions {
  readonly env?: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly entrypoint?: string;
  readonly hostname: string;
  readonly network: 'host' | 'none';
  readonly interactive?: boolean;
  readonly platform?: Platform;
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .argument('<image>', 'name or digest of the image')
    .argument('[command...]', "program and arguments; they replace the image's CMD")
    .passThroughOptions()
    .option('-e, --env <name[=value]>', 'environment variable', collect)
    .option('-w, --workdir <dir>', 'working directory')
    .option('-u, --user <user[:group]>', 'user to run as')
    .option('--entrypoint <program>', "replaces the image's ENTRYPOINT")
    .addOption(platformOption())
    .option('--hostname <name>', 'host name inside', 'tsbuild')
    .addOption(new Option('--network <mode>', 'network').choices(['host', 'none']).default('host'))
    .option('-i, --interactive', 'pass standard input on')
    .option('--rm', 'accepted for habit: nothing is kept anyway')
    .addHelpText('after', '\nexamples:\n  tsbuild run app:1\n  tsbuild run -e DEBUG=1 app:1 sh -c "echo $DEBUG"');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<RunOptions>();
  const [name = '', ...words] = command.args;
  const store = await cli.openStore(options.store);
  const host = await cli.openHost();
  const lease = await openReadingLease(store, `run ${name}`, () => host);
  try {
    const image = await openImage(cli, store, name, options.platform);
    const mounts = await Promise.all(visibleLayers(image.layers).map((layer) => mountLayer(store, lease, host, layer)));
    const view = openView(image.layers);
    const exit = await runImage(
      {
        name,
        config: image.config,
        command: words,
        entrypoint: options.entrypoint,
        env: (options.env ?? []).map((text) => environment(text, cli.env)),
        workdir: options.workdir,
        user: options.user,
        hostname: options.hostname,
        network: options.network,
        stdin: options.interactive ? 'inherit' : 'null',
      },
      {
        host,
        lease,
        mounts,
        view,
        handlers: {
          onStdout: (chunk) => void process.stdout.write(chunk),
          onStderr: (chunk) => void process.stderr.write(chunk),
          signal: cli.signal,
        },
      },
    );
    view.close();
    return exit.exitCode;
  } finally {
    await lease.release();
  }
}

function environment(text: string, env: NodeJS.ProcessEnv): [string, string] {
  const at = text.indexOf('=');
  if (at === 0) throw new UsageError('USAGE', { message: `--env ${text}: no name`, hint: '-e NAME=VALUE' });
  return at < 0 ? [text, env[text] ?? ''] : [text.slice(0, at), text.slice(at + 1)];
}
