import { createServer } from 'node:net';
import type { Person } from './tsbuild.js';

/** What an image that serves HTTP at the port it is given answers to a request for `path`. */
export async function served(person: Person, image: string, path: string): Promise<string> {
  const port = await freePort();
  const server = person.start(['run', image, `127.0.0.1:${port}`]);
  const ended = new Promise((done) => server.on('close', done));
  let said = '';
  server.stderr?.on('data', (text) => {
    said += text;
  });
  try {
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => null);
      if (answer) return await answer.text();
      if (server.exitCode !== null) throw new Error(`${image} ended with ${server.exitCode}: ${said}`);
      await new Promise((done) => setTimeout(done, 20));
    }
  } finally {
    server.kill('SIGTERM');
    await ended;
  }
}

function freePort(): Promise<number> {
  return new Promise((done) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => done(port));
    });
  });
}
