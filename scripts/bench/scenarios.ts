// What is measured, and how each builder is asked to do it. Every scenario names its physical limit beside the peers.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BuildKit } from './buildkit.js';
import { type Contender, inFront } from './measure.js';

export interface Scenario {
  readonly name: string;
  readonly goal: string;
  /** The limit comes first, tsbuild second, peers after. */
  readonly contenders: readonly Contender[];
  /** Divides every figure, for "per step". */
  readonly per?: number;
}

export interface Bench {
  /** Work directory on a journalled file system. */
  readonly dir: string;
  readonly root: string;
  /** A Debian base as a tar, and gzipped; null where mmdebstrap can't run. */
  readonly debian: { readonly tar: string; readonly tarGz: string } | null;
  readonly buildah: boolean;
  readonly buildkit: BuildKit | null;
}

const fileCount = 20_000;

export function scenarios(bench: Bench): Scenario[] {
  return [
    startUp(bench),
    rebuild(bench),
    largeContext(bench),
    manySteps(bench),
    emptyStep(bench),
    manyFilesStep(bench),
    copyManyFiles(bench),
    importBase(bench),
  ].flat();
}

/** `tsbuild …` with a store of its own. */
function tsbuild(bench: Bench, store: string, args: string): string {
  return `${join(bench.root, 'bin/tsbuild')} ${args.replaceAll('@STORE', `--store ${join(bench.dir, store)} -q`)}`;
}

/** buildah with its storage on the same file system; limits that this machine can't raise are named. */
function buildah(bench: Bench, command: string, flags: string): string {
  const storage = `--root ${join(bench.dir, 'buildah')} --runroot ${join(bench.dir, 'buildah-run')} --storage-driver overlay`;
  const limits = command === 'build' ? '--isolation chroot --ulimit nofile=1024:4096 --ulimit nproc=1024:4096' : '';
  return `buildah ${storage} ${command} ${limits} ${flags}`;
}

function peers(bench: Bench, contender: Contender): Contender[] {
  return bench.buildah ? [contender] : [];
}

/** BuildKit, whose daemon runs already: what its client takes. */
function buildkit(bench: Bench, contender: (kit: BuildKit) => Omit<Contender, 'name'>): Contender[] {
  return bench.buildkit === null ? [] : [{ name: 'BuildKit', ...contender(bench.buildkit) }];
}

function context(bench: Bench, name: string, files: Readonly<Record<string, string>>): string {
  const dir = join(bench.dir, name);
  mkdirSync(dir, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(dir, file), text);
  return dir;
}

function startUp(bench: Bench): Scenario {
  return {
    name: 'start of the command line (version)',
    goal: 'node -e 0',
    contenders: [
      { name: 'node -e 0', command: () => 'env -u NODE_EXTRA_CA_CERTS node -e 0' },
      { name: 'tsbuild', command: () => tsbuild(bench, 'store', 'version') },
      ...peers(bench, { name: 'buildah', command: () => 'buildah --version' }),
    ],
  };
}

function rebuild(bench: Bench): Scenario[] {
  if (bench.debian === null) return [];
  const files = {
    Buildfile: 'FROM debian:bookworm\nCOPY data /data\nRUN echo one > /one\nRUN echo two > /two\n',
    data: 'x'.repeat(1000),
  };
  const dir = context(bench, 'rebuild', files);
  const build = tsbuild(bench, 'store', `@STORE -t rebuild:1 ${dir}`);
  const peer = buildah(bench, 'build', `--layers -q -f ${dir}/Buildfile -t rebuild ${dir}`);
  return [
    {
      name: 'unchanged rebuild, cold process',
      goal: '150 ms',
      contenders: [
        { name: 'node -e 0', command: () => 'env -u NODE_EXTRA_CA_CERTS node -e 0' },
        { name: 'tsbuild', prepare: (run) => run === 0 && sh(build), command: () => build },
        ...peers(bench, { name: 'buildah', prepare: (run) => run === 0 && sh(peer), command: () => peer }),
        ...buildkit(bench, (kit) => ({
          prepare: (run) => run === 0 && sh(kit.build(dir)),
          command: () => kit.build(dir),
        })),
      ],
    },
  ];
}

