// tsbuild build: flags as docker buildx and podman spell them → one build request.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { type Command, Option } from 'commander';
import { BuildError, type EventSink, type SourceFile } from '../base/index.js';
import { type BuildRequest, buildImage } from '../build/index.js';
import { parsePlatform } from '../platform/index.js';
import { jsonFailure, jsonInterruption, jsonReport, plainReport } from '../report/index.js';
import { buildArg, given, imageName, isDirectory, label, namedContext, secret, whyUnreadable } from './build-values.js';
import { type Cli, collect, ToldError, UsageError } from './cli.js';

interface BuildOptions {
  readonly file?: string;
  readonly tag?: readonly string[];
  readonly target?: string;
  readonly buildArg?: readonly string[];
  readonly buildContext?: readonly string[];
  readonly label?: readonly string[];
  readonly secret?: readonly string[];
  readonly platform?: string;
  readonly cache: boolean;
  readonly plainHttp?: boolean;
  readonly pull: boolean;
  readonly network: 'host' | 'none' | 'default';
  readonly archPolicy: 'refuse' | 'warn' | 'allow';
  readonly iidfile?: string;
  readonly progress: 'auto' | 'plain' | 'json' | 'quiet';
  readonly quiet?: boolean;
  readonly sync?: boolean;
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .allowExcessArguments() // said better below
    .argument('[context]', 'directory that COPY and ADD read', '.')
    .option('-f, --file <file>', 'the Buildfile (default: Buildfile, Dockerfile or Containerfile in the context)')
    .option('-t, --tag <name>', 'name the image; may be given several times', collect)
    .option('--target <stage>', 'build up to this stage')
    .option('--build-arg <name[=value]>', 'value of an ARG; without =value it is taken from the environment', collect)
    .option(
      '--build-context <name=source>',
      'a named context: a directory, oci-layout://DIR[:tag], or an image',
      collect,
    )
    .option('--label <name=value>', 'label of the image', collect)
    .option('--secret <id=ID,src=FILE|env=NAME>', 'a secret for RUN --mount=type=secret', collect)
    .option('--platform <os/arch[/variant]>', "platform of the image (default: this machine's)")
    .option('--no-cache', 'execute every step')
    .option('--plain-http', 'speak plain HTTP to registries that are not on this machine')
    .option('--pull', 'look for newer base images in their registries')
    .addOption(
      new Option('--network <mode>', 'network of RUN steps').choices(['default', 'host', 'none']).default('default'),
    )
    .addOption(
      new Option('--arch-policy <policy>', 'what to do about executables for another machine in a layer')
        .choices(['refuse', 'warn', 'allow'])
        .default('warn'),
    )
    .option('--iidfile <file>', "write the image's digest to a file")
    .option('--sync', 'return only when the image has reached the disk')
    .addOption(
      new Option('--progress <kind>', 'kind of progress').choices(['auto', 'plain', 'json', 'quiet']).default('auto'),
    )
    .option('-q, --quiet', 'print the image digest only')
    .addHelpText('after', '\nexample:\n  tsbuild -f Buildfile -t app:1 --build-arg VERSION=2 .');
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

function buildRequest(options: BuildOptions, context: string, cli: Cli): BuildRequest {
  const contextDir = requireDirectory(context);
  const { source, path } = readBuildfile(options.file, contextDir);
  return {
    buildfile: source,
    buildfilePath: path,
    contextDir,
    contexts: new Map((options.buildContext ?? []).map(namedContext)),
    target: options.target,
    buildArgs: new Map((options.buildArg ?? []).flatMap((text) => buildArg(text, cli.env))),
    labels: new Map((options.label ?? []).map(label)),
    platform: options.platform === undefined ? null : given('--platform', options.platform, parsePlatform),
    tags: (options.tag ?? []).map((text) => given('--tag', text, imageName)),
    useCache: options.cache,
    pull: options.pull ? 'always' : 'missing',
    plainHttp: options.plainHttp === true ? true : undefined,
    secrets: new Map((options.secret ?? []).map((text) => secret(text, cli.env))),
    network: options.network,
    archPolicy: options.archPolicy,
    searchPath: (cli.env.PATH ?? '').split(':').filter((dir) => dir.startsWith('/')),
  };
}

function requireDirectory(context: string): string {
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

const defaultNames = ['Buildfile', 'Dockerfile', 'dockerfile', 'Containerfile'];

function readBuildfile(file: string | undefined, contextDir: string): { source: SourceFile; path: string | null } {
  if (file === '-') return { source: { name: '<stdin>', text: readFileSync(0, 'utf8') }, path: null };
  const candidates = file === undefined ? defaultNames.map((name) => join(contextDir, name)) : [file];
  for (const path of candidates) {
    const found = tryRead(path);
    if (found?.includes('\0')) throw noText(path);
    if (found !== null) return { source: { name: relative('.', path) || basename(path), text: found }, path };
  }
  throw new BuildError('BUILDFILE_NOT_FOUND', {
    message:
      file === undefined
        ? `${contextDir} holds no ${defaultNames.slice(0, 2).join(' or ')}`
        : `there is no Buildfile ${file}`,
    hint:
      file === undefined
        ? 'write one, or name it with -f'
        : 'check the path given with -f; it is relative to the current directory',
  });
}

function noText(path: string): BuildError {
  return new BuildError('BUILDFILE_NOT_TEXT', {
    message: `${path} is no text: it contains NUL bytes`,
    hint: 'give the Buildfile with -f, and the context as the last argument',
  });
}

function tryRead(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new BuildError('BUILDFILE_UNREADABLE', {
      message: `${path} can't be read: ${whyUnreadable(error)}`,
      hint: code === 'EACCES' ? 'check its permissions and those of the directories above it' : 'give a file with -f',
    });
  }
}
