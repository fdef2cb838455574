// Bounded retries for what goes over a network.

export interface RetryOptions {
  readonly attempts?: number;
  /** First pause; it doubles, with jitter, up to `maxPauseMs`. */
  readonly pauseMs?: number;
  readonly maxPauseMs?: number;
}

/** A failure that the next attempt may not meet: a reset connection, 429, 5xx. */
export class TransientError extends Error {
  /** What the server asked for in Retry-After. */
  readonly retryAfterMs: number | undefined;
  /** Thrown to the caller when no attempt is left. */
  readonly final: Error;

  constructor(final: Error, retryAfterMs?: number) {
    super(final.message, { cause: final });
    this.final = final;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Runs `attempt` until it succeeds, throws anything but a TransientError, or has failed too often. */
export async function withRetries<T>(options: RetryOptions, attempt: (n: number) => Promise<T>): Promise<T> {
  for (let n = 1; ; n += 1) {
    try {
      return await attempt(n);
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      if (n >= attemptsOf(options)) throw error.final;
      await pause(options, n, error);
    }
  }
}

export function attemptsOf(options: RetryOptions): number {
  return options.attempts ?? 6;
}

/** Waits before attempt n + 1. */
export async function pause(options: RetryOptions, n: number, error: TransientError): Promise<void> {
  const longest = options.maxPauseMs ?? 20_000;
  const backoff = Math.min(longest, (options.pauseMs ?? 250) * 2 ** (n - 1)) * (0.5 + Math.random() / 2);
  const pauseMs = error.retryAfterMs === undefined ? backoff : Math.min(longest, error.retryAfterMs);
  await new Promise((resolve) => setTimeout(resolve, pauseMs));
}

/** @see RFC 9110, 10.2.3: seconds or an HTTP date */
export function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d+$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}
