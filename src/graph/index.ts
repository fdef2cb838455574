export { type AskedEpoch, askedEpoch, withEpoch } from './epoch.js';
export type { BaseImage, PlanOptions } from './options.js';
export { planBuild } from './plan.js';
export { requiredBases } from './stages.js';
export type * from './types.js';
