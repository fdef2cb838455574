// SOURCE_DATE_EPOCH=STAGE: the time of what a stage takes from elsewhere – of a commit, of a download as its server says
// it, or else of the youngest file in a downloaded archive.
import { createReadStream } from 'node:fs';
import { importLayer, type Lease, StoreError, scanTar } from '#store';
import { BuildError } from '../base/index.js';
import type { Buildfile, Stage } from '../buildfile/index.js';
import { type PlanOptions, planBuild, type RemoteSource, requiredBases } from '../graph/index.js';
import { contextIo } from './remote-io.js';
import type { BuildIo, BuildRequest } from './request.js';

/**
 * Null where the source tells no time.
 *
 * @throws BuildError EPOCH_STAGE: the stage does more than to ADD one thing from elsewhere; those of the download
 */
export async function epochOfStage(
  file: Buildfile,
  options: PlanOptions,
  stage: Stage,
  { request, io, lease }: { readonly request: BuildRequest; readonly io: BuildIo; readonly lease: Lease },
): Promise<number | null> {
  const source = sourceOf(file, options, stage);
  const { checkOut, download } = await import('../remote/index.js');
  const what = `SOURCE_DATE_EPOCH from stage ${stage.from.name}`;
  const remote = contextIo({ request, io, lease }, what);
  if (source.kind === 'git') return (await checkOut(source.repository, remote)).committedSec;
  const { path, modifiedSec } = await download(source.url, source.sha256, remote);
  return modifiedSec ?? youngestIn(path, io, lease);
}

function sourceOf(file: Buildfile, options: PlanOptions, stage: Stage): RemoteSource {
  const { name, at } = stage.from;
  const other = stage.instructions.find(({ keyword }) => keyword !== 'ARG' && keyword !== 'ADD');
  if (other !== undefined) {
    throw refused(`${other.keyword} has no place in the stage ${name}, which says SOURCE_DATE_EPOCH`, other.at);
  }
  const asked = { ...options, target: name ?? String(stage.index) };
  if (requiredBases(file, asked, new Map()).length > 0) {
    throw refused('SOURCE_DATE_EPOCH stage must use FROM scratch', at);
  }
  const copies = planBuild(file, asked, new Map()).vertices.filter((vertex) => vertex.kind === 'copy');
  const sources = copies.flatMap(({ sources: each }) => each);
  const [only] = sources;
  if (copies.length === 1 && sources.length === 1 && only?.remote) return only.remote;
  throw refused(
    'SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source',
    copies[1]?.at ?? copies[0]?.at ?? at,
  );
}

function refused(message: string, at: BuildError['at']): BuildError {
  return new BuildError('EPOCH_STAGE', {
    message,
    hint: 'such a stage is FROM scratch with one ADD of a URL or a git repository, and ARGs for it',
    at,
  });
}

/** Null for what is no archive, or has no file. */
async function youngestIn(path: string, { store }: BuildIo, lease: Lease): Promise<number | null> {
  try {
    const { tarPath, size } = await importLayer(store, lease, createReadStream(path, { highWaterMark: 1 << 20 }));
    const times = scanTar(tarPath, size).flatMap(({ type, mtimeSec }) => (type === 'file' ? [mtimeSec] : []));
    return times.length === 0 ? null : times.reduce((a, b) => Math.max(a, b));
  } catch (error) {
    if (error instanceof StoreError && /^(TAR|LAYER)_/.test(error.code)) return null;
    throw error;
  }
}
