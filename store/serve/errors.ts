// What a client is told when its request fails. @see OCI distribution-spec v1.1, "Error Codes"
import { isReadFailure } from '../damage.js';
import { StoreError } from '../errors.js';

type Code =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'UNAUTHORIZED'
  | 'DENIED'
  | 'UNSUPPORTED'
  | 'TOOMANYREQUESTS'
  | 'UNAVAILABLE'
  | 'UNKNOWN';

export class RequestError extends Error {
  readonly status: number;
  readonly code: Code;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: Code, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.name = 'RequestError';
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

export function errorBody({ code, message }: RequestError): string {
  return `${JSON.stringify({ errors: [{ code, message, detail: null }] })}\n`;
}

/** What the store says of its own state, in a registry's words; null for a bug. */
export function asRequestError(error: unknown): RequestError | null {
  if (error instanceof RequestError) return error;
  if (!(error instanceof StoreError)) return null;
  const { code, message } = error;
  if (code === 'STORE_FULL') return new RequestError(507, 'UNAVAILABLE', 'the registry has no space left');
  if (code === 'STORE_READ_ONLY') return readOnly();
  // Its words have paths of this machine in them.
  if (code.startsWith('STORE_')) return new RequestError(503, 'UNAVAILABLE', `the registry's store failed (${code})`);
  // It may be readable again, or mended: nobody needs to push it yet.
  if (isReadFailure(error.cause)) return new RequestError(503, 'UNAVAILABLE', `the registry's disk failed (${code})`);
  if (code === 'DIGEST_INVALID') return new RequestError(400, 'DIGEST_INVALID', message);
  if (code === 'BLOB_DAMAGED' || code === 'BLOB_MISSING') {
    return new RequestError(404, 'MANIFEST_UNKNOWN', 'its bytes are lost: push it again');
  }
  return new RequestError(400, 'MANIFEST_INVALID', message);
}

export function readOnly(): RequestError {
  return new RequestError(405, 'UNSUPPORTED', 'this registry is read-only');
}
