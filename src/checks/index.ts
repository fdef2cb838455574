export { type CheckInput, type Checks, findingsAbove, openChecks } from './check.js';
export type { Finding } from './finding.js';
export { type Outline, type OutlineItem, openOutline } from './outline.js';
export { type Rule, type RuleName, rules } from './rules.js';
export { type Target, targetsOf } from './targets.js';
