// Whatever trees and instructions: what COPY plans is what BuildKit's copying one by one would leave.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { executeCopy, type ModelCopy, type ModelTree, type Node } from './copy-model.js';
import { planFromView } from './copy-support.js';
import { type Files, memoryView } from './memory-view.js';

const name = fc.constantFrom('a', 'b', 'c');
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
const mode = fc.constantFrom(0o700, 0o755, 0o644, 0o4711);
const owner = fc.constantFrom('0:0', '5:6');
const target = fc.oneof(
  path.map((to) => `/${to}`),
  path,
  path.map((to) => `../${to}`),
  fc.constantFrom('..', '.', '/', 'nowhere', '../../../..'),
);

const node: fc.Arbitrary<Node> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ type: fc.constant('dir' as const), mode, owner, text: fc.constant('') }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('file' as const), mode, owner, text: name }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('symlink' as const), mode: fc.constant(0o777), owner, text: target }),
  },
);

/** Only directories have something in them. */
const tree: fc.Arbitrary<ModelTree> = fc.array(fc.tuple(path, node), { maxLength: 8 }).map((files) => {
  const made: ModelTree = new Map();
  for (const [at, what] of files) {
    const above = at
      .split('/')
      .slice(0, -1)
      .map((_, i, names) => names.slice(0, i + 1).join('/'));
    if (made.has(at) || above.some((dir) => made.has(dir) && made.get(dir)?.type !== 'dir')) continue;
    for (const dir of above) if (!made.has(dir)) made.set(dir, { type: 'dir', mode: 0o755, owner: '0:0', text: '' });
    made.set(at, what);
  }
  return made;
});

const source = fc.oneof(
  path,
  fc.constantFrom('.', '/'),
  path.map((at) => `${at}/`),
  path.map((at) => `${at}/.`),
);
const dest = fc.oneof(
  path.map((at) => `/${at}`),
  path.map((at) => `/${at}/`),
  path.map((at) => `/new/${at}`),
  fc.constant('/'),
);
const options = {
  chown: fc.option(fc.constantFrom('7:8'), { freq: 3 }),
  chmod: fc.option(fc.constantFrom(0o750, 0o4755, 0o600), { freq: 3 }),
  exclude: fc.oneof(fc.constant([]), fc.array(fc.oneof(path, fc.constantFrom('*/b', '**/c')), { maxLength: 2 })),
};
const plain: fc.Arbitrary<ModelCopy> = fc
  .record({ sources: fc.array(source, { minLength: 1, maxLength: 2 }), dest, parents: fc.constant(false), ...options })
  .map((copy) => ({ ...copy, dest: copy.sources.length > 1 ? `${copy.dest.replace(/\/$/, '')}/` : copy.dest }));
const withParents: fc.Arbitrary<ModelCopy> = fc.record({
  sources: fc.array(
    fc.oneof(
      path,
      fc.tuple(path, path).map(([top, rest]) => `${top}/./${rest}`),
    ),
    {
      minLength: 1,
      maxLength: 2,
    },
  ),
  dest,
  parents: fc.constant(true),
  ...options,
});

const runs = { numRuns: Number(process.env.COPY_RUNS ?? 1500) };

test.each([
  ['COPY', plain],
  ['COPY --parents', withParents],
] as const)('%s leaves what copying file by file leaves', async (_, copies) => {
  await fc.assert(
    fc.asyncProperty(tree, tree, copies, async (from, below, copy) => {
      const wanted = new Map(below);
      const failure = failureOf(() => executeCopy(from, wanted, copy));
      const planned = await planWith(from, below, copy);
      if (failure) expect(typeof planned).toBe('string');
      else expect(planned).toEqual(shown(wanted));
    }),
    runs,
  );
});

function failureOf(action: () => void): Error | null {
  try {
    action();
    return null;
  } catch (error) {
    return error as Error;
  }
}

/** The tree after the plan's layer; a text: how it was refused. */
async function planWith(from: ModelTree, below: ModelTree, copy: ModelCopy): Promise<Record<string, string> | string> {
  const flags = [
    ...(copy.chown === null ? [] : [`--chown=${copy.chown}`]),
    ...(copy.chmod === null ? [] : [`--chmod=${copy.chmod.toString(8)}`]),
    ...copy.exclude.map((pattern) => `--exclude=${pattern}`),
    ...(copy.parents ? ['--parents'] : []),
  ];
  const line = ['COPY', ...flags, ...copy.sources, copy.dest].join(' ');
  try {
    const drafts = await (await planFromView(view(from), line, { view: view(below) })).drafts();
    const after = new Map(below);
    for (const { path: at, type, mode: bits, uid, gid, linkTarget, content } of drafts) {
      if (type !== 'dir' && type !== 'file' && type !== 'symlink') throw new Error(`nobody asked for a ${type}`);
      const text = type === 'symlink' ? linkTarget : content && 'bytes' in content ? String(content.bytes) : '';
      after.set(at, { type, mode: bits, owner: `${uid}:${gid}`, text });
    }
    return shown(after);
  } catch (error) {
    if (!(error as { code?: string }).code) throw error;
    return (error as Error).message;
  }
}

function view(files: ModelTree): ReturnType<typeof memoryView> {
  const entries = [...files].map(([at, { type, mode: bits, owner: who, text }]): [string, Files[string]] => {
    const [uid = 0, gid = 0] = who.split(':').map(Number);
    const what = type === 'file' ? { text } : type === 'symlink' ? { linkTarget: text as never } : {};
    return [at, { type, mode: bits, uid, gid, ...what }];
  });
  return memoryView(Object.fromEntries(entries));
}

function shown(files: ModelTree): Record<string, string> {
  return Object.fromEntries(
    [...files].map(([at, file]) => [at, `${file.type} ${file.mode.toString(8)} ${file.owner} ${file.text}`]),
  );
}
