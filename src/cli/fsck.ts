// tsbuild fsck: every object of the store against what it should be.
//   0 nothing is wrong, or all of it was repaired · 1 something is wrong · 2 the command line was wrong
import { type Command, Option } from 'commander';
import {
  type CheckReport,
  checkStore,
  type Finding,
  familiarName,
  fetchFromRegistries,
  type ReadProgress,
} from '#store';
import { layerRecord, tarHeads } from '../platform/index.js';
import { shortId } from './cache-filter.js';
import { type Cli, defaultStore, UsageError } from './cli.js';
import { humanBytes } from './table.js';

interface FsckOptions {
  readonly repair?: boolean;
  readonly readData?: string | true;
  readonly fetch: boolean;
  readonly plainHttp?: boolean;
  readonly format: 'table' | 'json';
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .option('--repair', 'mend what can be mended, put the rest into quarantine')
    .option(
      '--read-data [part]',
      'read every byte and hold it against its digest; or a part of all: 5% by chance, 2/7 in turn',
    )
    .option('--no-fetch', 'with --repair: ask no registry for what is lost (also: --offline)')
    .addOption(new Option('--offline', 'as --no-fetch').hideHelp())
    .option('--plain-http', 'with --repair: speak plain HTTP to a registry that is not on this machine')
    .addOption(new Option('--format <kind>', 'how to print').choices(['table', 'json']).default('table'))
    .addHelpText(
      'after',
      `
Safe beside running builds. Without --repair nothing is changed. Nothing is ever deleted that is not made again by itself:
what is damaged and can't be had again lies in the store's quarantine/ until 'tsbuild gc --quarantine'.

exit code: 0 nothing is wrong or all of it was repaired, 1 something is wrong, 2 the command line is

examples:
  tsbuild fsck
  tsbuild fsck --read-data
  tsbuild fsck --read-data=5%
  tsbuild fsck --repair`,
    );
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<FsckOptions & { readonly offline?: boolean }>();
  const progress = readProgress(cli);
  const asks = options.fetch && !options.offline;
  const report = await checkStore(options.store ?? defaultStore(cli.env), {
    repair: options.repair,
    readData: chosenData(options.readData),
    fetch: asks ? fetchFromRegistries({ plainHttp: options.plainHttp === true ? true : undefined }) : undefined,
    host: () => cli.openHost(),
    machines: (layer) => layerRecord(tarHeads(layer.tarPath)),
    onProgress: progress.show,
  });
  progress.end();
  cli.out(options.format === 'json' ? `${JSON.stringify(report)}\n` : asText(report, options.repair === true));
  return report.ok ? 0 : 1;
}

/** @throws UsageError */
function chosenData(part: string | true | undefined): boolean | ((digest: string) => boolean) {
  if (part === undefined || part === true) return part ?? false;
  const [, percent] = /^(\d+(?:\.\d+)?)%$/.exec(part) ?? [];
  if (percent !== undefined && Number(percent) > 0 && Number(percent) <= 100) {
    return () => Math.random() * 100 < Number(percent);
  }
  const [, number = 0, count = 0] = (/^(\d+)\/(\d+)$/.exec(part) ?? []).map(Number);
  if (number >= 1 && number <= count) {
    return (digest) => Number.parseInt(digest.slice(-8), 16) % count === number - 1;
  }
  throw new UsageError('USAGE', {
    message: `--read-data ${part} is no part of all data`,
    hint: 'as in --read-data=5%, or --read-data=1/7 on the first of seven days',
  });
}

/** One line that moves on a terminal; in a log one every ten seconds. */
function readProgress(cli: Cli): { readonly show: (progress: ReadProgress) => void; readonly end: () => void } {
  const isTerminal = process.stderr.isTTY === true;
  const startedMs = performance.now();
  let shownMs = startedMs;
  let isOpen = false;
  return {
    show: ({ doneBytes, totalBytes }) => {
      const nowMs = performance.now();
      if (nowMs - shownMs < (isTerminal ? 200 : 10_000)) return;
      shownMs = nowMs;
      const perSecond = doneBytes / ((nowMs - startedMs) / 1000);
      const text = `read ${humanBytes(doneBytes)} of ${humanBytes(totalBytes)}, ${humanBytes(Math.round(perSecond))}/s`;
      cli.err(isTerminal ? `\r\x1b[K${text}` : `${text}\n`);
      isOpen = isTerminal;
    },
    end: () => {
      if (isOpen) cli.err('\r\x1b[K');
    },
  };
}

function asText(report: CheckReport, repair: boolean): string {
  const { findings, checked, quarantine, ok } = report;
  const parts = findings.map((finding) => `${described(finding)}\n`);
  if (quarantine.length > 0) {
    const bytes = humanBytes(quarantine.reduce((sum, each) => sum + each.bytes, 0));
    const what = `${counted(quarantine.length, 'object')}, ${bytes}`;
    parts.push(`in quarantine: ${what} ('tsbuild gc --quarantine' removes them)\n`);
  }
  const problems = findings.filter(({ severity }) => severity === 'problem');
  const mended = problems.filter(({ outcome }) => outcome !== null && outcome.result !== 'failed');
  const { layers, trees, blobs, tags } = checked;
  const counts = [counted(layers, 'layer'), counted(trees, 'tree'), counted(blobs, 'blob'), counted(tags, 'tag')];
  const verdict = problems.length === 0 ? 'no problems' : counted(problems.length, 'problem');
  const rest = problems.length > 0 && repair ? `, ${mended.length} mended` : '';
  const leftovers = findings.length - problems.length;
  const more = leftovers === 0 ? '' : `, ${counted(leftovers, 'leftover')}${repair ? '' : ' (harmless)'}`;
  parts.push(`checked ${counts.join(', ')}: ${verdict}${rest}${more}\n`);
  if (!ok && !repair) parts.push("'tsbuild fsck --repair' mends what can be mended\n");
  return parts.join('');
}

/** What was found, who needs it, and what to do or what was done: a line each. */
function described(finding: Finding): string {
  const { kind, code, message, neededBy, outcome, remedy } = finding;
  const needed = neededBy.length === 0 ? '' : `, needed by ${neededBy.map(familiarName).join(', ')}`;
  const cure = outcome === null ? remedy : `${outcome.result}: ${outcome.message}`;
  return `${kind} ${nameOf(finding)}: ${code.toLowerCase()}${needed}\n  ${message}\n  ${cure}\n`;
}

function nameOf({ object, kind }: Finding): string {
  if (kind === 'tag' && !object.endsWith('.json')) return familiarName(object);
  return object.startsWith('sha256:') ? shortId(object) : object;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