function largeContext(bench: Bench): Scenario[] {
  const dir = context(bench, 'large', { Buildfile: 'FROM scratch\nCOPY tree /tree\n' });
  writeTree(join(dir, 'tree'));
  const build = tsbuild(bench, 'store', `@STORE -t large:1 ${dir}`);
  const scan = `node ${join(bench.root, 'dist/.bench-in-process.cjs')} scan ${dir} ${join(bench.dir, 'scan-cache')}`;
  const node = { name: 'node -e 0', command: () => 'env -u NODE_EXTRA_CA_CERTS node -e 0' };
  return [
    {
      name: `scan of an unchanged context of ${fileCount} files, in the process`,
      goal: '60 ms',
      contenders: [
        { name: 'find -newer', command: () => `${inFront}find ${dir} -newer /proc/self/exe -size +1000k` },
        {
          name: 'tsbuild',
          prepare: (run) => run === 0 && sh(scan),
          command: () => inFront + scan,
          figure: (_ms, output) => Number(output),
        },
      ],
    },
    {
      name: `unchanged rebuild with ${fileCount} files in the context, cold process`,
      goal: '200 ms',
      contenders: [
        node,
        { name: 'tsbuild', prepare: (run) => run === 0 && sh(build), command: () => build },
        ...peers(bench, {
          name: 'buildah',
          prepare: (run) => run === 0 && sh(buildah(bench, 'build', `--layers -q -f ${dir}/Buildfile -t large ${dir}`)),
          command: () => buildah(bench, 'build', `--layers -q -f ${dir}/Buildfile -t large ${dir}`),
        }),
        ...buildkit(bench, (kit) => ({
          prepare: (run) => run === 0 && sh(kit.build(dir)),
          command: () => kit.build(dir),
        })),
      ],
    },
  ];
}

function manySteps(bench: Bench): Scenario[] {
  if (bench.debian === null) return [];
  const steps = 20;
  const dir = context(bench, 'steps', { Buildfile: `FROM debian:bookworm\n${'RUN true\n'.repeat(steps)}` });
  return [
    {
      name: `RUN true × ${steps} on Debian, no cache, per step`,
      goal: '15 ms',
      per: steps,
      contenders: [
        { name: 'true × 20', command: () => `for i in $(seq ${steps}); do /bin/true; done` },
        { name: 'tsbuild', command: () => tsbuild(bench, 'store', `@STORE --no-cache -t steps:1 ${dir}`) },
        ...peers(bench, {
          name: 'buildah',
          command: () => buildah(bench, 'build', `--layers --no-cache -q -f ${dir}/Buildfile -t steps ${dir}`),
        }),
        ...buildkit(bench, (kit) => ({ command: () => kit.build(dir, '--no-cache') })),
      ],
    },
  ];
}

function emptyStep(bench: Bench): Scenario[] {
  if (bench.debian === null) return [];
  const one = context(bench, 'one-step', { Buildfile: 'FROM debian:bookworm\nRUN true\n' });
  return [
    {
      name: 'one RUN that writes nothing, whole build, no cache',
      goal: 'start-up + one step',
      contenders: [
        { name: 'node -e 0', command: () => 'env -u NODE_EXTRA_CA_CERTS node -e 0' },
        { name: 'tsbuild', command: () => tsbuild(bench, 'store', `@STORE --no-cache -t one:1 ${one}`) },
        ...peers(bench, {
          name: 'buildah',
          command: () => buildah(bench, 'build', `--layers --no-cache -q -f ${one}/Buildfile -t one ${one}`),
        }),
        ...buildkit(bench, (kit) => ({ command: () => kit.build(one, '--no-cache') })),
      ],
    },
  ];
}

const writeFiles = `i=0; while [ $i -lt ${fileCount} ]; do echo "file number $i" > /many/$i; i=$((i+1)); done`;

