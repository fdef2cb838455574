// docker-registry on loopback, its storage on the file system of the benchmark.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface BenchRegistry {
  /** 'localhost:PORT' */
  readonly name: string;
  /** Forgets everything. */
  empty(): void;
  stop(): void;
}

export function startRegistry(dir: string, name: string, port: number): BenchRegistry {
  const storage = join(dir, name);
  const address = `localhost:${port}`;
  const config = `${storage}.yml`;
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nhttp: {addr: "${address}"}\nstorage: {filesystem: {rootdirectory: "${storage}"}}\n`,
  );
  const server = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
  awaitServer(server, port);
  return {
    name: address,
    empty: () => rmSync(storage, { recursive: true, force: true }),
    stop: () => {
      server.kill('SIGKILL');
    },
  };
}

function awaitServer(server: ChildProcess, port: number): void {
  const probe = `require('node:net').connect(${port}, 'localhost').on('connect', () => process.exit(0)).on('error', () => process.exit(1))`;
  for (let tries = 0; tries < 100; tries++) {
    if (spawnSync(process.execPath, ['-e', probe]).status === 0) return;
    execFileSync('sleep', ['0.1']);
  }
  server.kill('SIGKILL');
  throw new Error('docker-registry does not start');
}
