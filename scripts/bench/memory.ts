// Peak resident memory of each transfer, by GNU time: of images as people have them, and of one layer larger than memory should be.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Transport } from './transport.js';

const goalMb = 200;
/** Of the large layer, in GB; BENCH_LARGE_GB=10 takes some minutes. */
const largeGb = Number(process.env.BENCH_LARGE_GB ?? 2);

/** Prints the table. */
export function peakMemory({ bench, images, target }: Omit<Transport, 'found'>): void {
  if (spawnSync('time', ['-f', '%M', 'true']).status !== 0) {
    console.log('# GNU time is missing: memory is not measured');
    return;
  }
  const { dir } = bench;
  const [store, large, pulled] = ['memory-store', 'large-store', 'pulled-store'].map((name) => join(dir, name));
  const file = join(dir, 'memory-file');
  const tsbuild = join(bench.root, 'bin/tsbuild');
  const ref = `${target.name}/memory:1`;
  // As compressible as a Debian base, and no two megabytes of it alike.
  const largeTar = `node ${join(bench.root, 'dist/.bench-large-tar.cjs')} ${largeGb} ${bench.debian?.tar}`;
  const commands: [what: string, command: string][] = [
    ['pull of Debian', `pull -q --store ${store} ${images.one}`],
    ['pull of Debian in ten layers', `pull -q --store ${store} ${images.ten}`],
    ['push, gzip', `push -q --store ${store} --compression gzip --compression-level 3 ${images.ten} ${ref}`],
    ['push, zstd', `push -q --store ${store} --compression zstd ${images.ten} ${ref}`],
    ['export to an OCI archive', `save --store ${store} --format oci-archive -o ${file} ${images.ten}`],
    [`import of a layer of ${largeGb} GB`, `import -q --store ${large} --platform linux/amd64 -t large:1 -`],
    ['its push, gzip', `push -q --store ${large} --compression gzip large:1 ${ref}`],
    ['its push, zstd', `push -q --store ${large} --compression zstd large:1 ${ref}`],
    ['its pull', `pull -q --store ${pulled} ${ref}`],
    ['its export', `save --store ${large} --format oci-archive -o ${file} large:1`],
    ['its copy to a layout', `copy -q --store ${store} docker://${ref} oci:${file}:1`],
  ];
  console.log(`\ntransport: memory: MB at the peak, and seconds   (goal: ${goalMb} MB)`);
  target.empty();
  for (const [what, command] of commands) {
    const input = command.endsWith(' -') ? `${largeTar} | ` : '';
    const started = performance.now();
    const done = spawnSync('sh', ['-c', `${input}time -f 'peak %M' ${tsbuild} ${command}`], { encoding: 'utf8' });
    const peak = Number(/^peak (\d+)$/m.exec(done.stderr)?.[1]) / 1024;
    if (done.status !== 0) throw new Error(`${what}: exit ${done.status}\n${done.stderr}`);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(
      `  ${what.padEnd(30)} ${peak.toFixed(0).padStart(5)}  ${seconds.padStart(7)} s${peak > goalMb ? '  !' : ''}`,
    );
    for (const path of [file, pulled!]) rmSync(path, { recursive: true, force: true });
  }
  for (const path of [store!, large!]) rmSync(path, { recursive: true, force: true });
  target.empty();
}
