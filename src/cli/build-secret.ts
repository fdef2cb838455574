// --secret: what RUN --mount=type=secret gets.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { keyAndValue, whyUnreadable } from './build-values.js';
import { UsageError } from './cli.js';

const secretFields = ['id', 'src', 'source', 'env', 'type'];
const secretForm = 'id=NAME,src=FILE or id=NAME,env=VARIABLE';

/** 'id=npmrc,src=/home/me/.npmrc' or 'id=token,env=TOKEN'; the file is read now, so that a missing one is said at once. */
export function secret(text: string, env: NodeJS.ProcessEnv): [string, Buffer] {
  const fields = new Map(text.split(',').map((field) => keyAndValue(field, '--secret', secretForm)));
  const unknown = [...fields.keys()].find((key) => !secretFields.includes(key));
  if (unknown !== undefined) throw badSecret(text, `there is no field ${unknown}`, `write --secret ${secretForm}`);
  const file = fields.get('src') ?? fields.get('source');
  const variable = fields.get('env');
  const id = fields.get('id') ?? (file === undefined ? variable : basename(file));
  if (id === undefined || id === '') throw badSecret(text, 'there is no id', `write --secret ${secretForm}`);
  if (variable === undefined && file !== undefined) return [id, readSecret(id, file)];
  const value = env[variable ?? id];
  if (value !== undefined) return [id, Buffer.from(value)];
  throw badSecret(id, `the environment has no ${variable ?? id}`, 'set it, or give src=FILE');
}

function readSecret(id: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw badSecret(id, `${file} can't be read: ${whyUnreadable(error)}`, 'check src=');
  }
}

function badSecret(shown: string, problem: string, hint: string): UsageError {
  return new UsageError('USAGE', { message: `--secret ${shown}: ${problem}`, hint });
}
