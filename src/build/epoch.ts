// SOURCE_DATE_EPOCH: what was asked for → seconds since 1970.
import { rawPath } from '#native';
import { BuildError, type Span } from '../base/index.js';
import type { Buildfile } from '../buildfile/index.js';
import { type AskedEpoch, askedEpoch, type PlanOptions, withEpoch } from '../graph/index.js';
import { type ContextsIo, openContexts } from './contexts.js';
import type { Output } from './output.js';
import type { BuildIo } from './request.js';

/** The end of the year 9999, which is as far as times are written. */
const maxSec = 253_402_300_799;

/**
 * The options with the epoch as a number. 'context' is the time of the youngest file of the build context, the name of
 * a context that of its youngest, of a git repository that of the commit. The name of a stage is the time of the one
 * thing that it takes from elsewhere.
 *
 * @throws BuildError EPOCH_INVALID, EPOCH_STAGE
 */
export async function resolveEpoch(file: Buildfile, options: PlanOptions, job: ContextsIo): Promise<PlanOptions> {
  const { request, io } = job;
  const asked = askedEpoch(file, options);
  const epochSec = asked === null ? null : await secondsOf(asked, file, withEpoch(options, null), job);
  if (epochSec === null && request.outputs.some(rewrites)) warnUselessRewrite(io);
  return withEpoch(options, epochSec);
}

async function secondsOf(
  { text, at }: AskedEpoch,
  file: Buildfile,
  options: PlanOptions,
  job: ContextsIo,
): Promise<number | null> {
  if (/^[+-]?\d+$/.test(text)) return inRange(Number(text), text, at);
  if (text === 'context') return youngest(null, job);
  const named = job.request.contexts.get(text)?.kind;
  if (named === 'directory' || named === 'git' || named === 'url') return youngest(text, job);
  const stage = file.stages.find(({ from }) => from.name === text.toLowerCase());
  if (stage !== undefined) {
    const { epochOfStage } = await import('./epoch-stage.js');
    return epochOfStage(file, options, stage, job);
  }
  throw new BuildError('EPOCH_INVALID', {
    message: `SOURCE_DATE_EPOCH is ${JSON.stringify(text)}`,
    hint: "give seconds since 1970 (as 'git log -1 --format=%ct' prints), 'context', or the name of a stage or of a --build-context that has files",
    at,
  });
}

function inRange(seconds: number, text: string, at: Span | undefined): number {
  if (seconds >= 0 && seconds <= maxSec) return seconds;
  throw new BuildError('EPOCH_INVALID', {
    message: `SOURCE_DATE_EPOCH is ${text}, which is no time from 1970 to 9999`,
    hint: 'give seconds, not milliseconds',
    at,
  });
}

function rewrites(output: Output): boolean {
  return 'form' in output && output.form.rewriteTimestamp;
}

/** Null if there are no files. */
async function youngest(name: string | null, io: ContextsIo): Promise<number | null> {
  const contexts = openContexts(io);
  const fetched = await contexts.fetched(name);
  if (fetched !== null) return fetched.epochSec;
  const context = await contexts.open(name);
  const files = await context.walk(rawPath(''));
  let seconds: number | null = null;
  for (const { type, mtimeSec } of files) {
    if (type === 'file' && (seconds === null || mtimeSec > seconds)) seconds = mtimeSec;
  }
  return seconds;
}

function warnUselessRewrite(io: BuildIo): void {
  io.emit({
    type: 'warning',
    code: 'EPOCH_MISSING',
    message: 'rewrite-timestamp changes nothing, for there is no SOURCE_DATE_EPOCH',
    at: undefined,
    hint: 'give --build-arg SOURCE_DATE_EPOCH=SECONDS, or set it in the environment',
  });
}
