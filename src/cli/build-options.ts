// The options of build, alphabetical: one entry in the list and one field each. What their values mean is told in build-request.ts.
import { Option } from 'commander';
import { collect } from './cli.js';

export interface BuildOptions {
  readonly addHost?: readonly string[];
  readonly allow?: readonly string[];
  readonly annotation?: readonly string[];
  readonly archPolicy: 'refuse' | 'warn' | 'allow';
  readonly attest?: readonly string[];
  readonly buildArg?: readonly string[];
  readonly buildArgFile?: readonly string[];
  readonly buildContext?: readonly string[];
  readonly cache: boolean;
  readonly cacheFrom?: readonly string[];
  readonly cacheTo?: readonly string[];
  readonly cacheTtl?: string;
  readonly call?: string;
  readonly cgroupParent?: string;
  readonly check?: boolean;
  readonly file?: string;
  readonly iidfile?: string;
  readonly jobs?: string;
  readonly label?: readonly string[];
  readonly load?: boolean;
  readonly metadataFile?: string;
  readonly network: 'host' | 'none' | 'default';
  readonly noCacheFilter?: readonly string[];
  readonly output?: readonly string[];
  readonly plainHttp?: boolean;
  readonly platform?: string;
  readonly progress?: ProgressKind;
  readonly provenance?: string;
  readonly pull: boolean;
  readonly push?: boolean;
  readonly quiet?: boolean;
  readonly sbom?: string;
  readonly secret?: readonly string[];
  readonly shmSize?: string;
  readonly ssh?: readonly string[];
  readonly store?: string;
  readonly sync?: boolean;
  readonly tag?: readonly string[];
  readonly target?: string;
  readonly ulimit?: readonly string[];
}

export const progressKinds = ['auto', 'plain', 'tty', 'json', 'quiet', 'none'] as const;
export type ProgressKind = (typeof progressKinds)[number];

export const buildOptions: readonly Option[] = [
  several('--add-host <name:address>', 'a line of /etc/hosts of RUN steps; the address may be host-gateway'),
  several('--allow <entitlement>', 'what RUN steps may ask for: security.insecure, network.host'),
  several('--annotation <[place:]key=value>', "annotation of the image's manifest, or its index"),
  option('--arch-policy <policy>', 'what to do about executables for another machine in a layer')
    .choices(['refuse', 'warn', 'allow'])
    .default('warn'),
  several('--attest <type=provenance|sbom[,field=value]>', 'attest how the image was made, or what is in it'),
  several('--build-arg <name[=value]>', 'value of an ARG; without =value it is taken from the environment'),
  several('--build-arg-file <file>', 'a file of build arguments, NAME=VALUE a line; --build-arg goes before it'),
  several(
    '--build-context <name=source>',
    'a named context: a directory, oci-layout://DIR[:tag], a URL, target:STAGE, or an image',
  ),
  option('--call <method>', 'check, outline or targets: say something of the build instead of doing it; ,format=json'),
  option('--cgroup-parent <cgroup>', 'cgroup below which RUN steps run'),
  option('--check', 'check the Buildfile and build nothing (--call=check)'),
  several('--cache-from <type=local,src=DIR>', 'look for results there too; type=registry,ref=NAME is another place'),
  several(
    '--cache-to <type=local,dest=DIR>',
    'write the results there; fields are mode=min|max, compression, reset, …',
  ),
  option('--cache-ttl <duration>', 'use no result made longer ago than this, such as 24h'),
  option('-f, --file <file>', 'the Buildfile (default: Buildfile, Dockerfile or Containerfile in the context)'),
  option('--iidfile <file>', "write the image's digest to a file"),
  option('--jobs <number>', 'execute so many steps at the same time; 0: as many as there are'),
  ...accepted('--compress', '--force-rm', '--layers', '--rm'),
  several('--label <name=value>', 'label of the image'),
  option('--load', 'put the image into the store too, where --output says something else'),
  option('--metadata-file <file>', "write the image's digests and names to a file, as JSON"),
  option('--network <mode>', 'network of RUN steps').choices(['default', 'host', 'none']).default('default'),
  option('--no-cache', 'execute every step'),
  notNegated(several('--no-cache-filter <stage[,stage]>', 'execute every step of these stages')),
  several(
    '-o, --output <dir|type=TYPE[,field=value]>',
    'the result: image, registry, oci, docker, local, tar, cacheonly',
  ),
  option('--plain-http', 'speak plain HTTP to registries that are not on this machine'),
  option(
    '--platform <os/arch[/variant]>',
    "platform of the image (default: $DOCKER_DEFAULT_PLATFORM, else this machine's)",
  ),
  option('--progress <kind>', 'kind of progress (default: $BUILDKIT_PROGRESS, else auto)').choices(progressKinds),
  option('--provenance <true|false|mode=min|mode=max>', '--attest type=provenance'),
  option('--pull', 'look for newer base images in their registries'),
  option('--push', 'send the image to the registries of its names'),
  option('-q, --quiet', 'print the image digest only'),
  option('--sbom <true|false|generator=IMAGE>', '--attest type=sbom'),
  several('--secret <id=ID,src=FILE|env=NAME>', 'a secret for RUN --mount=type=secret'),
  option('--shm-size <size>', 'size of /dev/shm in RUN steps, such as 64m'),
  several('--ssh <id[=socket|key[,key]]>', 'an ssh agent for RUN --mount=type=ssh; default is that of $SSH_AUTH_SOCK'),
  option('--sync', 'return only when the image has reached the disk'),
  several('-t, --tag <name>', 'name the image; may be given several times'),
  option('--target <stage>', 'build up to this stage'),
  several('--ulimit <name=soft[:hard]>', 'a resource limit of RUN steps, such as nofile=1024:4096'),
];

function option(flags: string, description: string): Option {
  return new Option(flags, description);
}

/** Given for habit: they ask for what is done anyway. */
function accepted(...flags: string[]): Option[] {
  return flags.map((each) => option(each, '').hideHelp());
}

/** May be given several times; undefined without. */
function several(flags: string, description: string): Option {
  return new Option(flags, description).argParser<readonly string[]>(collect);
}

/** Not the opposite of a --cache-filter, which commander takes every --no-… for. */
function notNegated(option: Option): Option {
  option.negate = false;
  return option;
}
