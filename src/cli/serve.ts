// tsbuild serve: the store as a registry.
import { isIP } from 'node:net';
import { type Command, Option } from 'commander';
import { type ListenAddress, type ServeOptions, type Serving, StoreError, serveStore } from '#store';
import { type Cli, collect, UsageError } from './cli.js';
import { byteSize, durationMs } from './quantities.js';

interface ServeCommand {
  readonly listen?: readonly string[];
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
  readonly readOnly?: boolean;
  readonly htpasswd?: string;
  readonly auth?: 'basic' | 'token';
  readonly anonymousPull?: boolean;
  readonly allow?: readonly string[];
  readonly prefix?: string;
  readonly name?: readonly string[];
  readonly quota?: string;
  readonly repositoryQuota?: string;
  readonly maxBlobSize?: string;
  readonly maxUploads?: string;
  readonly maxConnections?: string;
  readonly uploadTimeout?: string;
  readonly keepUntagged?: string;
  readonly accessLog?: string;
  readonly metrics?: boolean;
  readonly grace?: string;
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .option('-l, --listen <addr:port>', 'where to listen; port 0 takes a free one (default: 127.0.0.1:5000)', collect)
    .option('--tls-cert <file>', 'certificate with its chain, PEM: serves HTTPS')
    .option('--tls-key <file>', "the certificate's key, PEM")
    .option('--tls-client-ca <file>', 'serves only clients with a certificate of this CA; its common name is the user')
    .option('--read-only', 'refuse everything that would change the store')
    .option('--htpasswd <file>', "users and their passwords, as 'htpasswd -B' writes them")
    .addOption(
      new Option('--auth <kind>', 'how clients bring passwords: with each request, or to /token for tokens')
        .choices(['basic', 'token'])
        .default('basic'),
    )
    .option('--anonymous-pull', 'let everybody pull; with --htpasswd')
    .option(
      '--allow <user:repo:actions>',
      "rights of a user ('*': all of them, 'anonymous': everybody) in repositories; without any, users may do everything",
      collect,
    )
    .option('--prefix <name>', 'serve only names below this one, and push to below it')
    .option('--name <host:port>', 'another name of this server: tags of it are served too', collect)
    .option('--quota <size>', 'take in no more when the store holds that much')
    .option('--repository-quota <size>', 'the same for each repository')
    .option('--max-blob-size <size>', 'refuse larger blobs')
    .option('--max-uploads <n>', 'uploads that may be under way (default: 1000)')
    .option('--max-connections <n>', 'connections at a time and address (default: 1000)')
    .option('--upload-timeout <duration>', 'give up uploads that nothing came for (default: 24h)')
    .option(
      '--keep-untagged <duration>',
      "what was pushed stays so long though no tag leads to it, also when 'tsbuild gc' runs (default: 7d)",
    )
    .option('--access-log <file>', "a line of JSON for each request; '-': standard output")
    .option('--metrics', 'tell of requests and uploads at /metrics, for Prometheus')
    .option('--grace <duration>', 'at the end, wait so long for requests under way (default: 10s)')
    .addHelpText(
      'after',
      `
HOST:PORT/app:1 is what 'tsbuild build -t app:1' made here, and pushing it makes app:1 here. Images that came from a registry
are served with their layers uncompressed.

examples:
  tsbuild serve                                      then: podman pull --tls-verify=false localhost:5000/app:1
  tsbuild serve --listen 0.0.0.0:5000 --read-only
  tsbuild serve --listen :443 --tls-cert cert.pem --tls-key key.pem --htpasswd users --auth token --anonymous-pull
  tsbuild serve --htpasswd users --allow "ci:team/**:pull,push" --allow "anonymous:public/*:pull"
  tsbuild serve --prefix team --quota 50gb --access-log - --metrics`,
    );
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<ServeCommand>();
  const wanted = serveOptions(cli, options);
  const store = await cli.openStore(options.store);
  if (store.readOnly && options.readOnly !== true) {
    throw new StoreError('STORE_READ_ONLY', {
      message: `store ${store.dir} can't be written to, so nothing could be pushed`,
      hint: 'serve it with --read-only, or choose another one with --store',
    });
  }
  const serving = await serveStore(store, wanted);
  try {
    tellOf(cli, serving, options);
    await interrupted(cli.signal);
  } finally {
    await serving.close((cli.signal.reason as { again?: AbortSignal } | undefined)?.again);
  }
  return 0;
}

