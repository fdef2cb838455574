export { type ContentDigests, openContentDigests } from './content-digests.js';
export { type CopyIo, type CopyPlan, planCopy } from './copy.js';
export type { MadeAt } from './copy-destination.js';
export type { CopyInput } from './copy-key.js';
export { contextSource, type SourceTree, viewSource } from './copy-source.js';
export { planMkdir } from './mkdir.js';
export { lookupOwner, lookupUser, type Owner, type StepUser } from './owner.js';
export { type RunIo, runStep } from './run.js';
export { type RunImageIo, type RunImageRequest, runImage } from './run-image.js';
