// A program from a finished image, in the same kind of container as a RUN step. What it writes is thrown away.
import { mkdirSync } from 'node:fs';
import type { Host, LayerMount, StepExit, StepHandlers, StepMount, StepStack } from '#native';
import type { ImageConfig, Lease, RootView } from '#store';
import { BuildError } from '../base/index.js';
import { hostPlatform, requireRunnable } from '../platform/index.js';
import { makeStepCgroup } from './cgroup.js';
import { defaultPath, defaultShmBytes, networkFiles } from './container.js';
import { lookupUser } from './owner.js';

export interface RunImageRequest {
  readonly name: string;
  readonly config: ImageConfig;
  /** Words after the image's name: they replace CMD. */
  readonly command: readonly string[];
  /** Replaces ENTRYPOINT (and drops CMD); '' removes it. */
  readonly entrypoint: string | undefined;
  readonly env: readonly (readonly [name: string, value: string])[];
  readonly workdir: string | undefined;
  readonly user: string | undefined;
  readonly hostname: string;
  readonly network: 'host' | 'none';
  readonly stdin: 'null' | 'inherit';
  /** More that it sees. */
  readonly stacks?: readonly StepStack[];
  readonly mounts?: readonly StepMount[];
}

export interface RunImageIo {
  readonly host: Host;
  readonly lease: Lease;
  readonly mounts: readonly LayerMount[];
  readonly view: RootView;
  readonly handlers: StepHandlers;
}

/**
 * Runs ENTRYPOINT + CMD (or what replaces them) to its end.
 *
 * @throws BuildError RUN_EMPTY, USER_NOT_FOUND, ARCH_CANNOT_EXECUTE and the like before anything ran
 */
export async function runImage(request: RunImageRequest, io: RunImageIo): Promise<StepExit> {
  const { config } = request.config;
  const args = commandLine(request);
  const cwd = request.workdir ?? (config?.WorkingDir || '/');
  const user = lookupUser(io.view, request.user ?? config?.User ?? '', undefined);
  const env = new Map([
    ['PATH', defaultPath],
    ['HOME', user.home],
    ['HOSTNAME', request.hostname],
  ]);
  for (const text of config?.Env ?? []) env.set(text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1));
  for (const [name, value] of request.env) env.set(name, value);

  requireRunnable(
    io.view,
    { program: args[0] ?? '', searchPath: env.get('PATH') ?? defaultPath, cwd, what: request.name },
    hostPlatform(),
    () => `image ${request.name}`,
  );
  const scratchDir = io.lease.path('run');
  mkdirSync(scratchDir, { mode: 0o700 });
  const cgroup = makeStepCgroup(null);
  try {
    return await io.host.runStep(
      {
        layers: io.mounts,
        scratchDir,
        args,
        env: [...env].map(([name, value]) => `${name}=${value}`),
        cwd,
        uid: user.uid,
        gid: user.gid,
        groups: user.groups,
        hostname: request.hostname,
        network: request.network,
        stacks: request.stacks ?? [],
        mounts: [
          ...networkFiles({ network: request.network, hostname: request.hostname, extraHosts: [] }),
          ...(request.mounts ?? []),
        ],
        cgroups: cgroup.dirs,
        limits: [],
        confined: true,
        shmSizeBytes: defaultShmBytes,
        stdin: request.stdin,
      },
      io.handlers,
    );
  } finally {
    cgroup.remove();
    await io.host.remove([scratchDir]);
  }
}

/** @see OCI image-spec v1.1, config.md "Entrypoint" and "Cmd" */
function commandLine(request: RunImageRequest): string[] {
  const { config } = request.config;
  const replaced = request.entrypoint !== undefined;
  const entrypoint = replaced ? (request.entrypoint ? [request.entrypoint] : []) : (config?.Entrypoint ?? []);
  const rest = request.command.length > 0 || replaced ? request.command : (config?.Cmd ?? []);
  const args = [...entrypoint, ...rest];
  if (args.length > 0) return args;
  throw new BuildError('RUN_EMPTY', {
    message: `${request.name} has neither ENTRYPOINT nor CMD`,
    hint: `name a program: tsbuild run ${request.name} PROGRAM`,
  });
}
