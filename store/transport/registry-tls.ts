// Certificates for one registry, from directories laid out as docker and podman have them:
//   certs.d/HOST[:PORT]/NAME.crt              an authority to trust
//   certs.d/HOST[:PORT]/NAME.cert + NAME.key  who we are to the registry
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError } from '../errors.js';
import type { Environment } from './auth-files.js';

export interface TlsMaterial {
  /** PEM certificates to trust besides the built-in ones. */
  readonly ca: readonly string[];
  readonly cert?: string;
  readonly key?: string;
}

/** The directories of a host, the first that is there counts. @see containers-certs.d(5) */
function certDirs(host: string, env: Environment): string[] {
  const own = join(env.XDG_CONFIG_HOME || join(env.HOME ?? '/', '.config'), 'containers/certs.d');
  return [own, '/etc/containers/certs.d', '/etc/docker/certs.d'].map((dir) => join(dir, host));
}

/**
 * What is there for a URL's host.
 *
 * @throws StoreError CERT_DIR_INVALID, naming the file
 */
export async function hostCertificates(url: URL, env: Environment): Promise<TlsMaterial> {
  const hosts = url.port === '' ? [url.host, `${url.host}:443`] : [url.host];
  if (url.host === 'registry-1.docker.io') hosts.push('docker.io');
  for (const dir of hosts.flatMap((host) => certDirs(host, env))) {
    const names = await readdir(dir).catch(absent);
    if (names !== null) return certificatesIn(dir, names);
  }
  return { ca: [] };
}

/** What --cert-dir names has to be there. @throws StoreError CERT_DIR_INVALID */
export async function namedCertificates(dir: string): Promise<TlsMaterial> {
  const names = await readdir(dir).catch((cause) => {
    throw invalid(
      `${dir} can't be read: ${cause.message}`,
      '--cert-dir names a directory of *.crt, *.cert and *.key files',
    );
  });
  return certificatesIn(dir, names);
}

function absent(error: NodeJS.ErrnoException): null {
  if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(error.code ?? '')) return null;
  throw error;
}

async function certificatesIn(dir: string, names: readonly string[]): Promise<TlsMaterial> {
  const ca: string[] = [];
  let own: { cert: string; key: string } | null = null;
  for (const name of [...names].sort()) {
    const path = join(dir, name);
    if (name.endsWith('.crt')) ca.push(await readPem(path, 'CERTIFICATE'));
    if (name.endsWith('.key')) requirePartner(path, name.replace(/\.key$/, '.cert'), names);
    if (!name.endsWith('.cert')) continue;
    const keyName = name.replace(/\.cert$/, '.key');
    requirePartner(path, keyName, names);
    own ??= await readPair(path, join(dir, keyName));
  }
  return { ca, ...own };
}

function requirePartner(path: string, partner: string, names: readonly string[]): void {
  if (names.includes(partner)) return;
  throw invalid(
    `${path} has no ${partner} beside it`,
    'a client certificate is NAME.cert with NAME.key; an authority to trust is NAME.crt',
  );
}

async function readPair(certPath: string, keyPath: string): Promise<{ cert: string; key: string }> {
  const [cert, key] = [await readPem(certPath, 'CERTIFICATE'), await readPem(keyPath, 'KEY')];
  const { createSecureContext } = await import('node:tls');
  try {
    createSecureContext({ cert, key });
  } catch (cause) {
    // OpenSSL's words name the fault, and nothing of the key.
    const said = (cause as Error).message.split(':').at(-1);
    throw invalid(
      `${keyPath} does not go with ${certPath}: ${said}`,
      'they are two halves of one pair, without a passphrase',
    );
  }
  return { cert, key };
}

async function readPem(path: string, kind: 'CERTIFICATE' | 'KEY'): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw invalid(`${path} can't be read: ${cause.message}`, 'mend its owner or mode, or take it away');
  });
  if (!new RegExp(`-----BEGIN [A-Z0-9 ]*${kind}-----`).test(text)) {
    throw invalid(`${path} holds no PEM ${kind.toLowerCase()}`, `it begins with a line '-----BEGIN … ${kind}-----'`);
  }
  if (kind === 'CERTIFICATE') await requireCertificate(text, path);
  return text;
}

async function requireCertificate(text: string, path: string): Promise<void> {
  const { X509Certificate } = await import('node:crypto');
  try {
    new X509Certificate(text);
  } catch {
    throw invalid(`${path} holds a certificate that can't be read`, 'copy it again from where it came from');
  }
}

function invalid(message: string, hint: string): StoreError {
  return new StoreError('CERT_DIR_INVALID', { message, hint });
}
