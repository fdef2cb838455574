// --call and --check: what is asked of a build instead of doing it.
import { closest } from '../base/index.js';
import type { BuildOptions } from './build-options.js';
import { UsageError } from './cli.js';
import { booleanField, splitFields } from './fields.js';

export interface Call {
  readonly method: 'check' | 'outline' | 'targets';
  readonly format: 'text' | 'json';
  /** Findings end with exit code 0, too. */
  readonly ignoreStatus: boolean;
}

const methods = ['build', 'check', 'outline', 'targets'] as const;

/** Null: the build itself. @throws UsageError */
export function methodCalled({ call, check = false }: BuildOptions): Call | null {
  const called = parse(call ?? (check ? 'check' : 'build'));
  if (check && called.method !== 'check') {
    throw new UsageError('USAGE', {
      message: `--check and --call=${called.method} don't go together`,
      hint: '--check is --call=check: leave out one of the two',
    });
  }
  const { method, ...rest } = called;
  return method === 'build' ? null : { method, ...rest };
}

/** 'check,format=json,ignorestatus=true': the method, and fields. */
function parse(text: string): Omit<Call, 'method'> & { readonly method: (typeof methods)[number] } {
  let method: string | undefined;
  let format: Call['format'] = 'text';
  let ignoreStatus = false;
  for (const field of splitFields('--call', text)) {
    const [key = '', value] = field.split(/=(.*)/s, 2);
    if (value === undefined && method === undefined) method = key;
    else if (key === 'format' && value !== undefined) format = requireFormat(value);
    else if (key === 'ignorestatus' && value !== undefined) ignoreStatus = booleanField('--call', key, value);
    else throw unknownField(field);
  }
  return { method: requireMethod(method ?? ''), format, ignoreStatus };
}

function requireMethod(name: string): (typeof methods)[number] {
  const found = methods.find((method) => method === (name === 'lint' ? 'check' : name));
  if (found !== undefined) return found;
  const near = closest(name, methods);
  throw new UsageError('USAGE', {
    message: name === '' ? '--call names no method' : `--call does not know ${JSON.stringify(name)}`,
    hint:
      near === undefined ? `it takes ${methods.slice(0, -1).join(', ')} or ${methods.at(-1)}` : `did you mean ${near}?`,
  });
}

function requireFormat(value: string): Call['format'] {
  if (value === 'json' || value === 'text') return value;
  throw new UsageError('USAGE', {
    message: `--call: there is no format ${JSON.stringify(value)}`,
    hint: 'write format=json; text is what comes without',
  });
}

function unknownField(field: string): UsageError {
  return new UsageError('USAGE', {
    message: `--call: ${field} is no field`,
    hint: 'write --call=METHOD,format=json; ignorestatus=true gives exit code 0 in any case',
  });
}
