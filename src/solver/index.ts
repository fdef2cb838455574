export { cacheKey, stackDigest } from './cache-key.js';
export { type KeyInputs, type Solved, type SolverEffects, solve } from './solve.js';
