import type { PlanOptions } from '../graph/index.js';
import { hostPlatform, parsePlatform } from '../platform/index.js';
import type { BuildRequest, NamedContext } from './request.js';

/** What a plan of this request is made from. */
export function planOptions(request: BuildRequest): PlanOptions {
  return {
    target: request.target,
    buildArgs: request.buildArgs,
    labels: request.labels,
    platform: request.platform ?? hostPlatform(),
    buildPlatform: hostPlatform(),
    contexts: new Map([...request.contexts].map(([name, context]) => [name, plannedContext(context)])),
    sandbox: request.sandbox,
    entitlements: request.entitlements,
    parsePlatform,
  };
}

/** Files are files, wherever they come from. */
function plannedContext(context: NamedContext): NonNullable<ReturnType<PlanOptions['contexts']['get']>> {
  return context.kind === 'git' || context.kind === 'url' ? { kind: 'directory' } : context;
}
