export { type AskedEpoch, askedEpoch, withEpoch } from './epoch.js';
export type { BaseImage, BaseRequest, PlanOptions, PlanStep } from './options.js';
export { planBuild, rehearseStages } from './plan.js';
export { allStages, type NeededStage, type NeededStages, neededStages, requiredBases } from './stages.js';
export type * from './types.js';
export { globalVariables } from './variables.js';
