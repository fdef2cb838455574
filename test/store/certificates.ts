// Certificates for the tests, made by openssl.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** DIR/NAME.pem and DIR/NAME-key.pem; signed by `issuer`, or by itself. @param names 'IP:127.0.0.1,DNS:registry.test' */
export function certificate(
  dir: string,
  name: string,
  { names, issuer }: { names?: string; issuer?: Certificate } = {},
): Certificate {
  const made = { cert: join(dir, `${name}.pem`), key: join(dir, `${name}-key.pem`) };
  const signed = issuer === undefined ? [] : ['-CA', issuer.cert, '-CAkey', issuer.key];
  const alternative = names === undefined ? [] : ['-addext', `subjectAltName=${names}`];
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', `/CN=${name}`, '-keyout', made.key, '-out', made.cert, ...alternative, ...signed],
    ],
    { stdio: 'pipe' },
  );
  return made;
}
