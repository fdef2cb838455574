// Which build of the history a person means.
import { resolve } from 'node:path';
import { type BuildRecord, findBuilds, lastBuilds, type Store } from '#store';
import { BuildError, closest } from '../base/index.js';
import type { BuildEntry } from '../explain/index.js';

/** A build of the history, with its account. */
export interface KnownBuild extends BuildRecord {
  readonly record: BuildEntry;
}

interface Wanted {
  readonly build?: string;
  readonly file?: string;
}

/** By the start of its id, or the last one, of one Buildfile or of all. @throws BuildError BUILD_NOT_FOUND, BUILD_AMBIGUOUS */
export function chooseBuild(store: Store, { build, file }: Wanted): KnownBuild {
  const builds = (build === undefined ? lastBuilds(store, null, maxBuilds) : findBuilds(store, build)).flatMap(known);
  const path = file === undefined || file === '-' ? file : resolve(file);
  const [found, other] = builds.filter(({ record }) => path === undefined || record.buildfile === path);
  if (found === undefined) throw notFound(store, build, file);
  if (build === undefined || other === undefined || found.id === build) return found;
  throw new BuildError('BUILD_AMBIGUOUS', {
    message: `several builds have an id that begins with ${build}: ${builds.map(({ id }) => id).join(', ')}`,
    hint: 'give more of it',
  });
}

const maxBuilds = 1000;

function known(build: BuildRecord): KnownBuild[] {
  const record = build.record as BuildEntry;
  return record.version === 1 ? [{ ...build, record }] : [];
}

function notFound(store: Store, build: string | undefined, file: string | undefined): BuildError {
  const builds = lastBuilds(store, null, maxBuilds).flatMap(known);
  if (builds.length === 0) {
    return new BuildError('BUILD_NOT_FOUND', {
      message: 'nothing has been built in this store yet',
      hint: 'what tsbuild build does is kept for 30 days; --store names another store',
    });
  }
  const last = `the last build is ${builds[0]!.id}, of ${builds[0]!.record.buildfile}`;
  if (build !== undefined) {
    const near = closest(
      build,
      builds.map(({ id }) => id),
    );
    return new BuildError('BUILD_NOT_FOUND', {
      message: `there is no build ${build}${file === undefined ? '' : ` of ${file}`}`,
      hint: near === undefined ? last : `did you mean ${near}?`,
    });
  }
  return new BuildError('BUILD_NOT_FOUND', { message: `no build of ${file} is known`, hint: last });
}
