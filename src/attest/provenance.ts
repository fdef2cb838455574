// How an image was made, as SLSA provenance v1 in the words of BuildKit's build type. Pure.
// @see BuildKit, docs/attestations/slsa-definitions.md; SLSA v1.1, provenance
import { formatPlatform, type Platform } from '#store';
import { lineAndColumn, type SourceFile } from '../base/index.js';
import type { BuildGraph, CopyVertex, FileSource, RunVertex, Vertex } from '../graph/index.js';

export const provenanceType = 'https://slsa.dev/provenance/v1';
const buildType = 'https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md';

/** What is told of a build. */
export interface Facts {
  readonly graph: BuildGraph;
  readonly buildfile: SourceFile;
  /** Where the context came from, if it was fetched. */
  readonly contextUri: string | null;
  /** What the command line said, in the frontend's words: 'target', 'build-arg:NAME', 'label:NAME', 'context:NAME'. */
  readonly args: Readonly<Record<string, string>>;
  /** What came from elsewhere. */
  readonly dependencies: readonly Dependency[];
  /** By the base's key: how steps name it. */
  readonly bases: ReadonlyMap<string, string>;
  readonly builderPlatform: Platform;
  readonly builderId: string;
  readonly reproducible: boolean;
  readonly invocationId: string;
  readonly startedMs: number;
  readonly finishedMs: number;
}

export interface Dependency {
  readonly uri: string;
  /** Empty where it is not known. */
  readonly digest: Readonly<Record<string, string>>;
}

/**
 * @param mode 'min' has no values of build arguments and labels, no names of secrets and no steps; 'max' has them, and the
 *   Buildfile's text
 */
export function provenance(facts: Facts, mode: 'min' | 'max'): object {
  const { graph, builderPlatform, dependencies, contextUri } = facts;
  const whole = mode === 'max';
  const given = Object.entries(facts.args);
  const args = whole ? given : given.filter(([name]) => !/^(build-arg|label):/.test(name));
  const runs = graph.vertices.filter((vertex) => vertex.kind === 'run');
  const locals = localsOf(graph).filter((name) => contextUri === null || name !== 'context');
  const request = {
    frontend: 'dockerfile.v0',
    ...(args.length > 0 && { args: Object.fromEntries(args) }),
    ...(whole && secretsOf(runs)),
    locals: locals.map((name) => ({ name })),
  };
  const complete = dependencies.every(({ digest }) => Object.keys(digest).length > 0);
  const contextual = locals.some((name) => name !== 'dockerfile');
  return {
    buildDefinition: {
      buildType,
      resolvedDependencies: dependencies,
      externalParameters: {
        configSource: { ...(contextUri !== null && { uri: contextUri }), path: facts.buildfile.name },
        request,
      },
      internalParameters: {
        ...(whole && { buildConfig: { llbDefinition: stepsOf(facts) } }),
        builderPlatform: formatPlatform(builderPlatform),
        targetPlatform: formatPlatform(graph.platform),
      },
    },
    runDetails: {
      builder: { id: facts.builderId },
      metadata: {
        invocationId: facts.invocationId,
        startedOn: new Date(facts.startedMs).toISOString(),
        finishedOn: new Date(facts.finishedMs).toISOString(),
        buildkit_metadata: whole ? { source: sourceOf(facts) } : {},
        ...(complete && !contextual && runs.every(({ network }) => network === 'none') && { buildkit_hermetic: true }),
        buildkit_completeness: {
          request: args.length === given.length,
          resolvedDependencies: complete && !contextual,
        },
        ...(facts.reproducible && { buildkit_reproducible: true }),
      },
    },
  };
}

/** The directories that were read: 'context', 'dockerfile', and named contexts by their names. */
function localsOf({ vertices }: BuildGraph): string[] {
  const sources = vertices.flatMap((vertex): FileSource[] => {
    if (vertex.kind === 'copy') return vertex.sources.some(({ remote }) => remote === null) ? [vertex.from] : [];
    if (vertex.kind !== 'run') return [];
    return vertex.mounts.flatMap((mount) => (mount.kind === 'bind' ? [mount.from] : []));
  });
  const contexts = sources.flatMap((source) => (source.kind === 'context' ? [source.name ?? 'context'] : []));
  return [...new Set([...contexts, 'dockerfile'])].sort();
}

