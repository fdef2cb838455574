// How a registry is reached: TLS or not, whose certificates, which password. The part of a transfer that the user's
// environment decides.
import { readFile } from 'node:fs/promises';
import { StoreError } from '../errors.js';
import type { Environment } from './auth-files.js';
import { type HttpClient, readBody } from './http-client.js';
import type { HttpOptions } from './http-connect.js';
import type { TlsMaterial } from './registry-tls.js';
import { type RetryOptions, TransientError } from './retry.js';

export interface RegistryOptions {
  /** Plain HTTP: true allows it, false forbids it; by default it is for registries on this machine's loopback only. */
  readonly plainHttp?: boolean | undefined;
  /** False: any certificate of a registry is good, and plain HTTP where it speaks no TLS. */
  readonly tlsVerify?: boolean | undefined;
  /** A directory of certificates in place of those for the registry's host. */
  readonly certDir?: string | undefined;
  /** Where passwords and certificates are looked up; the process's own environment by default. */
  readonly environment?: Environment;
  /** The only file with passwords to look into. */
  readonly authFile?: string | undefined;
  readonly retry?: RetryOptions | undefined;
  readonly idleTimeoutMs?: number;
  /** Blobs larger than this are sent in pieces that can be resumed. */
  readonly chunkBytes?: number;
}

/**
 * The URL that a registry's API lies under. On the loopback, where eavesdroppers are none, it is found out whether the
 * registry speaks TLS; everywhere else TLS is a must unless plain HTTP is allowed.
 */
export async function findOrigin(
  client: HttpClient,
  registry: string,
  { plainHttp, tlsVerify }: Pick<RegistryOptions, 'plainHttp' | 'tlsVerify'>,
): Promise<URL> {
  if (registry === 'docker.io') return new URL('https://registry-1.docker.io/');
  const secure = new URL(`https://${registry}/`);
  const plain = new URL(`http://${registry}/`);
  if (plainHttp !== undefined) return plainHttp ? plain : secure;
  if (tlsVerify === false) return (await speaksTls(client, secure)) ? secure : plain;
  if (!isLoopback(plain.hostname)) return secure;
  return (await wantsTls(client, plain, secure)) ? secure : plain;
}

/** Go's and nginx' servers answer plain HTTP on a TLS port with a 400 that says so; others break the connection. */
async function wantsTls(client: HttpClient, plain: URL, secure: URL): Promise<boolean> {
  try {
    const response = await client.send({ method: 'GET', url: new URL('/v2/', plain) });
    const body = await readBody(response, 64 * 1024);
    return response.status === 400 && /https/i.test(body.toString('latin1'));
  } catch (error) {
    if (error instanceof StoreError && error.code === 'REGISTRY_UNREACHABLE' && causeCode(error).startsWith('HPE_'))
      return true;
    if (!(error instanceof TransientError)) throw error;
    return speaksTls(client, secure);
  }
}

async function speaksTls(client: HttpClient, secure: URL): Promise<boolean> {
  try {
    const response = await client.send({ method: 'GET', url: new URL('/v2/', secure) });
    response.body.destroy();
    return true;
  } catch (error) {
    return error instanceof StoreError && error.code === 'REGISTRY_TLS' && causeCode(error) !== 'EPROTO';
  }
}

function causeCode(error: Error): string {
  return error.cause instanceof Error && 'code' in error.cause ? String(error.cause.code) : '';
}

/** A literal loopback name or address: 'localhost', 127.0.0.0/8, ::1. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

/** Clients of registries. @throws StoreError CA_FILE_UNREADABLE; CERT_DIR_INVALID when a connection is made */
export async function registryHttpOptions(
  registry: string,
  options: RegistryOptions,
  environment: Environment,
): Promise<HttpOptions> {
  const { certDir, tlsVerify } = options;
  const certificates = async (url: URL): Promise<TlsMaterial> => {
    const { hostCertificates, namedCertificates } = await import('./registry-tls.js');
    if (certDir === undefined) return hostCertificates(url, environment);
    const { ca, ...pair } = await namedCertificates(certDir);
    // Who we are is for the registry alone, not for where it sends us.
    return url.host === new URL(`https://${registry}/`).host ? { ca, ...pair } : { ca };
  };
  return { ...(await httpOptions(options, environment)), certificates, verifyTls: tlsVerify };
}

/**
 * NODE_EXTRA_CA_CERTS and SSL_CERT_FILE are read too: TSBUILD_EXTRA_CA_CERTS stands in for the first where a start without
 * parsing that file at once matters.
 *
 * @throws StoreError CA_FILE_UNREADABLE
 */
export async function httpOptions(options: RegistryOptions, environment: Environment): Promise<HttpOptions> {
  const { TSBUILD_EXTRA_CA_CERTS, NODE_EXTRA_CA_CERTS, SSL_CERT_FILE } = environment;
  const paths = [TSBUILD_EXTRA_CA_CERTS, NODE_EXTRA_CA_CERTS, SSL_CERT_FILE].filter((path) => path);
  const extraCa = await Promise.all([...new Set(paths)].map((path) => readCa(path as string)));
  return { extraCa, environment, ...(options.idleTimeoutMs !== undefined && { idleTimeoutMs: options.idleTimeoutMs }) };
}

async function readCa(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new StoreError('CA_FILE_UNREADABLE', {
      message: `${path}: ${(cause as Error).message}`,
      hint: 'TSBUILD_EXTRA_CA_CERTS, NODE_EXTRA_CA_CERTS and SSL_CERT_FILE name PEM files',
      cause,
    });
  }
}
