// Options of the form 'type=image,name=app:1': fields between commas, as in a line of CSV.
import { UsageError } from './cli.js';

/**
 * A field in double quotes may hold commas; two of them stand for one.
 *
 * @throws UsageError for quotes that are never closed
 */
export function splitFields(option: string, text: string): string[] {
  const fields: string[] = [];
  let field = '';
  let at = 0;
  while (at < text.length) {
    const char = text[at]!;
    if (char === '"' && field === '') {
      const [quoted, end] = readQuoted(option, text, at + 1);
      field = quoted;
      at = end;
    } else if (char === ',') {
      fields.push(field);
      field = '';
      at += 1;
    } else {
      field += char;
      at += 1;
    }
  }
  return [...fields, field];
}

function readQuoted(option: string, text: string, start: number): [value: string, end: number] {
  let value = '';
  for (let at = start; at < text.length; at++) {
    if (text[at] !== '"') value += text[at];
    else if (text[at + 1] !== '"') return [value, at + 1];
    else {
      value += '"';
      at += 1;
    }
  }
  throw new UsageError('USAGE', {
    message: `${option} ${text}: a quote is never closed`,
    hint: 'close it, or leave it out: only fields with commas need quotes',
  });
}

/** @throws UsageError */
export function booleanField(option: string, name: string, value: string): boolean {
  if (['', '1', 't', 'true'].includes(value.toLowerCase())) return true;
  if (['0', 'f', 'false'].includes(value.toLowerCase())) return false;
  throw new UsageError('USAGE', {
    message: `${option}: ${name} is true or false, not ${JSON.stringify(value)}`,
    hint: `write ${name}=true`,
  });
}
