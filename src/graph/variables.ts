// Which variables have which value where.
import type { Platform } from '#store';
import { BuildError, closest, type Span } from '../base/index.js';
import {
  type Buildfile,
  type ExpandOptions,
  ExpansionError,
  expandWord,
  expandWords,
  type Lookup,
  type Word,
} from '../buildfile/index.js';
import type { PlanOptions } from './options.js';

/** @throws BuildError VARIABLE_INVALID, VARIABLE_REQUIRED */
export function expand(word: Word, lookup: Lookup, options: ExpandOptions): string {
  return located(word.at, () => expandWord(word.text, lookup, options));
}

/** The words that `word` is once its variables have values. @throws BuildError VARIABLE_INVALID, VARIABLE_REQUIRED */
export function expandToWords(word: Word, lookup: Lookup, options: ExpandOptions): string[] {
  return located(word.at, () => expandWords(word.text, lookup, options));
}

/** The word with what can be expanded, for people to read. */
export function expandForDisplay(text: string, lookup: Lookup, options: ExpandOptions): string {
  try {
    return expandWord(text, lookup, options);
  } catch (error) {
    if (error instanceof ExpansionError) return text;
    throw error;
  }
}

/** Values of ARGs before the first FROM and of the platform arguments: what FROM may use, and what a bare ARG takes. */
export function globalVariables(file: Buildfile, options: PlanOptions): ReadonlyMap<string, string> {
  const targetName = options.target ?? file.stages.at(-1)?.from.name;
  const variables = new Map<string, string>([
    ...platformVariables('BUILD', options.buildPlatform),
    ...platformVariables('TARGET', options.platform),
    ['TARGETSTAGE', targetName || 'default'],
  ]);
  for (const [name, value] of options.buildArgs) if (variables.has(name)) variables.set(name, value);
  for (const { args } of file.globalArgs) {
    for (const { name, value } of args) {
      const given = options.buildArgs.get(name);
      if (given !== undefined) variables.set(name, given);
      else if (value) {
        variables.set(
          name,
          expand(value, (used) => variables.get(used), { escapeChar: file.escapeChar }),
        );
      }
    }
  }
  if (options.epochSec === null) variables.delete('SOURCE_DATE_EPOCH');
  else if (options.epochSec !== undefined && variables.has('SOURCE_DATE_EPOCH')) {
    variables.set('SOURCE_DATE_EPOCH', String(options.epochSec));
  }
  return variables;
}

/**
 * Proxy settings given as build arguments: steps see them under both spellings, whether declared or not.
 * They are in no cache key and no history, for they say where a build runs, not what it makes.
 */
export function proxyVariables(buildArgs: ReadonlyMap<string, string>): [name: string, value: string][] {
  const found = new Map<string, string>();
  for (const [name, value] of buildArgs) {
    if (!isProxy(name)) continue;
    found.set(name.toUpperCase(), value);
    found.set(name.toLowerCase(), value);
  }
  return [...found];
}

/** A warning for each build argument that nothing in the Buildfile declares. */
export function unusedArguments(
  buildArgs: ReadonlyMap<string, string>,
  declared: ReadonlySet<string>,
): { code: string; message: string; at: undefined; hint: string | undefined }[] {
  const unused = [...buildArgs.keys()].filter((name) => !declared.has(name) && !isPredefined(name));
  return unused.map((name) => {
    const near = closest(name, declared);
    return {
      code: 'BUILD_ARG_UNUSED',
      message: `no ARG declares the build argument ${name}`,
      at: undefined,
      hint: near ? `did you mean ${near}?` : `add 'ARG ${name}' to the stage that uses it`,
    };
  });
}

const scanContext = 'BUILDKIT_SBOM_SCAN_CONTEXT';
const scanStage = 'BUILDKIT_SBOM_SCAN_STAGE';

/** Arguments that say what an SBOM scanner shall look at: no variables, as with BuildKit. */
export function isForScanners(name: string): boolean {
  return name === scanContext || name === scanStage;
}

/** What they say of a stage: true, false, or the names of the stages that are meant. Given ones count undeclared, too. */
export function scanOf(
  stage: string | null,
  args: ReadonlyMap<string, string | null>,
  buildArgs: ReadonlyMap<string, string>,
): { readonly stage: boolean; readonly context: boolean } {
  const wants = (name: string): boolean => {
    const value = args.get(name) ?? buildArgs.get(name) ?? '';
    return /^(1|t|T|TRUE|true|True)$/.test(value) || (stage !== null && value.split(',').includes(stage));
  };
  return { stage: wants(scanStage), context: wants(scanContext) };
}

function platformVariables(prefix: string, { os, architecture, variant }: Platform): [string, string][] {
  return [
    [`${prefix}PLATFORM`, [os, architecture, ...(variant ? [variant] : [])].join('/')],
    [`${prefix}OS`, os],
    [`${prefix}OSVERSION`, ''],
    [`${prefix}ARCH`, architecture],
    [`${prefix}VARIANT`, variant ?? ''],
  ];
}

function isProxy(name: string): boolean {
  return /^(http|https|ftp|no|all)_proxy$/i.test(name);
}

function isPredefined(name: string): boolean {
  return (
    isProxy(name) ||
    /^(BUILDKIT_\w+|SOURCE_DATE_EPOCH|TARGETSTAGE|(BUILD|TARGET)(PLATFORM|OS|OSVERSION|ARCH|VARIANT))$/.test(name)
  );
}

function located<T>(at: Span, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof ExpansionError)) throw error;
    throw new BuildError(error.required ? 'VARIABLE_REQUIRED' : 'VARIABLE_INVALID', {
      message: error.message,
      hint: error.required ? 'give it with --build-arg, or set it with ENV or ARG' : quoteHint(error.message),
      at,
    });
  }
}

function quoteHint(message: string): string | undefined {
  return message.includes('never closed') && !message.includes('{')
    ? 'words are split at blanks even inside quotes here; use the JSON form, as in ["a b", "c/"]'
    : undefined;
}
