// An ordinary build's checks: they watch the plan as it is made, and tell before anything is executed.
import type { EventSink, IgnoreMatcher } from '../base/index.js';
import type { Buildfile } from '../buildfile/index.js';
import { type Checks, type Finding, openChecks, rules } from '../checks/index.js';
import { findIgnoreFile } from '../context/index.js';
import { type BaseImage, type BuildGraph, type PlanOptions, planBuild } from '../graph/index.js';
import type { BuildIo, BuildRequest } from './request.js';

/**
 * The plan; findings are warnings. They are told of a plan that fails, too.
 *
 * @throws BuildError as planBuild; CHECK_INVALID, CHECK_VIOLATED
 */
export function planChecked(
  file: Buildfile,
  options: PlanOptions,
  bases: ReadonlyMap<string, BaseImage>,
  { request, io }: { request: BuildRequest; io: BuildIo },
): BuildGraph {
  const checks = openChecks({ file, options, ignore: () => ignoreRules(request), unknownBases: new Set() });
  const graph = tellingFindings(checks, io.emit, () => planBuild(file, { ...options, watch: checks.watch }, bases));
  checks.requireNone();
  return graph;
}

/** Of the main context; null if it has none. @throws BuildError IGNORE_INVALID, CONTEXT_UNREADABLE */
export function ignoreRules({ contextDir, buildfilePath }: BuildRequest): IgnoreMatcher | null {
  return contextDir === null ? null : (findIgnoreFile(contextDir, buildfilePath)?.matcher ?? null);
}

function tellingFindings<T>(checks: Checks, emit: EventSink, work: () => T): T {
  try {
    return work();
  } finally {
    for (const warning of checks.warnings) emit({ type: 'warning', ...warning });
    for (const finding of checks.findings()) emit(eventOf(finding));
  }
}

function eventOf({ rule, message, at, hint }: Finding): Parameters<EventSink>[0] {
  const { description, url } = rules[rule];
  return { type: 'warning', code: rule, message, at, hint, check: { description, url } };
}
