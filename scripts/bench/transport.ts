// Images on their way into the store and out of it, beside skopeo with umoci, buildah, and BuildKit where it is installed.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Contender } from './measure.js';
import type { BenchRegistry } from './registry.js';
import type { Bench, Scenario } from './scenarios.js';
import type { Images } from './transport-images.js';

export interface Transport {
  readonly bench: Bench;
  readonly images: Images;
  /** Where pushes go; emptied before each that is to send something. */
  readonly target: BenchRegistry;
  readonly found: Readonly<Record<'skopeo' | 'umoci', boolean>>;
}

export function transportScenarios(transport: Transport): Scenario[] {
  const { one, ten, oneLayout, tenLayout } = transport.images;
  return [
    pull(transport, 'Debian base, one layer', one),
    pull(transport, 'Debian base in ten layers', ten),
    unpack(transport, 'Debian base from its gzip layer', oneLayout),
    unpack(transport, 'Debian base from ten gzip layers', tenLayout),
    push(transport, 'gzip'),
    push(transport, 'zstd'),
    pushAgain(transport),
    copy(transport),
    archive(transport),
    collect(transport),
  ];
}

/** Words that run tsbuild with a store. */
function tsbuild({ bench }: Transport, store: string, words: string): string {
  const [command = '', ...rest] = words.split(' ');
  return `${join(bench.root, 'bin/tsbuild')} ${command} --store ${store} ${rest.join(' ')} >/dev/null`;
}

function buildah({ bench }: Transport, words: string): string {
  const { dir } = bench;
  return `buildah --root ${dir}/transport-buildah --runroot ${dir}/transport-buildah-run --storage-driver overlay ${words}`;
}

const skopeo = 'skopeo --insecure-policy copy -q --src-tls-verify=false --dest-tls-verify=false';
function forgetBuildah(transport: Transport): void {
  sh(`${buildah(transport, 'rm -a')}; ${buildah(transport, 'rmi -af')} || true`);
}

function peers(is: boolean, ...contenders: Contender[]): Contender[] {
  return is ? contenders : [];
}

function remove(...paths: readonly string[]): void {
  for (const path of paths) rmSync(path, { recursive: true, force: true });
}

function gzipLimit({ bench }: Transport): Contender {
  return { name: 'gzip -dc', command: () => `gzip -dc ${bench.debian?.tarGz} > /dev/null` };
}

function pull(transport: Transport, what: string, ref: string): Scenario {
  const { bench, found } = transport;
  const store = join(bench.dir, 'pull-store');
  const [layout, bundle] = [join(bench.dir, 'pull-layout'), join(bench.dir, 'pull-bundle')];
  const context = join(bench.dir, 'pull-context');
  mkdirSync(context, { recursive: true });
  writeFileSync(join(context, 'Buildfile'), `FROM ${ref}\nRUN ["/usr/bin/true"]\n`);
  return {
    name: `transport: pull of a ${what}, and a program run in it`,
    goal: 'a third of skopeo and umoci',
    contenders: [
      gzipLimit(transport),
      {
        name: 'tsbuild',
        prepare: () => remove(store),
        command: () =>
          `${tsbuild(transport, store, `pull -q ${ref}`)} && ${tsbuild(transport, store, `run ${ref} /usr/bin/true`)}`,
      },
      ...peers(found.skopeo && found.umoci, {
        name: 'skopeo, umoci',
        prepare: () => remove(layout, bundle),
        command: () =>
          `${skopeo} docker://${ref} oci:${layout}:1 && umoci unpack --image ${layout}:1 ${bundle} 2>/dev/null && chroot ${bundle}/rootfs /usr/bin/true`,
      }),
      ...peers(bench.buildah, {
        name: 'buildah',
        prepare: () => forgetBuildah(transport),
        command: () =>
          `c=$(${buildah(transport, `from -q --tls-verify=false ${ref}`)}) && m=$(${buildah(transport, 'mount $c')}) && chroot $m /usr/bin/true`,
      }),
      ...(bench.buildkit === null
        ? []
        : [
            {
              name: 'BuildKit',
              prepare: () => bench.buildkit?.forget(),
              command: () => `${bench.buildkit?.build(context, '--no-cache')} 2>/dev/null`,
            },
          ]),
    ],
  };
}

