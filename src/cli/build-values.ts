// The values of build's options: what their texts mean, and what is wrong with them.
import { statSync } from 'node:fs';
import { parseReference } from '#store';
import { CodedError, type GitRepository, isHttpUrl, parseGitUrl } from '../base/index.js';
import type { NamedContext, RemoteFiles } from '../build/index.js';
import { UsageError } from './cli.js';

/** What an option's text means; what is wrong with it is a mistake of the command line. @throws UsageError */
export function given<T>(option: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    throw new UsageError('USAGE', { message: `${option} ${text}: ${error.message}`, hint: error.hint, cause: error });
  }
}

/** The name as it was given. */
export function imageName(text: string): string {
  if (parseReference(text).digest === undefined) return text;
  throw new UsageError('USAGE', {
    message: 'an image has its digest from its content, no name can set it',
    hint: `write ${text.slice(0, text.indexOf('@'))}`,
  });
}

export function namedContext(text: string): [string, NamedContext] {
  const [name, source] = keyAndValue(text, '--build-context', 'NAME=DIR, NAME=IMAGE or NAME=URL');
  const remote = remoteFiles(`--build-context ${name}`, source);
  if (remote !== null) return [name, remote];
  if (source.startsWith('target:')) return [name, { kind: 'stage', stage: source.slice('target:'.length) }];
  if (source.startsWith('docker-image://'))
    return [name, { kind: 'image', ref: source.slice('docker-image://'.length) }];
  if (source.startsWith('oci-layout://')) return [name, { kind: 'image', ref: source }];
  if (isDirectory(source)) return [name, { kind: 'directory', dir: source }];
  if (/^[./]/.test(source)) {
    throw new UsageError('USAGE', {
      message: `--build-context ${name}: ${source} is no directory`,
      hint: 'give a directory, oci-layout://DIR[:tag], a URL, target:STAGE or the name of an image',
    });
  }
  return [name, { kind: 'image', ref: source }];
}

/** Null: the text means no repository. Its URL may hold a password: it is shown as the parser shows it. @throws UsageError */
export function gitRepository(option: string, text: string): GitRepository | null {
  try {
    return parseGitUrl(text);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    throw new UsageError('USAGE', { message: `${option}: ${error.message}`, hint: error.hint, cause: error });
  }
}

/** Null: the text is no URL. @throws UsageError */
export function remoteFiles(option: string, text: string): RemoteFiles | null {
  const repository = gitRepository(option, text);
  if (repository !== null) return { kind: 'git', repository };
  return isHttpUrl(text) ? { kind: 'url', url: text } : null;
}

export function buildArg(text: string, env: NodeJS.ProcessEnv): [string, string][] {
  if (text.includes('=')) return [keyAndValue(text, '--build-arg', 'NAME=VALUE')];
  const value = env[text];
  return value === undefined ? [] : [[text, value]]; // as docker: an unset variable leaves the ARG's default
}

/** As docker: a name alone is a label without text. */
export function label(text: string): [string, string] {
  return keyAndValue(text.includes('=') ? text : `${text}=`, '--label', 'NAME=VALUE');
}

/** @throws UsageError with the form that the option takes */
export function keyAndValue(text: string, option: string, form: string): [string, string] {
  const at = text.indexOf('=');
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new UsageError('USAGE', {
    message: at < 0 ? `${option} ${text}: there is no =` : `${option} ${text}: there is no name before the =`,
    hint: `write ${option} ${form}`,
  });
}

/** False where the way to it is closed to us, too. */
export function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Why a file could not be read, in words. */
export function whyUnreadable(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return reasons[code] ?? message;
}

const reasons: Readonly<Record<string, string>> = {
  EISDIR: 'it is a directory',
  EACCES: 'permission denied',
  ENOENT: 'there is no such file',
};
