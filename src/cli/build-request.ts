// What the options of build say → one build request.
import type { BuildRequest } from '../build/index.js';
import { parsePlatform } from '../platform/index.js';
import { requireDirectory } from './build-context.js';
import type { BuildOptions } from './build-options.js';
import { secret } from './build-secret.js';
import { buildArg, given, imageName, label, namedContext } from './build-values.js';
import { type Cli, UsageError } from './cli.js';
import { readBuildfile } from './read-buildfile.js';

/** @throws UsageError, BuildError BUILDFILE_… */
export function buildRequest(options: BuildOptions, context: string, cli: Cli): BuildRequest {
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
    freshStages: freshStages(options),
    pull: options.pull ? 'always' : 'missing',
    plainHttp: options.plainHttp === true ? true : undefined,
    secrets: new Map((options.secret ?? []).map((text) => secret(text, cli.env))),
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
