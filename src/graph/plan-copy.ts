import { posix } from 'node:path';
import { BuildError } from '../base/index.js';
import type { CopyInstruction, Word } from '../buildfile/index.js';
import { namedOrigins } from './named-origin.js';
import { planSources } from './remote-source.js';
import { addHistory, fileSource, lookupIn, type PlanContext, type StageState, stepName } from './stage-state.js';
import type { FileSource } from './types.js';
import { expand, expandForDisplay } from './variables.js';

/** @throws BuildError STAGE_NOT_FOUND, NOT_SUPPORTED, FLAG_INVALID, VARIABLE_INVALID */
export function planCopy(context: PlanContext, state: StageState, copy: CopyInstruction, onbuild: boolean): void {
  const text = (word: Word): string => expand(word, lookupIn(state), context.expandOptions);
  const optional = (word: Word | null): string | null => (word ? text(word) || null : null);
  const sources = planSources(copy, text);
  const dest = text(copy.dest);
  const chown = optional(copy.chown);
  const chmod = optional(copy.chmod);
  if (chmod !== null) requireMode(chmod, copy.chmod!);

  const vertex = context.add({
    kind: 'copy',
    name: stepName(state.steps, nameOf(context, state, copy), onbuild),
    at: copy.at,
    platform: state.platform,
    instruction: copy.keyword,
    parent: state.vertex,
    from: sourceOf(context, state, copy),
    sources,
    inline: copy.inline.map(({ name, content, expand: expands }) => ({
      name,
      content: expands ? expandContent(copy, content, lookupIn(state)) : content,
    })),
    dest: destination(state.config.WorkingDir ?? '/', dest),
    chown,
    chmod,
    exclude: copy.exclude.map(text),
    unpack: copy.unpack?.on ?? null,
    parents: copy.parents?.on ?? false,
    // BuildKit merges no layers for what it changes the mode of: then --link means nothing.
    link: (copy.link?.on ?? false) && chmod === null,
    epochSec: context.options.epochSec ?? null,
  });
  state.vertex = vertex;
  const flags = [
    ...(copy.parents?.on ? ['--parents'] : []),
    ...(chown === null ? [] : [`--chown=${chown}`]),
    ...(chmod === null ? [] : [`--chmod=${chmod}`]),
  ];
  const names = [...sources.map((source) => source.pattern), ...copy.inline.map(({ name }) => `<<${name}`)];
  addHistory(state, `${[copy.keyword, ...flags, ...names, dest].join(' ')} # buildkit`, vertex);
}

const symbolicMode = /^[ugoa]*([-+=]([rwxXst]*|[ugo]))+(,[ugoa]*([-+=]([rwxXst]*|[ugo]))+)*$/;

function requireMode(mode: string, word: Word): void {
  if (/^[0-7]+$/.test(mode) ? Number.parseInt(mode, 8) <= 0o7777 : symbolicMode.test(mode)) return;
  throw new BuildError('FLAG_INVALID', {
    message: `--chmod is an octal mode up to 7777 or a change such as u=rwX,go=rX, not ${JSON.stringify(mode)}`,
    at: word.at,
  });
}

function sourceOf(context: PlanContext, state: StageState, copy: CopyInstruction): FileSource {
  const [named] = namedOrigins(copy);
  return named ? fileSource(context, state, named) : { kind: 'context', name: null };
}

/** A heredoc's content: quotes mean nothing in it, and the escape is always a backslash. */
function expandContent(copy: CopyInstruction, content: string, lookup: (name: string) => string | undefined): string {
  const at = copy.inline[0]?.at ?? copy.at;
  return expand({ text: content, at }, lookup, { escapeChar: '\\', ignoreQuotes: true });
}

/** Absolute; a slash at the end stays, for it says "directory". */
function destination(workingDir: string, dest: string): string {
  const directory = dest === '' || dest === '.' || dest === '..' || /\/\.{0,2}$/.test(dest);
  const path = posix.resolve('/', workingDir, dest);
  return directory && path !== '/' ? `${path}/` : path;
}

function nameOf(context: PlanContext, state: StageState, copy: CopyInstruction): string {
  const text = copy.source.replace(/^\S+/, copy.keyword);
  return expandForDisplay(text, lookupIn(state), context.expandOptions);
}
