import { expect, test } from 'vitest';
import type { DiffId } from '#store';
import type { BuildEvent } from '../../src/base/index.js';
import type { BuildGraph, Vertex } from '../../src/graph/index.js';
import { type Journal, type KeyInputs, type SolverEffects, solve, type WorkVertex } from '../../src/solver/index.js';

const file = { name: 'Buildfile', text: 'FROM scratch' };
const common = { at: { file, start: 0, end: 4 }, platform: { os: 'linux', architecture: 'amd64' } };
const layer = (name: string): DiffId => `sha256:${name.padEnd(64, '0')}` as DiffId;

function base(id: number): Vertex {
  return { ...common, kind: 'base', id, name: `base ${id}`, base: null };
}
function run(id: number, parent: number, command: string): Vertex {
  const rest = {
    script: null,
    env: [],
    argNames: [],
    hiddenEnv: [],
    cwd: '/',
    user: '',
    mounts: [],
    network: 'default' as const,
    security: 'sandbox' as const,
    sandbox: { hostname: null, extraHosts: [], ulimits: [], shmSizeBytes: null, cgroupParent: null },
  };
  return { ...common, ...rest, kind: 'run', id, parent, name: command, args: ['sh', '-c', command] };
}
function copy(id: number, parent: number, from: number | null): Vertex {
  const source = from === null ? { kind: 'context' as const, name: null } : { kind: 'vertex' as const, vertex: from };
  const rest = {
    sources: [],
    inline: [],
    dest: '/',
    chown: null,
    chmod: null,
    exclude: [],
    parents: false,
    link: false,
  };
  return {
    ...common,
    ...rest,
    kind: 'copy',
    unpack: null,
    epochSec: null,
    id,
    parent,
    name: `copy ${id}`,
    instruction: 'COPY',
    from: source,
  };
}
function graphOf(vertices: Vertex[]): BuildGraph {
  const result = vertices.length - 1;
  return {
    vertices,
    stages: [],
    result,
    platform: common.platform,
    config: {},
    author: undefined,
    base: null,
    history: [],
    warnings: [],
  };
}

/** Effects over memory: a step's layer is named after what it does, and every call is written down. */
function memory(
  options: { inputs?: (vertex: WorkVertex) => KeyInputs | null; work?: (vertex: WorkVertex) => Promise<void> } = {},
) {
  const cache = new Map<string, { diffId: DiffId | null; createdMs: number }>();
  const executed: string[] = [];
  const effects: SolverEffects = {
    loadBase: async () => [layer('base')],
    findInputs: async (vertex) => (options.inputs ? options.inputs(vertex) : { content: 'same' }),
    lookupCache: (key) => cache.get(key) ?? null,
    claim: async () => ({ release: () => {} }),
    reuse: () => {},
    execute: async (vertex) => {
      executed.push(vertex.name);
      await options.work?.(vertex);
      const name = vertex.kind === 'run' ? Buffer.from(vertex.args.join(' ')).toString('hex').slice(0, 60) : 'c0';
      return { diffId: layer(name), layerBytes: 1, inputs: { content: 'same' } };
    },
    recordCache: (key, record) => void cache.set(key, record),
    restore: async () => false,
    adoptCache: (key, record) => {
      const kept = cache.get(key) ?? record;
      cache.set(key, kept);
      return kept;
    },
  };
  return { effects, executed };
}

const journal: Journal = { keyed: () => {}, missed: () => {}, settled: () => {}, failed: () => {} };
const options = {
  useCache: () => true,
  parallelism: 2,
  emit: () => {},
  journal,
  signal: new AbortController().signal,
};

test('a second solve of the same graph executes nothing and gives the same stack', async () => {
  const graph = graphOf([base(0), run(1, 0, 'make'), run(2, 1, 'make install')]);
  const { effects, executed } = memory();
  const first = await solve(graph, effects, options);
  const second = await solve(graph, effects, options);
  expect(executed).toEqual(['make', 'make install']);
  expect(second.get(2)).toEqual(first.get(2));
});

test('equal steps side by side run once, without the cache too', async () => {
  const { effects, executed } = memory({ work: () => new Promise((done) => setTimeout(done, 20)) });
  const graph = graphOf([base(0), run(1, 0, 'make'), run(2, 0, 'make'), copy(3, 2, null), run(4, 1, 'x')]);
  const solved = await solve(graph, effects, { ...options, useCache: () => false });
  expect(executed).toEqual(['make', 'copy 3', 'x']);
  expect(solved.get(1)).toEqual(solved.get(2));
});

test('a layer of the cache is handed to the rules of this build', async () => {
  const graph = graphOf([base(0), run(1, 0, 'make')]);
  const { effects, executed } = memory();
  await solve(graph, effects, options);
  effects.reuse = () => {
    throw new Error('refused');
  };
  await expect(solve(graph, effects, options)).rejects.toThrow('refused');
  expect(executed).toEqual(['make']);
});

