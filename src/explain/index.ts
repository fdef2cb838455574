export { instructionOf } from './align.js';
export { type ComparedStep, compareSteps } from './compare.js';
export { type Component, componentsOf } from './components.js';
export { type Explainer, explainFresh, openExplainer } from './explain.js';
export { encodeFiles, type ListedFile } from './file-list.js';
export { sayings, stepRecord } from './step-record.js';
export type { BuildEntry, FormerBuild, KnownStep, Miss, StepEntry } from './types.js';
export { changeText } from './words.js';