function secretsOf(runs: readonly RunVertex[]): { secrets?: { id: string; optional?: true }[] } {
  const required = new Map<string, boolean>();
  for (const mount of runs.flatMap(({ mounts }) => mounts)) {
    if (mount.kind === 'secret') required.set(mount.id, mount.required || required.get(mount.id) === true);
  }
  if (required.size === 0) return {};
  return { secrets: [...required].map(([id, must]) => ({ id, ...(!must && { optional: true as const }) })) };
}

/** Each step after those that it stands on; the last names the result. */
function stepsOf({ graph, bases }: Facts): object[] {
  const steps = graph.vertices.map((vertex) => {
    const inputs = inputsOf(vertex).map((id) => `step${id}:0`);
    const { os: OS, architecture: Architecture, variant: Variant } = vertex.platform;
    return {
      id: `step${vertex.id}`,
      ...(inputs.length > 0 && { inputs }),
      op: { Op: opOf(vertex, bases), platform: { Architecture, OS, ...(Variant && { Variant }) } },
    };
  });
  return [...steps, { id: `step${steps.length}`, inputs: [`step${graph.result}:0`], op: { Op: {} } }];
}

function inputsOf(vertex: Vertex): number[] {
  if (vertex.kind === 'base') return [];
  const from = vertex.kind === 'copy' && vertex.from.kind === 'vertex' ? [vertex.from.vertex] : [];
  const mounted =
    vertex.kind === 'run'
      ? vertex.mounts.flatMap((mount) =>
          mount.kind === 'bind' && mount.from.kind === 'vertex' ? [mount.from.vertex] : [],
        )
      : [];
  return [...new Set([vertex.parent, ...from, ...mounted])];
}

function opOf(vertex: Vertex, bases: ReadonlyMap<string, string>): object {
  switch (vertex.kind) {
    case 'base':
      return vertex.base === null ? {} : { source: { identifier: bases.get(vertex.base) } };
    case 'run': {
      const { args, script, env, cwd, user, mounts, network } = vertex;
      const meta = {
        args,
        ...(script !== null && { script }),
        cwd,
        env: env.map(([name, value]) => `${name}=${value}`),
      };
      const shown = mounts.map((mount) => ({ type: mount.kind, ...('target' in mount && { dest: mount.target }) }));
      return { exec: { meta: { ...meta, ...(user !== '' && { user }) }, network, mounts: [{ dest: '/' }, ...shown] } };
    }
    case 'copy':
      return { file: { actions: [{ Action: { copy: copyOf(vertex) } }] } };
    case 'mkdir':
      return { file: { actions: [{ Action: { mkdir: { path: vertex.path, makeParents: true } } }] } };
  }
}

function copyOf({ sources, inline, from, dest, chown, chmod }: CopyVertex): object {
  return {
    src: [...sources.map(({ pattern }) => pattern), ...inline.map(({ name }) => name)],
    ...(from.kind === 'context' && { context: from.name ?? 'context' }),
    dest,
    ...(chown !== null && { owner: chown }),
    ...(chmod !== null && { mode: chmod }),
  };
}

/** Which lines made which step, and the text itself. */
function sourceOf({ graph, buildfile }: Facts): object {
  const files = [...new Set([buildfile, ...graph.vertices.map(({ at }) => at.file)])];
  const locations = graph.vertices.map(({ id, at }) => {
    const start = { line: lineAndColumn(at.file, at.start).line };
    const end = { line: lineAndColumn(at.file, Math.max(at.start, at.end - 1)).line };
    const sourceIndex = files.indexOf(at.file);
    return [`step${id}`, { locations: [{ ...(sourceIndex > 0 && { sourceIndex }), ranges: [{ start, end }] }] }];
  });
  const infos = files.map(({ name, text }) => ({
    filename: name,
    language: 'Dockerfile',
    data: Buffer.from(text).toString('base64'),
  }));
  return { locations: Object.fromEntries(locations), infos };
}
