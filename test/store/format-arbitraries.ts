// Generated layer contents, as the kernel could have them.
import fc from 'fast-check';
import type { RawPath, Xattr } from '#native';
import type { DraftEntry } from '../../store/index.js';

const noMeta = { linkTarget: '' as RawPath, devMajor: 0, devMinor: 0, size: 0, xattrs: [] as readonly Xattr[] };

/** Raw bytes 1 to 255 without '/', as one character each. */
const byteText = (min: number, max: number): fc.Arbitrary<string> =>
  fc
    .array(
      fc.integer({ min: 1, max: 255 }).filter((byte) => byte !== 0x2f),
      { minLength: min, maxLength: max },
    )
    .map((bytes) => String.fromCharCode(...bytes));

const fileName: fc.Arbitrary<string> = fc
  .oneof(
    { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'c', 'lib', 'x.so', 'a-b', 'a.b', '!', '~', 'A') },
    { weight: 2, arbitrary: byteText(1, 12) },
    { weight: 1, arbitrary: fc.integer({ min: 90, max: 255 }).map((length) => 'n'.repeat(length)) },
  )
  .filter((name) => name !== '.' && name !== '..' && !name.startsWith('.wh.'));

const mtime = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ mtimeSec: 1700000000, mtimeNsec: 0 }) },
  {
    weight: 2,
    arbitrary: fc.record({
      mtimeSec: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
      mtimeNsec: fc.integer({ min: 0, max: 999_999_999 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      mtimeSec: fc.integer({ min: 1 - 2 ** 31, max: 2 ** 33 }),
      mtimeNsec: fc.constantFrom(0, 1, 500_000_000, 999_999_999),
    }),
  },
);

const ownerId = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(0, 0, 33, 1000, 65535) },
  { weight: 1, arbitrary: fc.constantFrom(65536, 2097151, 2097152, 2 ** 32 - 2) },
);

const xattrs: fc.Arbitrary<Xattr[]> = fc.oneof(
  { weight: 5, arbitrary: fc.constant<Xattr[]>([]) },
  {
    weight: 1,
    arbitrary: fc.uniqueArray(
      fc.record<Xattr>({
        name: fc.oneof(
          fc.constantFrom('user.note', 'user.a=b', 'user.a%3Db', 'user.x.y', `user.${'l'.repeat(200)}`),
          fc.constant('security.capability'),
        ),
        value: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      }),
      { selector: ({ name }) => name, maxLength: 3 },
    ),
  },
);

const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');

interface Meta {
  mode: number;
  uid: number;
  gid: number;
  mtimeSec: number;
  mtimeNsec: number;
  xattrs: Xattr[];
}

const meta: fc.Arbitrary<Meta> = fc
  .tuple(fc.record({ mode: fc.integer({ min: 0, max: 0o7777 }), uid: ownerId, gid: ownerId, xattrs }), mtime)
  .map(([first, time]) => ({
    ...first,
    ...time,
    // The kernel checks the form of this one.
    xattrs: first.xattrs.map((x) => (x.name === 'security.capability' ? { name: x.name, value: capability } : x)),
  }));

type Leaf =
  | { kind: 'file'; bytes: Uint8Array }
  | { kind: 'symlink'; target: string }
  | { kind: 'device'; block: boolean; major: number; minor: number }
  | { kind: 'fifo' }
  | { kind: 'link'; of: number };

type Tree = { meta: Meta; children: [string, Tree][] } | { meta: Meta; leaf: Leaf };

const leaf: fc.Arbitrary<Leaf> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('file' as const),
      bytes: fc.oneof(
        fc.constant(new Uint8Array(0)),
        fc.uint8Array({ maxLength: 20 }),
        fc.integer({ min: 500, max: 9000 }).map((length) => new Uint8Array(length).fill(0x41 + (length % 26))),
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('symlink' as const),
      target: fc.oneof(
        fc.constantFrom('a', '../b', '/etc/passwd', '../../../../x'),
        byteText(1, 20),
        fc.integer({ min: 90, max: 1200 }).map((length) => 't'.repeat(length)),
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('device' as const),
      block: fc.boolean(),
      major: fc.integer({ min: 1, max: 4095 }),
      minor: fc.integer({ min: 0, max: 0xfffff }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'fifo' as const }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('link' as const), of: fc.nat(50) }) },
);

