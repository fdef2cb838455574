// How whoever runs the tests reaches package registries: the clients' own settings, found where each client looks for
// them. The samples take them as secrets, all of which may be absent.
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export interface Secrets {
  readonly args: readonly string[];
  /** The variables that `args` name. */
  readonly env: Readonly<Record<string, string>>;
}

/** Those secrets that a Buildfile mounts and this machine has. */
export function registrySecrets(buildfile: string): Secrets {
  const args: string[] = [];
  const variables: Record<string, string> = {};
  for (const id of new Set([...buildfile.matchAll(/type=secret,id=(\w+)/g)].map((found) => found[1] ?? ''))) {
    const file = files[id]?.find((path) => path !== undefined && existsSync(path));
    const variable = variableOf[id];
    const value = variable && process.env[variable];
    if (file) args.push('--secret', `id=${id},src=${file}`);
    if (!value) continue;
    args.push('--secret', `id=${id},env=${variable}`);
    variables[variable] = value;
  }
  return { args, env: variables };
}

const { env } = process;
const config = env.XDG_CONFIG_HOME ?? join(homedir(), '.config');
const cargo = env.CARGO_HOME ?? join(homedir(), '.cargo');

/** Where clients keep them; the first that exists counts. */
const files: Readonly<Record<string, readonly (string | undefined)[]>> = {
  ca: [env.SSL_CERT_FILE, '/etc/ssl/certs/ca-certificates.crt'],
  cacerts: ['/etc/ssl/certs/java/cacerts', env.JAVA_HOME && join(env.JAVA_HOME, 'lib/security/cacerts')],
  cargo: [join(cargo, 'config.toml'), join(cargo, 'config')],
  goenv: [env.GOENV, join(config, 'go/env')],
  maven: [join(homedir(), '.m2/settings.xml')],
  npmrc: [env.NPM_CONFIG_USERCONFIG, join(homedir(), '.npmrc')],
  pip: [env.PIP_CONFIG_FILE, join(config, 'pip/pip.conf'), join(homedir(), '.pip/pip.conf'), '/etc/pip.conf'],
};

const variableOf: Readonly<Record<string, string>> = { goproxy: 'GOPROXY', pipindex: 'PIP_INDEX_URL' };
