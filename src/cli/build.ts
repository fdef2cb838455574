// tsbuild build: flags as docker buildx and podman spell them → one build request.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { type Command, Option } from 'commander';
import { BuildError, type EventSink, type SourceFile } from '../base/index.js';
import { type BuildRequest, buildImage, type NamedContext } from '../build/index.js';
import { parsePlatform } from '../platform/index.js';
import { jsonReport, plainReport } from '../report/index.js';
import { type Cli, collect, UsageError } from './cli.js';

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
  const image = await buildImage(request, {
    store,
    openHost: () => cli.openHost(),
    emit: quiet ? () => {} : progress(options.progress, cli),
    signal: cli.signal,
  });
  if (options.iidfile !== undefined) writeFileSync(options.iidfile, image.digest);
  if (quiet) cli.out(`${image.digest}\n`);
  return 0;
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
    contexts: new Map((options.buildContext ?? []).map((text) => namedContext(text))),
    target: options.target,
    buildArgs: new Map((options.buildArg ?? []).flatMap((text) => buildArg(text, cli.env))),
    labels: new Map((options.label ?? []).map((text) => keyAndValue(text, '--label'))),
    platform: options.platform === undefined ? null : parsePlatform(options.platform),
    tags: options.tag ?? [],
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
  if (!isDirectory(context)) {
    throw new UsageError('USAGE', {
      message: `the context ${JSON.stringify(context)} is no directory`,
      hint: 'give the directory that COPY reads from, such as .',
    });
  }
  return context;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

const defaultNames = ['Buildfile', 'Dockerfile', 'dockerfile', 'Containerfile'];

function readBuildfile(file: string | undefined, contextDir: string): { source: SourceFile; path: string | null } {
  if (file === '-') return { source: { name: '<stdin>', text: readFileSync(0, 'utf8') }, path: null };
  const candidates = file === undefined ? defaultNames.map((name) => join(contextDir, name)) : [file];
  for (const path of candidates) {
    const found = tryRead(path);
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

function tryRead(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new BuildError('BUILDFILE_UNREADABLE', {
      message: `the Buildfile ${path} can't be read: ${code === 'EISDIR' ? 'it is a directory' : message}`,
      hint: code === 'EACCES' ? 'check its permissions' : 'give a file with -f',
    });
  }
}

function namedContext(text: string): [string, NamedContext] {
  const [name, source] = keyAndValue(text, '--build-context');
  if (source.startsWith('docker-image://'))
    return [name, { kind: 'image', ref: source.slice('docker-image://'.length) }];
  if (source.startsWith('oci-layout://')) return [name, { kind: 'image', ref: source }];
  if (isDirectory(source)) return [name, { kind: 'directory', dir: source }];
  if (/^[./]/.test(source)) {
    throw new UsageError('USAGE', {
      message: `--build-context ${name}: ${source} is no directory`,
      hint: 'give a directory, oci-layout://DIR[:tag] or the name of an image',
    });
  }
  return [name, { kind: 'image', ref: source }];
}

function buildArg(text: string, env: NodeJS.ProcessEnv): [string, string][] {
  const at = text.indexOf('=');
  if (at > 0) return [[text.slice(0, at), text.slice(at + 1)]];
  const value = env[text];
  return value === undefined ? [] : [[text, value]]; // as docker: an unset variable leaves the ARG's default
}

function keyAndValue(text: string, flag: string): [string, string] {
  const at = text.indexOf('=');
  if (at <= 0)
    throw new UsageError('USAGE', {
      message: `${flag} ${text}: expected NAME=VALUE`,
      hint: `for example ${flag} name=value`,
    });
  return [text.slice(0, at), text.slice(at + 1)];
}

/** 'id=npmrc,src=/home/me/.npmrc' or 'id=token,env=TOKEN'; the file is read now, so that a missing one is said at once. */
function secret(text: string, env: NodeJS.ProcessEnv): [string, Buffer] {
  const fields = new Map(text.split(',').map((field) => keyAndValue(field, '--secret')));
  const src = fields.get('src') ?? fields.get('source');
  const variable = fields.get('env');
  const id = fields.get('id') ?? (src === undefined ? variable : basename(src));
  if (id === undefined)
    throw new UsageError('USAGE', {
      message: `--secret ${text}: no id`,
      hint: '--secret id=NAME,src=FILE or id=NAME,env=VARIABLE',
    });
  if (variable !== undefined || src === undefined) {
    const value = env[variable ?? id];
    if (value === undefined)
      throw new UsageError('USAGE', {
        message: `--secret ${id}: the environment has no ${variable ?? id}`,
        hint: 'set it, or give src=FILE',
      });
    return [id, Buffer.from(value)];
  }
  try {
    return [id, readFileSync(src)];
  } catch (error) {
    throw new UsageError('USAGE', {
      message: `--secret ${id}: can't read ${src}: ${(error as Error).message}`,
      hint: 'check src=',
    });
  }
}
