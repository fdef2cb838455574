// What is in an image, as a scanner says it: an image of its own, run with the files to look at.
// @see BuildKit, docs/attestations/sbom-protocol.md
import { closeSync, constants, fstatSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Host, type LayerMount, rawPath, type StepMount, type StepStack } from '#native';
import { bareMeta, mountLayer, openView, visibleLayers } from '#store';
import type { Statement } from '../attest/index.js';
import { BuildError } from '../base/index.js';
import { OutputTail, runImage } from '../executor/index.js';
import type { VertexId } from '../graph/index.js';
import { hostPlatform, requirePlatform } from '../platform/index.js';
import { resolveBase } from '../source/index.js';
import type { LoadedBase } from './bases.js';
import type { Contexts } from './contexts.js';
import type { Job } from './job.js';
import type { Sbom } from './output.js';
import type { Stacks } from './stacks.js';

/** What a scanner looks at. */
export interface Scanned extends Pick<Job, 'graph' | 'io' | 'lease'> {
  readonly stacks: Stacks;
  readonly contexts: Contexts;
  layersOf(vertex: VertexId): Parameters<Stacks['mounts']>[0];
}

const spdxType = 'https://spdx.dev/Document';
/** As with BuildKit: a statement is kept in memory. */
const maxBytes = 80 << 20;

/** @throws BuildError BASE_NOT_FOUND, ARCH_MISMATCH */
export async function loadScanner(
  sbom: Sbom,
  { request, io, lease }: Pick<Job, 'request' | 'io' | 'lease'>,
): Promise<LoadedBase> {
  const ref = sbom.generator;
  const platform = hostPlatform();
  const image = await resolveBase(io.store, lease, ref, {
    platform,
    pull: request.pull,
    plainHttp: request.plainHttp,
    onProgress: (progress) => io.emit({ type: 'base-progress', ref, ...progress }),
  });
  requirePlatform({ ref, platform: image.config }, platform);
  return { ref, digest: image.digest, config: image.config, platform, image };
}

/**
 * Runs the scanner over the image, and over the stages and contexts that ask for it.
 *
 * @returns its statements, that about the image first
 * @throws BuildError SBOM_FAILED, SBOM_INVALID
 */
export async function scanImage(scanned: Scanned, sbom: Sbom, scanner: LoadedBase): Promise<Statement[]> {
  const { io, lease, graph } = scanned;
  const host = await io.openHost();
  const vertex = graph.vertices.length;
  const started = performance.now();
  io.emit({ type: 'vertex-start', vertex, name: `generating sbom using ${scanner.ref}` });
  const out = lease.path('sbom');
  mkdirSync(out, { mode: 0o700 });
  const meta = { ...bareMeta, mode: 0o777, mtimeSec: Math.floor(Date.now() / 1000) };
  await host.applyTree(join(out, 'root'), [{ op: 'dir', path: rawPath(''), meta }]);
  const tail = new OutputTail();
  const log = (stream: 'stdout' | 'stderr') => (chunk: Buffer) => {
    tail.push(chunk);
    io.emit({ type: 'log', vertex, stream, chunk });
  };
  const { stacks, mounts } = await sourcesOf(scanned, host);
  const { image } = scanner;
  const layers = await Promise.all(
    visibleLayers(image.layers).map((layer) => mountLayer(io.store, lease, host, layer)),
  );
  const view = openView(image.layers);
  try {
    const exit = await runImage(
      {
        name: scanner.ref,
        config: image.config,
        command: [],
        entrypoint: undefined,
        env: [
          ...[...sbom.parameters].map(([name, value]) => [`BUILDKIT_SCAN_${name}`, value] as const),
          ['BUILDKIT_SCAN_DESTINATION', '/run/out/'],
          ['BUILDKIT_SCAN_SOURCE', corePath],
          ...(mounts.length > 1 ? [['BUILDKIT_SCAN_SOURCE_EXTRAS', extrasPath] as const] : []),
        ],
        workdir: undefined,
        user: undefined,
        hostname: 'buildkitsandbox',
        network: 'host',
        stdin: 'null',
        stacks,
        mounts: [
          { kind: 'tmpfs', target: '/tmp' },
          ...mounts,
          { kind: 'bind', root: out, path: rawPath('root'), target: '/run/out', readonly: false },
        ],
      },
      {
        host,
        lease,
        mounts: layers,
        view,
        handlers: { onStdout: log('stdout'), onStderr: log('stderr'), signal: io.signal },
      },
    );
    io.signal.throwIfAborted();
    if (exit.exitCode !== 0) {
      io.emit({ type: 'vertex-failed', vertex, durationMs: performance.now() - started, canceled: false });
      throw new BuildError('SBOM_FAILED', {
        message: `the scanner ${scanner.ref} ended with ${exit.exitCode}`,
        hint: ['its last output:', ...tail.lines()].join('\n'),
      });
    }
    const statements = readStatements(join(out, 'root'), scanner.ref);
    io.emit({ type: 'vertex-done', vertex, cached: false, durationMs: performance.now() - started, layerBytes: null });
    return statements;
  } finally {
    view.close();
    await host.remove([out]);
  }
}

