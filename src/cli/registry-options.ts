// The options of every command that talks to registries, as podman and skopeo spell them.
import type { Command } from 'commander';
import type { RegistryOptions } from '#store';
import { UsageError } from './cli.js';
import { durationMs } from './quantities.js';
import { plainSwitches } from './switches.js';

export interface RegistryFlags {
  readonly authfile?: string | undefined;
  readonly certDir?: string | undefined;
  readonly plainHttp?: boolean | undefined;
  readonly retry?: string;
  readonly retryDelay?: string;
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
    .option('--plain-http', 'speak plain HTTP to a registry that is not on this machine')
    .option('--retry <times>', 'how often to try again what may pass by itself (default: 5)')
    .option('--retry-delay <duration>', 'wait so long in between (default: 250ms, doubled each time up to 20s)');
}

/** @throws UsageError */
export function registryOptions(flags: RegistryFlags): RegistryOptions {
  const { authfile, certDir, plainHttp, tlsVerify } = flags;
  return {
    retry: retries(flags),
    authFile: authfile,
    certDir,
    plainHttp: plainHttp === true ? true : undefined,
    tlsVerify: tlsVerify ? undefined : false,
  };
}

function retries({ retry, retryDelay }: RegistryFlags): RegistryOptions['retry'] {
  if (retry !== undefined && !/^\d{1,4}$/.test(retry))
    throw new UsageError('USAGE', { message: `--retry ${retry} is no number`, hint: 'as in --retry 3' });
  const delayMs = retryDelay === undefined ? undefined : durationMs('--retry-delay', retryDelay);
  return {
    ...(retry !== undefined && { attempts: Number(retry) + 1 }),
    ...(delayMs !== undefined && { pauseMs: delayMs, maxPauseMs: Math.max(delayMs, 20_000) }),
  };
}

/** podman's and skopeo's '--tls-verify=false' is '--no-tls-verify'. @throws UsageError for a value that is none */
export function registrySwitches(argv: readonly string[], command: Command): string[] {
  const spelled = argv.map((word) => word.replace(/^--((?:src-|dest-)?tls-verify)=(0|f|false)$/i, '--no-$1'));
  return plainSwitches(
    spelled.filter((word) => !/^--(src-|dest-)?tls-verify(=(1|t|true))?$/i.test(word)),
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