test('a changed step is executed, and the steps after it when its result differs', async () => {
  const { effects, executed } = memory();
  await solve(graphOf([base(0), run(1, 0, 'a'), run(2, 1, 'b')]), effects, options);
  await solve(graphOf([base(0), run(1, 0, 'x'), run(2, 1, 'b')]), effects, options);
  expect(executed).toEqual(['a', 'b', 'x', 'b']);
});

test('two ways to the same tree share the steps that follow', async () => {
  const { effects, executed } = memory({ inputs: (vertex) => ({ id: String(vertex.id) }) });
  effects.execute = async (vertex) => {
    executed.push(vertex.name);
    return {
      diffId: vertex.name === 'after' ? layer('after') : layer('same'),
      layerBytes: 1,
      inputs: { id: String(vertex.id) },
    };
  };
  await solve(graphOf([base(0), run(1, 0, 'one way'), run(2, 1, 'after')]), effects, options);
  await solve(graphOf([base(0), run(1, 0, 'another way'), run(2, 1, 'after')]), effects, options);
  expect(executed).toEqual(['one way', 'after', 'another way']);
});

test('inputs that only the work itself finds out still end as a hit', async () => {
  const { effects, executed } = memory({ inputs: () => null });
  const events: BuildEvent[] = [];
  const graph = graphOf([base(0), copy(1, 0, null)]);
  await solve(graph, effects, options);
  await solve(graph, effects, { ...options, emit: (event) => events.push(event) });
  expect(executed).toHaveLength(2);
  expect(events).toContainEqual(expect.objectContaining({ type: 'vertex-done', vertex: 1, cached: true }));
});

test('without the cache everything is executed', async () => {
  const graph = graphOf([base(0), run(1, 0, 'make')]);
  const { effects, executed } = memory();
  await solve(graph, effects, options);
  await solve(graph, effects, { ...options, useCache: () => false });
  expect(executed).toEqual(['make', 'make']);
});

test('independent chains run at the same time', async () => {
  let together = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    most = Math.max(most, ++together);
    await new Promise((resolve) => setTimeout(resolve, 30));
    together--;
  };
  const { effects } = memory({ work });
  await solve(graphOf([base(0), run(1, 0, 'a'), run(2, 0, 'b'), copy(3, 1, 2)]), effects, options);
  expect(most).toBe(2);
});

test('a failing step stops its build with its own error, and what was done stays cached', async () => {
  const { effects, executed } = memory();
  const plain = effects.execute;
  effects.execute = async (vertex, solved, signal) => {
    if (vertex.name === 'bad') throw new Error('exit code 1');
    return plain(vertex, solved, signal);
  };
  const graph = graphOf([base(0), run(1, 0, 'good'), run(2, 1, 'bad'), run(3, 2, 'never')]);
  await expect(solve(graph, effects, options)).rejects.toThrow('exit code 1');
  await expect(solve(graph, effects, options)).rejects.toThrow('exit code 1');
  expect(executed).toEqual(['good']);
});

test('an interrupted solve throws and executes no further step', async () => {
  const stop = new AbortController();
  const { effects, executed } = memory({ work: async () => stop.abort() });
  const graph = graphOf([base(0), run(1, 0, 'first'), run(2, 1, 'second')]);
  await expect(solve(graph, effects, { ...options, signal: stop.signal })).rejects.toThrow();
  expect(executed).toEqual(['first']);
});

test('what another process makes while we wait for it is taken', async () => {
  const { effects, executed } = memory();
  const cache = effects.lookupCache;
  let released = 0;
  effects.claim = async () => {
    effects.lookupCache = () => ({ diffId: layer('theirs'), createdMs: 5 });
    return { release: () => void released++ };
  };
  const solved = await solve(graphOf([base(0), run(1, 0, 'make')]), effects, options);
  expect(executed).toEqual([]);
  expect(solved.get(1)).toMatchObject({ layer: layer('theirs'), createdMs: 5 });
  effects.lookupCache = cache;
  effects.claim = async () => ({ release: () => void released++ });
  await solve(graphOf([base(0), run(1, 0, 'make')]), effects, options);
  expect(executed).toEqual(['make']);
  expect(released).toBe(2);
});

test('files of COPY --link land in an empty tree: what lies below has no part in their key', async () => {
  const { effects, executed } = memory();
  const graph = (command: string, link: boolean): BuildGraph =>
    graphOf([base(0), run(1, 0, command), { ...copy(2, 1, null), link } as Vertex]);
  for (const link of [true, false]) {
    for (const command of ['a', 'b']) await solve(graph(command, link), effects, options);
  }
  expect(executed).toEqual(['a', 'copy 2', 'b', 'copy 2', 'copy 2']);
});
