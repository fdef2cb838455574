// What is attested about a build's images.
import { randomBytes } from 'node:crypto';
import type { Dependency, Facts, Statement } from '../attest/index.js';
import { withoutCredentials } from '../base/index.js';
import type { BuildGraph } from '../graph/index.js';
import { hostPlatform } from '../platform/index.js';
import type { LoadedBase } from './bases.js';
import type { Remotes } from './remotes.js';
import type { BuildRequest, NamedContext } from './request.js';
import { shownPlace } from './shown-place.js';

/** A finished build. */
export interface Finished {
  readonly request: BuildRequest;
  readonly graph: BuildGraph;
  readonly bases: ReadonlyMap<string, LoadedBase>;
  readonly startedMs: number;
  /** Of what is in the image. */
  readonly scanner: LoadedBase | null;
  readonly arrivedFrom: Remotes['arrivedFrom'];
}

/** How the image was made; the same time and id however often it is asked. */
export type Describe = (mode: 'min' | 'max') => Promise<object>;

export function openDescription(finished: Finished): Describe {
  const end = { invocationId: randomBytes(16).toString('hex'), finishedMs: Date.now() };
  return async (mode) => {
    const attest = await import('../attest/index.js');
    const { request, graph, bases, startedMs, scanner, arrivedFrom } = finished;
    const images = [...bases.values(), ...(scanner === null ? [] : [scanner])];
    const contextUri = request.fetched === null || request.fetched.place === '-' ? null : request.fetched.place;
    // Its bytes are not known by a digest of their own.
    const context: Dependency[] = contextUri === null ? [] : [{ uri: contextUri, digest: {} }];
    const facts: Facts = {
      ...end,
      startedMs,
      graph,
      buildfile: request.buildfile,
      contextUri,
      args: argsOf(request),
      dependencies: [...imagesOf(images, attest.packageUrl), ...remotesOf(graph, arrivedFrom), ...context],
      bases: new Map([...bases].map(([key, { ref, digest }]) => [key, `docker-image://${ref}@${digest}`])),
      builderPlatform: hostPlatform(),
      builderId: request.attested.provenance?.builderId ?? '',
      reproducible: request.attested.provenance?.reproducible ?? false,
    };
    return attest.provenance(facts, mode);
  };
}

/** What is to be said of the result, found out once; null for nothing. @param scan makes what a scanner says */
export function openStatements(
  { attested: { provenance } }: BuildRequest,
  tell: Describe,
  scan: (() => Promise<readonly Statement[]>) | null,
): (() => Promise<readonly Statement[]>) | null {
  if (provenance === null) return scan === null ? null : once(scan);
  return once(async () => {
    const { provenanceType } = await import('../attest/index.js');
    const predicate = await tell(provenance.mode);
    const own: Statement = { file: 'provenance.json', predicateType: provenanceType, predicate };
    return [...(scan === null ? [] : await scan()), own];
  });
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** What the command line said, in the words of BuildKit's frontend. */
function argsOf({ target, buildArgs, labels, contexts, useCache }: BuildRequest): Record<string, string> {
  return {
    ...(target !== undefined && { target }),
    ...(!useCache && { 'no-cache': '' }),
    ...prefixed('build-arg', buildArgs),
    ...prefixed('label', labels),
    ...prefixed(
      'context',
      [...contexts].map(([name, source]) => [name, argOf(name, source)]),
    ),
  };
}

function argOf(name: string, source: NamedContext): string {
  switch (source.kind) {
    case 'directory':
      return `local:${name}`;
    case 'image':
      return source.ref;
    case 'stage':
      return `target:${source.stage}`;
    default:
      return shownPlace(source);
  }
}

function prefixed(prefix: string, pairs: Iterable<readonly [string, string]>): Record<string, string> {
  return Object.fromEntries([...pairs].map(([name, value]) => [`${prefix}:${name}`, value]));
}

function imagesOf(
  images: readonly LoadedBase[],
  packageUrl: (name: string, platform: LoadedBase['platform']) => string,
): Dependency[] {
  return images.map(({ ref, digest, platform }) => ({
    // A base that is no image's name (host://…, oci-layout://…) is named as the Buildfile does.
    uri: /^[a-z-]+:\/\/|^(oci|docker)-(layout|archive):/.test(ref) ? ref : packageUrl(ref, platform),
    digest: { sha256: digest.slice('sha256:'.length) },
  }));
}

/** What ADD took from elsewhere; its digest as it came, else as the Buildfile says it. */
function remotesOf({ vertices }: BuildGraph, arrivedFrom: Remotes['arrivedFrom']): Dependency[] {
  const remotes = vertices.flatMap((vertex) =>
    vertex.kind === 'copy' ? vertex.sources.flatMap(({ remote }) => remote ?? []) : [],
  );
  const dependencies = remotes.map((remote): Dependency => {
    const came = arrivedFrom(remote);
    if (remote.kind === 'file') {
      const digest = came ?? (remote.sha256 === null ? {} : { sha256: remote.sha256 });
      return { uri: withoutCredentials(remote.url), digest };
    }
    const { remote: url, ref, commit } = remote.repository;
    const uri = `${withoutCredentials(url)}${ref === null ? '' : `#${ref}`}`;
    return { uri, digest: came ?? (commit?.length === 40 ? { sha1: commit } : {}) };
  });
  return [...new Map(dependencies.map((each) => [each.uri, each])).values()];
}