const corePath = '/run/src/core/sbom';
const extrasPath = '/run/src/extras/';

async function sourcesOf(scanned: Scanned, host: Host): Promise<{ stacks: StepStack[]; mounts: StepMount[] }> {
  const { graph, contexts, lease } = scanned;
  const stacks: StepStack[] = [];
  const mounts: StepMount[] = [];
  const add = (layers: readonly LayerMount[], target: string, hidden: StepStack['hidden'] = []): void => {
    const stack = stacks.push({ layers, hidden, scratchDir: null }) - 1;
    mounts.push({ kind: 'stack', stack, path: rawPath(''), target });
  };
  const addLayers = async (stack: Parameters<Stacks['mounts']>[0], target: string): Promise<void> => {
    const layers = await scanned.stacks.mounts(stack, host);
    if (layers.length > 0) return add(layers, target);
    const root = lease.path('nothing');
    mkdirSync(root);
    mounts.push({ kind: 'bind', root, path: rawPath(''), target, readonly: true });
  };
  await addLayers(scanned.layersOf(graph.result), corePath);
  for (const { name, index, result, scan } of graph.stages) {
    if (scan.stage && result !== graph.result)
      await addLayers(scanned.layersOf(result), `${extrasPath}sbom-${name ?? index}`);
  }
  if (graph.stages.some(({ scan }) => scan.context)) {
    const target = `${extrasPath}sbom-context`;
    const fetched = await contexts.fetched(null);
    if (fetched !== null) {
      await addLayers(
        fetched.layers.map(({ diffId }) => diffId),
        target,
      );
    } else {
      const context = await contexts.open(null);
      const layers = [{ kind: 'tree', dir: context.dir, ownerIsRoot: true } as const];
      add(layers, target, await context.hidden(rawPath('')));
    }
  }
  return { stacks, mounts };
}

/** That about the image first, the others by their names. */
function readStatements(dir: string, scanner: string): Statement[] {
  const rank = (name: string): string => (name.startsWith('sbom.') ? `0${name}` : `1${name}`);
  const names = readdirSync(dir).filter((name) => name.endsWith('.spdx.json'));
  if (names.length === 0) throw invalid(scanner, 'wrote nothing: there is no file NAME.spdx.json');
  return names.sort((a, b) => (rank(a) < rank(b) ? -1 : 1)).map((name) => statementOf(dir, name, scanner));
}

/** A file is an SPDX document, or a statement about one that wants a subject. */
function statementOf(dir: string, name: string, scanner: string): Statement {
  let value: unknown;
  try {
    value = JSON.parse(readPlain(join(dir, name)));
  } catch (cause) {
    throw invalid(scanner, `wrote ${JSON.stringify(name)}, which can't be read: ${(cause as Error).message}`);
  }
  if (typeof value !== 'object' || value === null)
    throw invalid(scanner, `wrote ${JSON.stringify(name)}, which is no document`);
  const { _type: type, predicateType, predicate } = value as Readonly<Record<string, unknown>>;
  if (typeof type !== 'string' || !type.startsWith('https://in-toto.io/Statement/')) {
    return { file: name, predicateType: spdxType, predicate: value };
  }
  if (typeof predicateType !== 'string' || predicateType.startsWith('https://slsa.dev/provenance/')) {
    throw invalid(scanner, `may not say in ${JSON.stringify(name)} how the image was made`);
  }
  return { file: name, predicateType, predicate };
}

/** The scanner wrote it: a link would lead to our files. */
function readPlain(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const facts = fstatSync(file);
    if (!facts.isFile()) throw new Error('it is no file');
    if (facts.size > maxBytes) throw new Error(`it is larger than ${maxBytes} bytes`);
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

function invalid(scanner: string, problem: string): BuildError {
  return new BuildError('SBOM_INVALID', {
    message: `the scanner ${scanner} ${problem}`,
    hint: 'a scanner writes $BUILDKIT_SCAN_DESTINATION/NAME.spdx.json: name another with --sbom=generator=IMAGE',
  });
}