function unpack(transport: Transport, what: string, layout: string): Scenario {
  const { bench, found } = transport;
  const [store, bundle] = [join(bench.dir, 'unpack-store'), join(bench.dir, 'unpack-bundle')];
  return {
    name: `transport: import of a ${what}`,
    goal: 'gzip -dc',
    contenders: [
      gzipLimit(transport),
      {
        name: 'tsbuild',
        prepare: () => remove(store),
        command: () => tsbuild(transport, store, `pull -q oci-layout:${layout} -t x:1`),
      },
      ...peers(found.umoci, {
        name: 'umoci unpack',
        prepare: () => remove(bundle),
        command: () => `umoci unpack --image ${layout} ${bundle} 2>/dev/null`,
      }),
      ...peers(bench.buildah, {
        name: 'buildah pull',
        prepare: () => forgetBuildah(transport),
        command: () => buildah(transport, `pull -q oci:${layout}`),
      }),
    ],
  };
}

/** Nothing is compressed yet, and the registry is empty. */
function push(transport: Transport, compression: 'gzip' | 'zstd'): Scenario {
  const { bench, images, target, found } = transport;
  const ref = `${target.name}/pushed:1`;
  const store = join(bench.dir, 'push-store');
  const flag = `--compression-format ${compression}`;
  const program =
    compression === 'gzip' ? `gzip -6 < ${layerOf(images.plainLayout)}` : `zstd -3 -c ${layerOf(images.plainLayout)}`;
  return {
    name: `transport: push of a Debian base to a registry, ${compression}`,
    goal: 'faster than each',
    contenders: [
      { name: compression, command: () => `${program} > /dev/null` },
      {
        name: 'tsbuild',
        prepare: () => {
          target.empty();
          remove(store);
          execFileSync('cp', ['-a', images.store, store]);
        },
        command: () => tsbuild(transport, store, `push -q --compression ${compression} debian:1 ${ref}`),
      },
      ...peers(found.skopeo, {
        name: 'skopeo',
        prepare: () => target.empty(),
        command: () => `${skopeo} --dest-compress-format ${compression} oci:${images.plainLayout} docker://${ref}`,
      }),
      ...peers(bench.buildah, {
        name: 'buildah',
        prepare: (run) => {
          target.empty();
          if (run === 0) forgetBuildah(transport);
          if (run === 0)
            sh(
              `${buildah(transport, `pull -q oci:${images.plainLayout}`)} | xargs -I ID ${buildah(transport, 'tag ID bench:1')}`,
            );
        },
        command: () => buildah(transport, `push -q --tls-verify=false ${flag} bench:1 docker://${ref}`),
      }),
    ],
  };
}

/** The file of the only layer, which is the largest blob. */
function layerOf(layout: string): string {
  return `$(ls -S ${layout.replace(/:\w+$/, '')}/blobs/sha256/* | head -1)`;
}

function pushAgain(transport: Transport): Scenario {
  const { bench, images, target, found } = transport;
  const ref = `${target.name}/again:1`;
  const store = join(bench.dir, 'push-store');
  const pushes = {
    tsbuild: tsbuild(transport, store, `push -q debian:1 ${ref}`),
    skopeo: `${skopeo} oci:${images.plainLayout} docker://${ref}`,
    buildah: buildah(transport, `push -q --tls-verify=false bench:1 docker://${ref}`),
  };
  const contender = (name: keyof typeof pushes): Contender => ({
    name,
    prepare: (run) => void (run === 0 && sh(pushes[name])),
    command: () => pushes[name],
  });
  return {
    name: 'transport: push of what the registry has',
    goal: 'faster than each',
    contenders: [
      { name: 'node -e 0', command: () => 'env -u NODE_EXTRA_CA_CERTS node -e 0' },
      contender('tsbuild'),
      ...peers(found.skopeo, contender('skopeo')),
      ...peers(bench.buildah, contender('buildah')),
    ],
  };
}

