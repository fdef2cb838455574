// The options of every command that talks to registries, as podman and skopeo spell them.
import type { Command } from 'commander';
import type { RegistryOptions } from '#store';
import { plainSwitches } from './switches.js';

export interface RegistryFlags {
  readonly authfile?: string;
  readonly certDir?: string;
  readonly plainHttp?: boolean;
  readonly tlsVerify: boolean;
}

export function addRegistryOptions(command: Command): void {
  command
    .option(
      '--authfile <file>',
      'the file of passwords (default: $REGISTRY_AUTH_FILE, else where podman and docker keep them)',
    )
    .option('--cert-dir <dir>', 'the directory of certificates (default: certs.d/HOST:PORT of podman and docker)')
    .option('--no-tls-verify', 'take any certificate of a registry, and plain HTTP if it speaks no TLS')
    .option('--plain-http', 'speak plain HTTP to a registry that is not on this machine');
}

export function registryOptions({ authfile, certDir, plainHttp, tlsVerify }: RegistryFlags): RegistryOptions {
  return {
    authFile: authfile,
    certDir,
    plainHttp: plainHttp === true ? true : undefined,
    tlsVerify: tlsVerify ? undefined : false,
  };
}

/** podman's and skopeo's '--tls-verify=false' is '--no-tls-verify'. @throws UsageError for a value that is none */
export function registrySwitches(argv: readonly string[], command: Command): string[] {
  const spelled = argv.map((word) => word.replace(/^--tls-verify=(0|f|false)$/i, '--no-tls-verify'));
  return plainSwitches(
    spelled.filter((word) => !/^--tls-verify(=(1|t|true))?$/i.test(word)),
    command,
  );
}

/** What others take a password by: arguments are seen by everybody on the machine. */
export const passwordsElsewhere: Readonly<Record<string, string>> = {
  '--creds':
    "log in with 'tsbuild login --password-stdin', or name a file with --authfile: arguments are seen by others",
  '--password': 'give it on standard input with --password-stdin: arguments are seen by others',
  '-p': 'give it on standard input with --password-stdin: arguments are seen by others',
};
