// What a failed connection means: what may pass (TransientError) and what won't.
import { StoreError } from '../errors.js';
import { plainText } from '../image/plain-text.js';
import { TransientError } from './retry.js';

const transientCodes: ReadonlySet<string | undefined> = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ECONNABORTED',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/** What a connection that is given up fails with. */
export function timedOut(problem: string): Error {
  return Object.assign(new Error(problem), { code: 'ETIMEDOUT' });
}

const meanings: Readonly<Record<string, string>> = {
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: "names can't be looked up at the moment",
  ECONNREFUSED: 'nothing listens there (connection refused)',
};

/** What a failed connection means. */
export function failure(url: URL, cause: NodeJS.ErrnoException): Error {
  if (cause instanceof StoreError || cause instanceof TransientError) return cause;
  const code = cause.code;
  if (code !== undefined && /^(CERT_|ERR_TLS_|ERR_SSL_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|EPROTO)/.test(code))
    return tlsFailure(url, cause);
  const error = new StoreError('REGISTRY_UNREACHABLE', {
    message: `${url.host}: ${meanings[code ?? ''] ?? (cause.message || code)}`,
    hint: 'check its name and port, and that this machine can reach it',
    cause,
  });
  return transientCodes.has(code) ? new TransientError(error) : error;
}

/** Node shows the certificate that it refuses. */
interface TlsError extends NodeJS.ErrnoException {
  readonly cert?: { readonly subjectaltname?: string };
}

function tlsFailure(url: URL, cause: TlsError): StoreError {
  const [problem, hint] = tlsMeaning(url, cause);
  return new StoreError('REGISTRY_TLS', { message: `${url.host}: ${problem}`, hint, cause });
}

function tlsMeaning({ host }: URL, { code = '', message, cert }: TlsError): [problem: string, hint: string] {
  const dir = `/etc/containers/certs.d/${host}`;
  if (code === 'EPROTO' || code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return ['it does not speak TLS', 'if it speaks plain HTTP, allow that for this command with --plain-http'];
  if (/ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|HANDSHAKE_FAILURE)/.test(code))
    return ['it asks for a client certificate', `put it beside its key, as ${dir}/client.cert and client.key`];
  if (/ALERT_(UNKNOWN_CA|CERTIFICATE_\w+|UNSUPPORTED_CERTIFICATE)/.test(code))
    return ['it does not accept our client certificate', `it came from certs.d/${host} or --cert-dir`];
  if (code === 'CERT_HAS_EXPIRED')
    return ['its certificate has expired', "have it renewed; check this machine's clock"];
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const names = plainText(cert?.subjectaltname ?? 'no name at all', 120);
    return [`its certificate is for another name (${names})`, 'use the name that the certificate has'];
  }
  return [
    message,
    `if you trust its certificate authority, put its PEM file at ${dir}/ca.crt, or name it in TSBUILD_EXTRA_CA_CERTS`,
  ];
}
