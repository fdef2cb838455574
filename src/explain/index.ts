export { instructionOf } from './align.js';
export { type Explainer, explainFresh, type History, openExplainer } from './explain.js';
export { encodeFiles, type ListedFile } from './file-list.js';
export { sayings, stepRecord } from './step-record.js';
export type { BuildEntry, FormerBuild, KnownStep, Miss, StepEntry } from './types.js';
