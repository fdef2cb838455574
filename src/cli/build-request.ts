// What the options of build say → one build request.
import type { AskedBuild, ImageOutput, Output } from '../build/index.js';
import { hostPlatform, parsePlatform } from '../platform/index.js';
import { type Annotated, annotations } from './build-annotation.js';
import { buildArgFile } from './build-arg-file.js';
import { attested } from './build-attest.js';
import { cacheExport, cacheOrigin } from './build-cache.js';
import { buildSource } from './build-context.js';
import type { BuildOptions } from './build-options.js';
import { type CommonOutput, imageInStore, parseOutput } from './build-output.js';
import { allowed, sandbox } from './build-sandbox.js';
import { secret } from './build-secret.js';
import { sshSources } from './build-ssh.js';
import { buildArg, given, imageName, label, namedContext } from './build-values.js';
import { type Cli, UsageError } from './cli.js';
import { durationMs } from './quantities.js';

/** @throws UsageError, BuildError BUILDFILE_… */
export function buildRequest(options: BuildOptions, context: string, cli: Cli): AskedBuild {
  const platform = targetPlatform(options, cli.env);
  const attestations = attested(options);
  const args = buildArgs(options, cli.env);
  const indexed =
    attestations.provenance !== null || attestations.sbom !== null || isTrue(args.get('BUILDKIT_MULTI_PLATFORM'));
  const access = { plainHttp: options.plainHttp === true ? (true as const) : undefined };
  return {
    source: buildSource(context, options.file),
    contexts: new Map((options.buildContext ?? []).map(namedContext)),
    target: options.target,
    buildArgs: args,
    labels: new Map((options.label ?? []).map(label)),
    platform,
    outputs: outputs(options, { platform: platform ?? hostPlatform(), indexed }),
    attested: attestations,
    indexed,
    useCache: options.cache,
    cacheTtlMs: options.cacheTtl === undefined ? null : durationMs('--cache-ttl', options.cacheTtl),
    cacheFrom: (options.cacheFrom ?? []).map((text) => cacheOrigin(text, access)),
    cacheTo: (options.cacheTo ?? []).map((text) => cacheExport(text, access)),
    jobs: options.jobs === undefined ? null : jobs(options.jobs),
    freshStages: freshStages(options),
    pull: options.pull ? 'always' : 'missing',
    ...access,
    secrets: new Map((options.secret ?? []).map((text) => secret(text, cli.env))),
    ssh: sshSources(options.ssh ?? [], cli.env),
    entitlements: allowed(options),
    sandbox: sandbox(options),
    network: options.network,
    archPolicy: options.archPolicy,
    searchPath: (cli.env.PATH ?? '').split(':').filter((dir) => dir.startsWith('/')),
  };
}

/** As the field reads such arguments. @see Dockerfile reference, "BuildKit built-in build args" */
function isTrue(text: string | undefined): boolean {
  return /^(1|t|true)$/i.test(text ?? '');
}

/** @throws UsageError */
function jobs(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text) || Number.MAX_SAFE_INTEGER;
  throw new UsageError('USAGE', { message: `--jobs ${text} is no number of steps`, hint: '--jobs 4' });
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

/** Without any, the image in the store; --push sends what images there are, or makes one to send. @throws UsageError */
function outputs(options: BuildOptions, image: Annotated): Output[] {
  const common: CommonOutput = {
    ...image,
    names: (options.tag ?? []).map((text) => given('--tag', text, imageName)),
    annotations: (options.annotation ?? []).flatMap((text) => annotations(text, image)),
    plainHttp: options.plainHttp === true ? true : undefined,
  };
  const push = options.push === true;
  const asked = (options.output ?? []).map((text) => parseOutput(text, common));
  if (asked.length === 0) return [imageInStore(common, push)];
  if (push && !asked.some(({ kind }) => kind === 'image')) return [...asked, imageInStore(common, true)];
  if (options.load === true && !asked.some(({ kind }) => kind === 'image'))
    return [...asked, imageInStore(common, false)];
  return asked.map((output) => (push && output.kind === 'image' ? pushed(output, common) : output));
}

/** @throws UsageError */
function pushed(output: ImageOutput, { plainHttp }: CommonOutput): ImageOutput {
  if (output.names.length > 0) return { ...output, push: output.push ?? { byDigest: false, plainHttp } };
  throw new UsageError('USAGE', {
    message: '--push: tag is needed when pushing to registry',
    hint: 'name the image with -t',
  });
}

function targetPlatform(options: BuildOptions, env: NodeJS.ProcessEnv): AskedBuild['platform'] {
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
