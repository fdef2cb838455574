// What the options of build say → one build request.
import type { BuildRequest } from '../build/index.js';
import { hostPlatform, parsePlatform } from '../platform/index.js';
import { annotation } from './build-annotation.js';
import { buildArgFile } from './build-arg-file.js';
import { requireDirectory } from './build-context.js';
import type { BuildOptions } from './build-options.js';
import { imageOutput } from './build-output.js';
import { allowed, sandbox } from './build-sandbox.js';
import { secret } from './build-secret.js';
import { sshSources } from './build-ssh.js';
import { buildArg, given, imageName, label, namedContext } from './build-values.js';
import { type Cli, UsageError } from './cli.js';
import { booleanField } from './fields.js';
import { readBuildfile } from './read-buildfile.js';

/** @throws UsageError, BuildError BUILDFILE_… */
export function buildRequest(options: BuildOptions, context: string, cli: Cli): BuildRequest {
  requireFalse('--provenance', options.provenance);
  requireFalse('--sbom', options.sbom);
  const contextDir = requireDirectory(context);
  const { source, path } = readBuildfile(options.file, contextDir);
  const platform = targetPlatform(options, cli.env);
  const outputs = (options.output ?? []).map(imageOutput);
  const annotations = [...(options.annotation ?? []), ...outputs.flatMap((output) => output.annotations)];
  const tags = (options.tag ?? []).map((text) => given('--tag', text, imageName));
  return {
    buildfile: source,
    buildfilePath: path,
    contextDir,
    contexts: new Map((options.buildContext ?? []).map(namedContext)),
    target: options.target,
    buildArgs: buildArgs(options, cli.env),
    labels: new Map((options.label ?? []).map(label)),
    annotations: new Map(annotations.map((text) => annotation(text, platform ?? hostPlatform()))),
    platform,
    tags: [...new Set([...tags, ...outputs.flatMap((output) => output.names)])],
    rewriteTimestamp: outputs.some((output) => output.rewriteTimestamp),
    useCache: options.cache,
    freshStages: freshStages(options),
    pull: options.pull ? 'always' : 'missing',
    plainHttp: options.plainHttp === true ? true : undefined,
    secrets: new Map((options.secret ?? []).map((text) => secret(text, cli.env))),
    ssh: sshSources(options.ssh ?? [], cli.env),
    entitlements: allowed(options),
    sandbox: sandbox(options),
    network: options.network,
    archPolicy: options.archPolicy,
    searchPath: (cli.env.PATH ?? '').split(':').filter((dir) => dir.startsWith('/')),
  };
}

/** @throws UsageError */
function freshStages({ cache, noCacheFilter = [] }: BuildOptions): string[] {
  const stages = noCacheFilter.flatMap((text) => text.split(','));
  if (stages.includes('')) {
    throw new UsageError('USAGE', {
      message: '--no-cache-filter names no stage',
      hint: '--no-cache-filter build,test; --no-cache executes every step',
    });
  }
  if (!cache && stages.length > 0) {
    throw new UsageError('USAGE', {
      message: "--no-cache and --no-cache-filter don't go together",
      hint: '--no-cache executes the steps of every stage: leave out one of the two',
    });
  }
  return stages;
}

/** Scripts turn off what their builder attaches to images by itself. */
function requireFalse(option: string, value: string | undefined): void {
  if (value === undefined || !booleanField(option, 'it', value)) return;
  throw new UsageError('USAGE', { message: `${option} is not there yet`, hint: 'leave it out' });
}

function targetPlatform(options: BuildOptions, env: NodeJS.ProcessEnv): BuildRequest['platform'] {
  if (options.platform !== undefined) return given('--platform', options.platform, parsePlatform);
  const byDefault = env.DOCKER_DEFAULT_PLATFORM;
  return byDefault ? given('DOCKER_DEFAULT_PLATFORM', byDefault, parsePlatform) : null;
}

/** Files first, so that --build-arg goes before them; of the environment only what every tool knows under this name. */
function buildArgs(options: BuildOptions, env: NodeJS.ProcessEnv): Map<string, string> {
  const epoch = env.SOURCE_DATE_EPOCH;
  return new Map([
    ...(epoch ? [['SOURCE_DATE_EPOCH', epoch] as const] : []),
    ...(options.buildArgFile ?? []).flatMap((file) => buildArgFile(file, env)),
    ...(options.buildArg ?? []).flatMap((text) => buildArg(text, env)),
  ]);
}
