// The options of build, alphabetical: one entry in the list and one field each. What their values mean is told in build-request.ts.
import { Option } from 'commander';
import { collect } from './cli.js';

export interface BuildOptions {
  readonly archPolicy: 'refuse' | 'warn' | 'allow';
  readonly buildArg?: readonly string[];
  readonly buildContext?: readonly string[];
  readonly cache: boolean;
  readonly file?: string;
  readonly iidfile?: string;
  readonly label?: readonly string[];
  readonly network: 'host' | 'none' | 'default';
  readonly noCacheFilter?: readonly string[];
  readonly plainHttp?: boolean;
  readonly platform?: string;
  readonly progress: 'auto' | 'plain' | 'json' | 'quiet';
  readonly pull: boolean;
  readonly quiet?: boolean;
  readonly secret?: readonly string[];
  readonly store?: string;
  readonly sync?: boolean;
  readonly tag?: readonly string[];
  readonly target?: string;
}

export const buildOptions: readonly Option[] = [
  option('--arch-policy <policy>', 'what to do about executables for another machine in a layer')
    .choices(['refuse', 'warn', 'allow'])
    .default('warn'),
  several('--build-arg <name[=value]>', 'value of an ARG; without =value it is taken from the environment'),
  several('--build-context <name=source>', 'a named context: a directory, oci-layout://DIR[:tag], or an image'),
  option('-f, --file <file>', 'the Buildfile (default: Buildfile, Dockerfile or Containerfile in the context)'),
  option('--iidfile <file>', "write the image's digest to a file"),
  several('--label <name=value>', 'label of the image'),
  option('--network <mode>', 'network of RUN steps').choices(['default', 'host', 'none']).default('default'),
  option('--no-cache', 'execute every step'),
  notNegated(several('--no-cache-filter <stage[,stage]>', 'execute every step of these stages')),
  option('--plain-http', 'speak plain HTTP to registries that are not on this machine'),
  option('--platform <os/arch[/variant]>', "platform of the image (default: this machine's)"),
  option('--progress <kind>', 'kind of progress').choices(['auto', 'plain', 'json', 'quiet']).default('auto'),
  option('--pull', 'look for newer base images in their registries'),
  option('-q, --quiet', 'print the image digest only'),
  several('--secret <id=ID,src=FILE|env=NAME>', 'a secret for RUN --mount=type=secret'),
  option('--sync', 'return only when the image has reached the disk'),
  several('-t, --tag <name>', 'name the image; may be given several times'),
  option('--target <stage>', 'build up to this stage'),
];

function option(flags: string, description: string): Option {
  return new Option(flags, description);
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
