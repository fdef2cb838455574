export { type CopyIo, type CopyPlan, planCopy } from './copy.js';
export type { MadeAt } from './copy-destination.js';
export type { CopyInput } from './copy-key.js';
export { contextSource, type SourceTree, viewSource } from './copy-source.js';
export { planMkdir } from './mkdir.js';
export { lookupOwner, lookupUser, type Owner, type StepUser } from './owner.js';