function manyFilesStep(bench: Bench): Scenario[] {
  if (bench.debian === null) return [];
  const text = `FROM debian:bookworm\nRUN mkdir /many && s=$(date +%s%N) && ${writeFiles}; echo step-ms $((($(date +%s%N)-s)/1000000))\n`;
  const dir = context(bench, 'many-files', { Buildfile: text });
  const afterStep = (ms: number, output: string): number =>
    ms - Number(/step-ms (\d+)/.exec(output.replace(/RUN.*step-ms.*/g, ''))?.[1]);
  return [
    {
      name: `commit of a step that wrote ${fileCount} files: build minus the step's own time`,
      goal: '500 ms',
      contenders: [
        { name: 'node -e 0', command: () => 'env -u NODE_EXTRA_CA_CERTS node -e 0' },
        {
          name: 'tsbuild',
          command: () => tsbuild(bench, 'store', `@STORE --no-cache -t many:1 ${dir}`).replace(' -q', ''),
          figure: afterStep,
        },
        ...peers(bench, {
          name: 'buildah',
          command: () => buildah(bench, 'build', `--layers --no-cache -f ${dir}/Buildfile -t many ${dir}`),
          figure: afterStep,
        }),
        ...buildkit(bench, (kit) => ({ command: () => kit.build(dir, '--no-cache'), figure: afterStep })),
      ],
    },
  ];
}

function copyManyFiles(bench: Bench): Scenario {
  const dir = context(bench, 'copy', { Buildfile: 'FROM scratch\nCOPY tree /tree\n' });
  const tree = join(dir, 'tree');
  writeTree(tree);
  const out = join(bench.dir, 'copied');
  return {
    name: `COPY of ${fileCount} files, no cache`,
    goal: '600 ms',
    contenders: [
      {
        name: 'cp -r',
        prepare: () => rmSync(out, { recursive: true, force: true }),
        command: () => `cp -r ${tree} ${out}`,
      },
      {
        name: 'tsbuild',
        prepare: () => rmSync(join(bench.dir, 'copy-store'), { recursive: true, force: true }),
        command: () => tsbuild(bench, 'copy-store', `@STORE --no-cache -t copy:1 ${dir}`),
      },
      ...peers(bench, {
        name: 'buildah',
        command: () => buildah(bench, 'build', `--layers --no-cache -q -f ${dir}/Buildfile -t copy ${dir}`),
      }),
      ...buildkit(bench, (kit) => ({ command: () => kit.build(dir, '--no-cache') })),
    ],
  };
}

function writeTree(tree: string): void {
  if (existsSync(tree)) return;
  for (let i = 0; i < fileCount; i++) {
    if (i % 200 === 0) mkdirSync(join(tree, `d${i / 200}`), { recursive: true });
    writeFileSync(join(tree, `d${Math.floor(i / 200)}`, `file-${i}`), `${i} `.repeat(250));
  }
}

function importBase(bench: Bench): Scenario[] {
  if (bench.debian === null) return [];
  const { tarGz } = bench.debian;
  const store = join(bench.dir, 'import-store');
  return [
    {
      name: 'Debian base from its gzip layer, ready to run',
      goal: 'gzip -dc + 500 ms',
      contenders: [
        { name: 'gzip -dc', command: () => `gzip -dc ${tarGz} > /dev/null` },
        { name: 'gzip -dc | sha256sum', command: () => `gzip -dc ${tarGz} | sha256sum` },
        {
          name: 'tsbuild',
          prepare: () => rmSync(store, { recursive: true, force: true }),
          command: () => `${join(bench.root, 'bin/tsbuild')} import --store ${store} ${tarGz} -t base:1 >/dev/null`,
        },
        ...peers(bench, {
          name: 'buildah',
          prepare: () => void spawnSync('sh', ['-c', `${buildah(bench, 'rmi', '-f base')}`]),
          command: () =>
            `c=$(${buildah(bench, 'from', 'scratch')}) && ${buildah(bench, 'add', `-q $c ${tarGz} /`)} && ${buildah(bench, 'commit', '-q $c base')} && ${buildah(bench, 'rm', '$c')}`,
        }),
      ],
    },
  ];
}

function sh(command: string): void {
  execFileSync('sh', ['-c', command], { stdio: 'pipe' });
}
