// BuildKit as a peer, where its programs are installed: a daemon of its own, its state on the same file system.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface BuildKit {
  /** Builds the Buildfile of `dir` with `dir` as the context, to an image of the daemon. */
  build(dir: string, flags?: string): string;
  /** Drops everything that was fetched and built. */
  forget(): void;
  stop(): void;
}

/** @param base reference of the image that Buildfiles build on, and its OCI layout; null: they build on nothing */
export function startBuildKit(dir: string, base: { ref: string; layout: string } | null): BuildKit {
  const address = `unix://${join(dir, 'buildkit.sock')}`;
  const client = `buildctl --addr ${address}`;
  const daemon = spawn(
    'buildkitd',
    ['--addr', address, '--root', join(dir, 'buildkit'), '--oci-worker-net=host', '--oci-worker-gc=false'],
    { stdio: 'ignore' },
  );
  awaitDaemon(daemon, client);
  const named =
    base === null ? '' : `--oci-layout base=${base.layout} --opt context:${base.ref}=${layoutOf(base.layout)}`;
  return {
    build: (context, flags = '') =>
      `${client} build --progress=plain --frontend dockerfile.v0 --local context=${context} --local dockerfile=${context} --opt filename=Buildfile ${named} --output type=image,name=bench ${flags}`,
    forget: () => void execFileSync('sh', ['-c', `${client} prune --all`], { stdio: 'pipe' }),
    stop: () => {
      daemon.kill('SIGKILL');
    },
  };
}

function layoutOf(layout: string): string {
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: { digest: string }[] };
  return `oci-layout://base@${index.manifests[0]?.digest}`;
}

function awaitDaemon(daemon: ChildProcess, client: string): void {
  for (let tries = 0; tries < 100; tries++) {
    if (spawnSync('sh', ['-c', `${client} debug workers`]).status === 0) return;
    execFileSync('sleep', ['0.1']);
  }
  daemon.kill('SIGKILL');
  throw new Error('buildkitd does not start');
}
