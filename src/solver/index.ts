export type { KeyInputs, KeyParts, StepDefinition } from './cache-key.js';
export {
  type Executed,
  type Journal,
  neededBy,
  type Solved,
  type SolvedVertices,
  type SolverEffects,
  solve,
  type WorkVertex,
} from './solve.js';