const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 5, depthIdentifier: 'tree', withCrossShrink: true },
    fc.record({ meta, leaf }),
    fc.record({
      meta,
      children: fc.uniqueArray(fc.tuple(fileName, tie('tree')), { selector: ([name]) => name, maxLength: 8 }),
    }),
  ),
}));

/** The drafts of a whole file tree (without its root), in byte order of path. */
export const draftTree: fc.Arbitrary<DraftEntry[]> = fc
  .uniqueArray(fc.tuple(fileName, tree), { selector: ([name]) => name, maxLength: 10 })
  .map((children) => {
    const drafts: DraftEntry[] = [];
    for (const [name, node] of children) addDrafts(drafts, name, node);
    drafts.sort((a, b) => (a.path < b.path ? -1 : 1));
    return resolveLinks(drafts);
  });

type LinkDraft = DraftEntry & { linkOf?: number };

function addDrafts(drafts: LinkDraft[], path: string, node: Tree): void {
  const base = { ...noMeta, ...node.meta, path: path as RawPath };
  if ('children' in node) {
    drafts.push({ ...base, type: 'dir' });
    for (const [name, child] of node.children) addDrafts(drafts, `${path}/${name}`, child);
    return;
  }
  const { leaf } = node;
  const plain = { ...base, xattrs: [] }; // the kernel allows user attributes on files and directories only
  if (leaf.kind === 'file') {
    const { bytes } = leaf;
    drafts.push({ ...base, type: 'file', size: bytes.length, ...(bytes.length > 0 && { content: { bytes } }) });
  } else if (leaf.kind === 'symlink') {
    drafts.push({ ...plain, type: 'symlink', mode: 0o777, linkTarget: leaf.target as RawPath });
  } else if (leaf.kind === 'device') {
    const { block, major, minor } = leaf;
    drafts.push({ ...plain, type: block ? 'block' : 'char', devMajor: major, devMinor: minor });
  } else if (leaf.kind === 'fifo') {
    drafts.push({ ...plain, type: 'fifo' });
  } else {
    drafts.push({ ...plain, type: 'hardlink', linkOf: leaf.of });
  }
}

/** Points each link at an earlier name that is no directory and no link; drops those that find none. */
function resolveLinks(drafts: readonly LinkDraft[]): DraftEntry[] {
  const done: DraftEntry[] = [];
  const targets: DraftEntry[] = [];
  for (const { linkOf, ...draft } of drafts) {
    if (linkOf === undefined) {
      done.push(draft);
      if (draft.type !== 'dir') targets.push(draft);
    } else if (targets.length > 0) {
      const { path, mode, uid, gid, mtimeSec, mtimeNsec } = targets[linkOf % targets.length]!;
      done.push({ ...draft, mode, uid, gid, mtimeSec, mtimeNsec, linkTarget: path });
    }
  }
  return done;
}

const marker = { ...noMeta, type: 'file' as const, mode: 0, uid: 0, gid: 0, mtimeSec: 0, mtimeNsec: 0 };

/** A layer as an image has it: files, and whiteouts and opaque markers in some of its directories. */
export const layerDrafts: fc.Arbitrary<DraftEntry[]> = fc
  .tuple(draftTree, fc.array(fc.tuple(fc.nat(20), fc.oneof(fileName, fc.constant('.wh..opq'))), { maxLength: 6 }))
  .map(([drafts, marks]) => {
    const dirs = ['', ...drafts.filter(({ type }) => type === 'dir').map(({ path }) => path)];
    const markers = new Map<string, DraftEntry>();
    for (const [dir, name] of marks) {
      const parent = dirs[dir % dirs.length]!;
      if (name.length > 251) continue;
      const path = `${parent === '' ? '' : `${parent}/`}.wh.${name}` as RawPath;
      markers.set(path, { ...marker, path });
    }
    return [...drafts, ...markers.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  });