function copy(transport: Transport): Scenario {
  const { bench, images, found } = transport;
  const [store, layout] = [join(bench.dir, 'copy-store'), join(bench.dir, 'copy-layout')];
  return {
    name: 'transport: copy of a Debian base from a registry to an OCI layout',
    goal: 'faster than each',
    contenders: [
      {
        name: 'cp',
        prepare: () => remove(layout),
        command: () => `cp -r ${images.oneLayout.replace(/:\w+$/, '')} ${layout}`,
      },
      {
        name: 'tsbuild',
        prepare: () => remove(store, layout),
        command: () => tsbuild(transport, store, `copy -q docker://${images.one} oci:${layout}:1`),
      },
      ...peers(found.skopeo, {
        name: 'skopeo',
        prepare: () => remove(layout),
        command: () => `${skopeo} docker://${images.one} oci:${layout}:1`,
      }),
    ],
  };
}

function archive(transport: Transport): Scenario {
  const { bench, images, found } = transport;
  const file = join(bench.dir, 'saved.tar');
  return {
    name: 'transport: export of a Debian base to an OCI archive',
    goal: 'faster than each',
    contenders: [
      { name: 'cp', prepare: () => remove(file), command: () => `cp ${layerOf(images.plainLayout)} ${file}` },
      {
        name: 'tsbuild',
        prepare: () => remove(file),
        command: () => tsbuild(transport, images.store, `save --format oci-archive -o ${file} debian:1`),
      },
      ...peers(found.skopeo, {
        name: 'skopeo',
        prepare: () => remove(file),
        command: () =>
          `${skopeo} --dest-oci-accept-uncompressed-layers oci:${images.plainLayout} oci-archive:${file}:1`,
      }),
      ...peers(bench.buildah, {
        name: 'buildah',
        prepare: () => remove(file),
        command: () => buildah(transport, `push -q -D bench:1 oci-archive:${file}:1`),
      }),
    ],
  };
}

/** As many files as the other scenarios have; what is measured includes the start of the process. */
function collect(transport: Transport): Scenario {
  const { bench } = transport;
  const tree = join(bench.dir, 'copy', 'tree');
  const [seed, store] = [join(bench.dir, 'gc-seed'), join(bench.dir, 'gc-store')];
  const copied = join(bench.dir, 'gc-tree');
  const seedOnce = (): void => {
    if (existsSync(seed)) return;
    sh(`${join(bench.root, 'bin/tsbuild')} --store ${seed} -q -t many:1 ${join(bench.dir, 'copy')} >/dev/null`);
    sh(`${join(bench.root, 'bin/tsbuild')} rmi --store ${seed} many:1 >/dev/null`);
  };
  return {
    name: 'transport: removal of a layer of 20000 files, with the start of the process',
    goal: 'a few milliseconds more than the start',
    contenders: [
      { name: 'tsbuild version', command: () => `${join(bench.root, 'bin/tsbuild')} version >/dev/null` },
      {
        name: 'tsbuild',
        prepare: () => {
          seedOnce();
          remove(store);
          execFileSync('cp', ['-a', seed, store]);
        },
        command: () => tsbuild(transport, store, 'gc --all'),
      },
      {
        name: 'rm -rf',
        prepare: () => {
          remove(copied);
          execFileSync('cp', ['-a', tree, copied]);
        },
        command: () => `rm -rf ${copied}`,
      },
      ...peers(bench.buildah, {
        name: 'buildah rmi',
        prepare: () =>
          sh(
            `c=$(${buildah(transport, 'from scratch')}) && ${buildah(transport, `copy -q $c ${tree} /tree`)} && ${buildah(transport, 'commit -q $c many:1')} && ${buildah(transport, 'rm $c')}`,
          ),
        command: () => buildah(transport, 'rmi many:1'),
      }),
    ],
  };
}

function sh(command: string): void {
  execFileSync('sh', ['-c', command], { stdio: 'pipe' });
}
