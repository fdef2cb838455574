// Registries for the tests: Debian's docker-registry on the loopback, and a scripted one that misbehaves.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { tempDir } from './image-samples.js';

export interface RunningRegistry {
  /** '127.0.0.1:PORT'. */
  readonly name: string;
  /** Lines 'METHOD path' of the requests so far. */
  requests(): string[];
}

/** The user 'user' with the password 'secret'. */
export const passwords = 'user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n';

export async function startRegistry(
  options: { auth?: boolean; tls?: { cert: string; key: string; clientCa?: string } } = {},
): Promise<RunningRegistry> {
  const dir = await tempDir();
  const port = await freePort();
  mkdirSync(join(dir, 'data'));
  writeFileSync(join(dir, 'htpasswd'), passwords);
  const auth = options.auth ? `auth:\n  htpasswd:\n    realm: test\n    path: ${dir}/htpasswd\n` : '';
  const tls = options.tls
    ? `  tls:\n    certificate: ${options.tls.cert}\n    key: ${options.tls.key}\n${clientCas(options.tls)}`
    : '';
  writeFileSync(
    join(dir, 'config.yml'),
    `version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: ${dir}/data\nhttp:\n  addr: 127.0.0.1:${port}\n${tls}${auth}`,
  );
  const log = join(dir, 'log');
  writeFileSync(log, '');
  const child = spawn('sh', ['-c', `exec docker-registry serve config.yml >log 2>&1`], { cwd: dir, stdio: 'ignore' });
  onTestFinished(async () => {
    const ended = new Promise((resolve) => child.on('close', resolve));
    child.kill('SIGKILL');
    await ended;
  });
  await until(() => connects(port));
  return {
    name: `127.0.0.1:${port}`,
    requests: () =>
      [...readFileSync(log, 'utf8').matchAll(/"([A-Z]+) (\/v2\/\S*) HTTP/g)].map(
        ([, method, path]) => `${method} ${path}`,
      ),
  };
}

function clientCas({ clientCa }: { clientCa?: string }): string {
  return clientCa === undefined ? '' : `    clientcas:\n      - ${clientCa}\n`;
}

export function hasRegistry(): boolean {
  try {
    return readFileSync('/usr/bin/docker-registry').length > 0;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function connects(port: number): Promise<boolean> {
  const { connect } = await import('node:net');
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true));
    socket.on('connect', () => socket.destroy());
    socket.on('error', () => resolve(false));
  });
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error('the registry did not start');
}

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server that answers as `answer` says. */
export async function startScripted(answer: Answer): Promise<{ name: string; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { name: `127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}
