// npm run bench: the scenarios × tsbuild and the builders found here, as one table with ratios and limits.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type BuildKit, startBuildKit } from './buildkit.js';
import { type Figure, measure } from './measure.js';
import { peakMemory } from './memory.js';
import { startRegistry } from './registry.js';
import { scaling } from './scaling.js';
import { type Bench, type Scenario, scenarios } from './scenarios.js';
import { transportScenarios } from './transport.js';
import { makeImages } from './transport-images.js';

const runs = Number(process.env.BENCH_RUNS ?? 5);
const only = process.argv[2];
const root = resolve('.');

function main(): void {
  const { dir, unmount } = workDirectory();
  let buildkit: BuildKit | null = null;
  try {
    const debian = debianBase(dir);
    buildkit = buildkitPeer(dir, debian);
    const bench: Bench = { dir, root, debian, buildah: found('buildah'), buildkit };
    console.log(
      `# ${cpus().length} × ${cpus()[0]?.model}, kernel ${release()}, node ${process.version}, ${runs} runs, medians (min–max) in ms`,
    );
    for (const scenario of scenarios(bench)) {
      if (only === undefined || scenario.name.includes(only))
        report(scenario, measure(scenario.contenders, runs, process.env));
    }
    if (only === undefined || only.startsWith('transport')) transport(bench);
    if (only === undefined || 'scaling'.includes(only)) scaling(bench, runs);
    console.log('\n# the machine in the same run');
    machine(dir);
  } finally {
    buildkit?.stop();
    unmount();
  }
}

function transport(bench: Bench): void {
  if (bench.debian === null || !found('docker-registry')) return;
  const { dir, debian } = bench;
  const source = startRegistry(dir, 'registry', 5757);
  const target = startRegistry(dir, 'target', 5758);
  try {
    const images = makeImages(dir, join(root, 'bin/tsbuild'), debian.tar, source);
    const peers = { skopeo: found('skopeo'), umoci: found('umoci') };
    for (const scenario of transportScenarios({ bench, images, target, found: peers })) {
      if (only === undefined || scenario.name.includes(only))
        report(scenario, measure(scenario.contenders, runs, process.env));
    }
    if (only === undefined || 'transport: memory'.includes(only)) peakMemory({ bench, images, target });
  } finally {
    source.stop();
    target.stop();
  }
}

function report(scenario: Scenario, figures: readonly Figure[]): void {
  const per = scenario.per ?? 1;
  const ours = figures.find(({ name }) => name === 'tsbuild')?.medianMs ?? Number.NaN;
  console.log(`\n${scenario.name}   (goal: ${scenario.goal})`);
  for (const { name, medianMs, minMs, maxMs } of figures) {
    const [median, min, max] = [medianMs, minMs, maxMs].map((ms) => (ms / per).toFixed(1));
    const ratio = name === 'tsbuild' ? '' : `   ×${(medianMs / ours).toFixed(2)} of tsbuild`;
    console.log(`  ${name.padEnd(22)} ${median?.padStart(9)}  (${min}–${max})${ratio}`);
  }
}

/** A journalled ext4 in a loop file, the same for all builders; where that can't be had, the temporary directory. */
function workDirectory(): { dir: string; unmount: () => void } {
  const base = join(tmpdir(), `tsbuild-bench-${process.pid}`); // buildah makes image names of paths: in lower case
  mkdirSync(base);
  const image = join(base, 'disk');
  const dir = join(base, 'mnt');
  mkdirSync(dir);
  const made = spawnSync(
    'sh',
    ['-c', `truncate -s 64G ${image} && mkfs.ext4 -q ${image} && mount -o loop ${image} ${dir}`],
    { encoding: 'utf8' },
  );
  if (made.status !== 0) console.log(`# not on a journalled ext4 of its own: ${made.stderr.trim()}`);
  return {
    dir,
    unmount: () => {
      if (made.status === 0) spawnSync('umount', ['-l', dir]);
      rmSync(base, { recursive: true, force: true });
    },
  };
}

/** A Debian base in the store and with buildah, made once by mmdebstrap and kept between runs. */
function debianBase(dir: string): Bench['debian'] {
  const kept = join(tmpdir(), 'tsbuild-bench-debian.tar');
  if (!existsSync(kept)) {
    if (!found('mmdebstrap')) {
      console.log('# mmdebstrap is missing: the scenarios on Debian are skipped');
      return null;
    }
    execFileSync('mmdebstrap', ['--quiet', '--format=tar', '--variant=minbase', 'bookworm', kept]);
  }
  const tarGz = join(dir, 'debian.tar.gz');
  execFileSync('sh', ['-c', `gzip -6 < ${kept} > ${tarGz}`]);
  execFileSync(join(root, 'bin/tsbuild'), ['import', '--store', join(dir, 'store'), kept, '-t', 'debian:bookworm'], {
    stdio: 'pipe',
  });
  if (found('buildah')) {
    const storage = `buildah --root ${dir}/buildah --runroot ${dir}/buildah-run --storage-driver overlay`;
    writeFileSync(
      join(dir, 'import.sh'),
      `set -e; c=$(${storage} from scratch); ${storage} add -q $c ${tarGz} /; ${storage} commit -q $c debian:bookworm; ${storage} rm $c`,
    );
    execFileSync('sh', [join(dir, 'import.sh')], { stdio: 'pipe' });
  }
  return { tar: kept, tarGz };
}

function buildkitPeer(dir: string, debian: Bench['debian']): BuildKit | null {
  if (!['buildkitd', 'buildctl', 'runc'].map(found).every(Boolean)) return null;
  if (debian === null) return startBuildKit(dir, null);
  const layout = join(dir, 'debian-layout');
  const words = ['push', '-q', '--store', join(dir, 'store'), 'debian:bookworm', `oci-layout:${layout}:1`];
  execFileSync(join(root, 'bin/tsbuild'), words, { stdio: 'pipe' });
  return startBuildKit(dir, { ref: 'debian:bookworm', layout });
}

function machine(dir: string): void {
  const big = join(dir, 'zeros');
  execFileSync('sh', ['-c', `head -c 1G /dev/zero > ${big}`]);
  const figures = measure(
    [
      { name: 'sha256sum of 1 GiB', command: () => `sha256sum ${big}` },
      {
        name: 'cp of 1 GiB',
        prepare: () => rmSync(`${big}.copy`, { force: true }),
        command: () => `cp --reflink=never ${big} ${big}.copy`,
      },
      { name: 'node -e 0', command: () => 'env -u NODE_EXTRA_CA_CERTS node -e 0' },
    ],
    3,
    process.env,
  );
  for (const { name, medianMs } of figures) console.log(`  ${name.padEnd(22)} ${medianMs.toFixed(1).padStart(9)}`);
}

function found(program: string): boolean {
  const there = spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
  if (!there) console.log(`# ${program} is not installed: skipped`);
  return there;
}

main();
