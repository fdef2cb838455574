export type { KeyInputs } from './cache-key.js';
export {
  type Executed,
  type Solved,
  type SolvedVertices,
  type SolverEffects,
  solve,
  type WorkVertex,
} from './solve.js';
