// Batches run by the launcher: applyTree always (it confines itself to the target), all of them inside a user namespace.
import { spawn } from 'node:child_process';
import { SystemError } from './errors.js';
import { launcherFile } from './launcher-pool.js';

/** Sends `request` to the launcher's command `verb` and returns its reply. */
export function launchBatch(join: readonly string[], verb: string, request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = spawn(launcherFile(), [...join, verb], {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: '/',
      env: {},
      detached: true, // Ctrl-C at the terminal does not cut it short
    });
    const reply: Buffer[] = [];
    const complaint: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => reply.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => complaint.push(chunk));
    child.stdin.on('error', () => {}); // it ended early, and says why by its exit
    child.stdin.end(request);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(Buffer.concat(reply));
      const said = Buffer.concat(complaint).toString().trim();
      const how = said === '' ? (signal ?? `exit code ${code}`) : said;
      reject(new SystemError('LAUNCH_BATCH', { message: `the ${verb} of files could not be executed: ${how}` }));
    });
  });
}