function tellOf(cli: Cli, { urls, isOpen }: Serving, { readOnly, accessLog }: ServeCommand): void {
  const isReachable = urls.some((url) => !/\/\/(127\.|\[::1\])/.test(url));
  if (isOpen && isReachable) {
    const what = readOnly === true ? 'pull' : 'pull, push and delete';
    cli.err(`warning: whoever reaches this address may ${what}: see --htpasswd, --tls-client-ca and --read-only\n`);
  }
  // The log has standard output for itself.
  const tell = accessLog === '-' ? cli.err : cli.out;
  for (const url of urls) tell(`serving at ${url}\n`);
}

function interrupted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function serveOptions(cli: Cli, options: ServeCommand): ServeOptions {
  const { tlsCert, tlsKey, tlsClientCa, htpasswd } = options;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw usage('--tls-cert and --tls-key belong together', 'give both, or neither');
  }
  if (tlsClientCa !== undefined && tlsCert === undefined) {
    throw usage('--tls-client-ca is for HTTPS', 'give --tls-cert and --tls-key too');
  }
  if (htpasswd === undefined && (options.anonymousPull === true || options.auth === 'token')) {
    const option = options.anonymousPull === true ? '--anonymous-pull' : '--auth token';
    throw usage(`${option} needs users`, 'give --htpasswd FILE; without it, everybody may pull and push');
  }
  if (options.allow !== undefined && htpasswd === undefined && tlsClientCa === undefined) {
    throw usage('--allow needs users', 'give --htpasswd FILE or --tls-client-ca FILE');
  }
  const bytes = (option: string, text: string | undefined): number | undefined =>
    text === undefined ? undefined : byteSize(option, text);
  const ms = (option: string, text: string | undefined): number | undefined =>
    text === undefined ? undefined : durationMs(option, text);
  const rules = [...(options.allow ?? []), ...(options.anonymousPull === true ? ['anonymous:**:pull'] : [])];
  return {
    listen: (options.listen ?? ['127.0.0.1:5000']).map(listenAddress),
    ...(tlsCert !== undefined &&
      tlsKey !== undefined && {
        tls: { certPath: tlsCert, keyPath: tlsKey, clientCaPath: tlsClientCa },
      }),
    readOnly: options.readOnly,
    htpasswdPath: htpasswd,
    authentication: options.auth,
    accessRules: rules.length > 0 ? rules : undefined,
    prefix: options.prefix,
    ownNames: options.name,
    quotaBytes: bytes('--quota', options.quota),
    repositoryQuotaBytes: bytes('--repository-quota', options.repositoryQuota),
    maxBlobBytes: bytes('--max-blob-size', options.maxBlobSize),
    maxUploads: count('--max-uploads', options.maxUploads),
    maxConnections: count('--max-connections', options.maxConnections),
    uploadTimeoutMs: ms('--upload-timeout', options.uploadTimeout),
    keepUnreferencedMs: ms('--keep-untagged', options.keepUntagged),
    ...(options.accessLog === '-' ? { onAccess: cli.out } : { accessLogPath: options.accessLog }),
    metrics: options.metrics,
    graceMs: ms('--grace', options.grace),
    onNotice: (text) => cli.err(`${new Date().toISOString()} ${text}\n`),
  };
}

/** 'ADDR:PORT', '[::1]:PORT', ':PORT' (all addresses). @throws UsageError */
function listenAddress(text: string): ListenAddress {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const isValid = bracketed === undefined ? /^[\w.-]*$/.test(plain ?? ' ') : isIP(bracketed) === 6;
  if (host !== undefined && isValid && Number(port) < 65536) return { host: host || '0.0.0.0', port: Number(port) };
  throw usage(`--listen ${text} is no address`, 'as in --listen 127.0.0.1:5000, --listen :5000 or --listen [::1]:5000');
}

/** @throws UsageError */
function count(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw usage(`${option} ${text} is no number of them`, `as in ${option} 100`);
}

function usage(message: string, hint: string): UsageError {
  return new UsageError('USAGE', { message, hint });
}
