// The options of every command that talks to registries, as podman and skopeo spell them.
import type { Command } from 'commander';
import type { RegistryOptions } from '#store';

export interface RegistryFlags {
  readonly authfile?: string;
  readonly plainHttp?: boolean;
}

export function addRegistryOptions(command: Command): void {
  command
    .option(
      '--authfile <file>',
      'the file of passwords (default: $REGISTRY_AUTH_FILE, else where podman and docker keep them)',
    )
    .option('--plain-http', 'speak plain HTTP to a registry that is not on this machine');
}

export function registryOptions({ authfile, plainHttp }: RegistryFlags): RegistryOptions {
  return { authFile: authfile, plainHttp: plainHttp === true ? true : undefined };
}

/** What others take a password by: arguments are seen by everybody on the machine. */
export const passwordsElsewhere: Readonly<Record<string, string>> = {
  '--creds':
    "log in with 'tsbuild login --password-stdin', or name a file with --authfile: arguments are seen by others",
  '--password': 'give it on standard input with --password-stdin: arguments are seen by others',
  '-p': 'give it on standard input with --password-stdin: arguments are seen by others',
};
