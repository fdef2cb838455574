// `tsbuild serve` as a person starts it.
import type { ChildProcess } from 'node:child_process';
import { onTestFinished } from 'vitest';
import { type Ask, asker } from '../store/serve-client.js';
import type { Person } from './tsbuild.js';

export interface Server {
  /** '127.0.0.1:PORT' */
  readonly name: string;
  readonly ask: Ask;
  /** What it has printed so far. */
  said(): string;
  /** Its exit code, null where the signal ended it. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

export async function startServer(person: Person, args: readonly string[] = []): Promise<Server> {
  const child = person.start(['serve', '--listen', '127.0.0.1:0', ...args]);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (text) => {
      said += text;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const url = await announced(child, () => said);
  return {
    name: url.replace(/^https?:\/\//, ''),
    ask: asker(url),
    said: () => said,
    end: (signal) => {
      child.kill(signal);
      return ended;
    },
  };
}

async function announced(child: ChildProcess, said: () => string): Promise<string> {
  for (;;) {
    const url = /^serving at (\S+)$/m.exec(said())?.[1];
    if (url !== undefined) return url;
    if (child.exitCode !== null) throw new Error(`serve ended with ${child.exitCode}: ${said()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
