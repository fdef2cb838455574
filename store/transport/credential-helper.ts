// Programs that keep passwords: docker-credential-NAME, as docker and podman call them.
import { StoreError } from '../errors.js';
import { plainText } from '../image/plain-text.js';
import type { Environment } from './auth-files.js';

export interface HelperAnswer {
  readonly username: string;
  readonly secret: string;
}

export interface Helper {
  /** 'pass' of docker-credential-pass. */
  readonly name: string;
  /** The file that names it. */
  readonly path: string;
  readonly timeoutMs: number;
}

/**
 * Null where it has nothing for the server.
 *
 * @throws StoreError CREDENTIALS_INVALID
 * @see docker/docker-credential-helpers: 'get' reads the server's name on stdin and answers in JSON
 */
export async function askHelper(helper: Helper, server: string, env: Environment): Promise<HelperAnswer | null> {
  const program = programOf(helper);
  const { code, stdout } = await runHelper(helper, 'get', server, env);
  if (code !== 0) {
    if (/credentials not found/i.test(stdout)) return null;
    throw failed(helper, 'get', code, stdout);
  }
  let answer: { Username?: unknown; Secret?: unknown } | null;
  try {
    answer = JSON.parse(stdout);
  } catch {
    throw invalid(helper, `${program} answered with something that is not JSON`, `run '${program} get' to see it`);
  }
  if (typeof answer?.Username === 'string' && typeof answer.Secret === 'string' && answer.Secret !== '')
    return { username: answer.Username, secret: answer.Secret };
  return null;
}

/** @throws StoreError CREDENTIALS_INVALID */
export async function storeWithHelper(
  helper: Helper,
  server: string,
  login: HelperAnswer,
  env: Environment,
): Promise<void> {
  const text = JSON.stringify({ ServerURL: server, Username: login.username, Secret: login.secret });
  const { code, stdout } = await runHelper(helper, 'store', text, env);
  if (code !== 0) throw failed(helper, 'store', code, stdout);
}

/** @throws StoreError CREDENTIALS_INVALID */
export async function eraseWithHelper(helper: Helper, server: string, env: Environment): Promise<void> {
  const { code, stdout } = await runHelper(helper, 'erase', server, env);
  if (code !== 0 && !/credentials not found/i.test(stdout)) throw failed(helper, 'erase', code, stdout);
}

function programOf({ name, path }: Helper): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name)) return `docker-credential-${name}`;
  throw new StoreError('CREDENTIALS_INVALID', {
    message: `${path} names a credential helper ${JSON.stringify(name)}, which is no program's name`,
    hint: 'mend its credHelpers or credsStore',
  });
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
}

const maxAnswer = 65_536;

async function runHelper(helper: Helper, action: string, input: string, env: Environment): Promise<Ended> {
  const program = programOf(helper);
  const { spawn } = await import('node:child_process');
  return new Promise((resolve, reject) => {
    // A group of its own: what it started goes with it.
    const child = spawn(program, [action], { stdio: ['pipe', 'pipe', 'ignore'], env: { ...env }, detached: true });
    let stdout = '';
    const end = (error: StoreError | null, ended: Ended): void => {
      clearTimeout(timer);
      child.stdout.destroy();
      if (error === null) resolve(ended);
      else reject(error);
    };
    const kill = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    };
    const timer = setTimeout(() => {
      kill();
      const seconds = Math.ceil(helper.timeoutMs / 1000);
      end(
        invalid(
          helper,
          `${program} ${action} did not answer within ${seconds} s`,
          `run '${program} ${action}' to see why`,
        ),
        none,
      );
    }, helper.timeoutMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      if (stdout.length <= maxAnswer) return;
      kill();
      end(invalid(helper, `${program} answers without end`, `run '${program} ${action}' to see it`), none);
    });
    child.stdin.on('error', () => {}); // it may answer without reading
    child.on('error', (cause) =>
      end(
        invalid(helper, `${program} can't be started: ${cause.message}`, 'install it, or take it out of that file'),
        none,
      ),
    );
    child.on('close', (code) => end(null, { code, stdout }));
    child.stdin.end(`${input}\n`);
  });
}

const none: Ended = { code: null, stdout: '' };

/** What it printed is its message, unless it looks like what it keeps. */
function failed(helper: Helper, action: string, code: number | null, stdout: string): StoreError {
  const said = /[{}]/.test(stdout) ? '' : plainText(stdout, 200);
  const program = programOf(helper);
  const ending = code === null ? 'it was killed' : `exit code ${code}`;
  return invalid(
    helper,
    `${program} ${action} failed (${ending})${said && `: ${said}`}`,
    `run '${program} ${action}' to see why`,
  );
}

function invalid({ path }: Helper, message: string, hint: string): StoreError {
  return new StoreError('CREDENTIALS_INVALID', { message: `${message}; ${path} names it`, hint });
}
