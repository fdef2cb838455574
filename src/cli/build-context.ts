// The context that the command line names, and the Buildfile that goes with it.
import { createReadStream, statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import type { BuildSource } from '../build/index.js';
import { gitRepository, isDirectory, remoteFiles } from './build-values.js';
import { UsageError } from './cli.js';
import { readBuildfile } from './read-buildfile.js';

/** @param file what -f says @throws UsageError, BuildError BUILDFILE_… */
export function buildSource(context: string, file: string | undefined): BuildSource {
  if (context === '-') return fromStandardInput(file);
  if (isDirectory(context)) {
    const { source, path } = readBuildfile(file, context);
    return { kind: 'directory', buildfile: source, buildfilePath: path, contextDir: context };
  }
  const from = remoteFiles('the context', context) ?? shortGitHub(context);
  if (from !== null) return { kind: 'fetched', from, ...buildfileOf(file) };
  if (statSync(context, { throwIfNoEntry: false })?.isFile()) {
    const archive = { kind: 'stream', stream: createReadStream(context), path: context } as const;
    return { kind: 'fetched', from: archive, ...buildfileOf(file) };
  }
  throw new UsageError('USAGE', {
    message: `there is no directory ${context}`,
    hint: 'the context is the directory that COPY reads from, such as . ; a Buildfile is named with -f',
  });
}

function fromStandardInput(file: string | undefined): BuildSource {
  if (file === '-') {
    throw new UsageError('USAGE', {
      message: 'standard input can not be both the context and the Buildfile',
      hint: 'give a directory as the context, or a Buildfile in the archive',
    });
  }
  if (process.stdin.isTTY) {
    throw new UsageError('USAGE', {
      message: 'the context is standard input, which is a terminal',
      hint: 'send a Buildfile or a tar there: tsbuild build - <FILE',
    });
  }
  return { kind: 'fetched', from: { kind: 'stream', stream: process.stdin, path: null }, ...buildfileOf(file) };
}

/** In the context; of this machine where the path is absolute, or on standard input. */
function buildfileOf(file: string | undefined): Pick<Extract<BuildSource, { kind: 'fetched' }>, 'given' | 'file'> {
  if (file === undefined || (file !== '-' && !isAbsolute(file))) return { given: null, file };
  const { source, path } = readBuildfile(file, '.');
  return { given: { buildfile: source, buildfilePath: path }, file: undefined };
}

/** 'github.com/owner/name' could be a directory, too: contexts only may be given so. */
function shortGitHub(text: string): Extract<BuildSource, { kind: 'fetched' }>['from'] | null {
  if (!text.startsWith('github.com/')) return null;
  const [, place = '', rest = ''] = /^([^#?]*)(.*)$/s.exec(text) ?? [];
  const url = `https://${place.replace(/(\.git)?$/, '.git')}${rest}`;
  const repository = gitRepository('the context', url);
  return repository && { kind: 'git', repository };
}
