// What a registry's refusal means to a person.
import { StoreError } from '../errors.js';
import { plainText } from '../image/plain-text.js';
import { type HttpRequest, type HttpResponse, readBody } from './http-client.js';
import { parseRetryAfter, TransientError } from './retry.js';

/** Whom was asked, and as whom. */
export interface Asked {
  readonly name: string;
  readonly repository: string;
  readonly origin: URL;
  /** Which login was sent, and where it was found. */
  readonly login: string;
}

/** A status that may pass by itself is a TransientError. */
export async function refusal(asked: Asked, request: HttpRequest, response: HttpResponse): Promise<Error> {
  const { status } = response;
  const errors = await readBody(response, 64 * 1024).then(saidErrors, () => []);
  const said = errors.length === 0 ? '' : `: ${plainText(errors.map(({ text }) => text).join('; '))}`;
  // Of an upload's address the query is the registry's own affair, and may hold what admits to it.
  const message = `${request.method} ${request.url.origin}${request.url.pathname.slice(0, 300)}: HTTP ${status}${said}`;
  const retryAfterMs = parseRetryAfter(response.headers['retry-after'], Date.now());
  if (status === 429 || errors.some(({ code }) => code === 'TOOMANYREQUESTS')) {
    return new TransientError(rateLimited(asked, message, retryAfterMs), retryAfterMs);
  }
  const error = new StoreError(codes[status] ?? 'REGISTRY_ANSWER_INVALID', { message, hint: hintFor(asked, status) });
  const transient = status === 408 || status >= 500;
  return transient ? new TransientError(error, retryAfterMs) : error;
}

const codes: Readonly<Record<number, string>> = {
  401: 'REGISTRY_UNAUTHORIZED',
  403: 'REGISTRY_DENIED',
  404: 'REGISTRY_NOT_FOUND',
  413: 'REGISTRY_UPLOAD_TOO_LARGE',
};

function hintFor({ name, repository, origin, login }: Asked, status: number): string | undefined {
  switch (status) {
    case 401:
      return `${login}; log in with 'tsbuild login ${name}', and check the name: of what is not there many say the same`;
    case 403:
      return `${login}; check that it has the right to do this with ${repository}, or log in with 'tsbuild login ${name}'`;
    case 404:
      return 'check the name and the tag';
    case 400:
      return origin.protocol === 'http:' ? 'if it speaks TLS, do not ask for plain HTTP' : undefined;
    case 413:
      return 'a proxy before the registry takes no uploads of that size: its limit has to be raised';
    default:
      return undefined;
  }
}

function rateLimited({ name, login }: Asked, message: string, retryAfterMs: number | undefined): StoreError {
  const wait = retryAfterMs === undefined ? '' : `; it asks to wait ${Math.ceil(retryAfterMs / 1000)} s`;
  return new StoreError('REGISTRY_RATE_LIMITED', {
    message,
    hint: `${name} limits how often it is asked${wait}; ${login}`,
  });
}

interface SaidError {
  readonly code: string;
  readonly text: string;
}

/** 'CODE message' from the error format of the specification, or the text that came in its place (a proxy's page). */
function saidErrors(body: Buffer): SaidError[] {
  const text = body.toString('utf8');
  try {
    const answer = JSON.parse(text) as { errors?: unknown; message?: unknown } | null;
    if (Array.isArray(answer?.errors)) return answer.errors.map(saidError);
  } catch {
    // Its start says enough.
  }
  const bare = text.replace(/<(style|script)[\s\S]*?<\/\1>|<[^>]*>/gi, ' ');
  return plainText(bare) === '' ? [] : [{ code: '', text: bare }];
}

function saidError(error: { code?: unknown; message?: unknown } | null): SaidError {
  const code = String(error?.code ?? '');
  return { code: code.toUpperCase(), text: `${code} ${String(error?.message ?? '')}`.trim() };
}
