// How a registry is reached: TLS or not, whose certificates, which password. The part of a transfer that the user's
// environment decides.
import { readFile } from 'node:fs/promises';
import { StoreError } from '../errors.js';
import type { Environment } from './credentials.js';
import type { HttpOptions } from './http-client.js';
import type { RetryOptions } from './retry.js';

export interface RegistryOptions {
  /** Plain HTTP: true allows it, false forbids it; by default it is for registries on this machine's loopback only. */
  readonly plainHttp?: boolean | undefined;
  /** Where passwords and certificates are looked up; the process's own environment by default. */
  readonly environment?: Environment;
  readonly retry?: RetryOptions;
  readonly idleTimeoutMs?: number;
  /** Blobs larger than this are sent in pieces that can be resumed. */
  readonly chunkBytes?: number;
}

/** The URL that a registry's API lies under. */
export function registryOrigin(registry: string, plainHttp: boolean | undefined): URL {
  if (registry === 'docker.io') return new URL('https://registry-1.docker.io/');
  const plain = plainHttp ?? isLoopback(new URL(`http://${registry}/`).hostname);
  return new URL(`${plain ? 'http' : 'https'}://${registry}/`);
}

/** A literal loopback name or address: 'localhost', 127.0.0.0/8, ::1. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

/**
 * NODE_EXTRA_CA_CERTS is read too: TSBUILD_EXTRA_CA_CERTS stands in for it where a start without parsing that file at once matters.
 *
 * @throws StoreError CA_FILE_UNREADABLE
 */
export async function httpOptions(options: RegistryOptions, environment: Environment): Promise<HttpOptions> {
  const paths = [environment.TSBUILD_EXTRA_CA_CERTS, environment.NODE_EXTRA_CA_CERTS].filter((path) => path);
  const extraCa = await Promise.all([...new Set(paths)].map((path) => readCa(path as string)));
  return { extraCa, ...(options.idleTimeoutMs !== undefined && { idleTimeoutMs: options.idleTimeoutMs }) };
}

async function readCa(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new StoreError('CA_FILE_UNREADABLE', {
      message: `${path}: ${(cause as Error).message}`,
      hint: 'TSBUILD_EXTRA_CA_CERTS and NODE_EXTRA_CA_CERTS name PEM files',
      cause,
    });
  }
}
