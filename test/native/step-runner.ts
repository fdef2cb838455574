// Runs steps in a process of its own, so that it can have another user or be killed: a request a line on stdin, a reply a
// line on stdout, the step's output on stderr as it comes if asked for. Bundled by step-lab.ts.
import { createInterface } from 'node:readline';
import { CodedError, openHost, type StepSpec, SystemError } from '../../native/index.js';

export interface RunnerRequest {
  readonly id: number;
  readonly spec: StepSpec;
  readonly abortAfterMs?: number;
}

export interface RunnerReply {
  readonly id: number;
  readonly exit?: {
    readonly exitCode: number;
    readonly signal: string | null;
    readonly maxRssBytes: number;
  };
  readonly error?: { readonly code: string; readonly message: string; readonly errno?: string; readonly hint?: string };
  readonly stdout: string;
  readonly stderr: string;
}

const host = await openHost();
const input = createInterface({ input: process.stdin });
const running: Promise<void>[] = [];
for await (const line of input) running.push(run(JSON.parse(line, reviveBytes)));
await Promise.all(running);
await host.close();

async function run({ id, spec, abortAfterMs }: RunnerRequest): Promise<void> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const abort = new AbortController();
  if (abortAfterMs !== undefined) setTimeout(() => abort.abort(), abortAfterMs).unref();
  const handlers = {
    onStdout: (chunk: Buffer) => {
      out.push(chunk);
      if (process.env.STEP_FOLLOW) process.stderr.write(chunk);
    },
    onStderr: (chunk: Buffer) => err.push(chunk),
    signal: abort.signal,
  };
  const ended = await host.runStep(spec, handlers).then(
    (exit) => ({ exit }),
    (error: unknown) => ({ error: describe(error) }),
  );
  const streams = { stdout: Buffer.concat(out).toString('latin1'), stderr: Buffer.concat(err).toString('latin1') };
  process.stdout.write(`${JSON.stringify({ id, ...ended, ...streams })}\n`);
}

function reviveBytes(_: string, value: { type?: string; data?: number[] }): unknown {
  return value?.type === 'Buffer' ? Buffer.from(value.data ?? []) : value;
}

function describe(error: unknown): object {
  if (!(error instanceof CodedError)) return { code: 'BUG', message: String(error) };
  const errno = error instanceof SystemError ? error.errno : undefined;
  return { code: error.code, message: error.message, hint: error.hint, errno };
}
