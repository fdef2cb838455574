import type { PlanOptions } from '../graph/index.js';
import { hostPlatform, parsePlatform } from '../platform/index.js';
import type { BuildRequest } from './request.js';

/** What a plan of this request is made from. */
export function planOptions(request: BuildRequest): PlanOptions {
  return {
    target: request.target,
    buildArgs: request.buildArgs,
    labels: request.labels,
    platform: request.platform ?? hostPlatform(),
    buildPlatform: hostPlatform(),
    contexts: request.contexts,
    sandbox: request.sandbox,
    entitlements: request.entitlements,
    parsePlatform,
  };
}
