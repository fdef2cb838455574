export {
  type Executed,
  type KeyInputs,
  type Solved,
  type SolvedVertices,
  type SolverEffects,
  solve,
  type WorkVertex,
} from './solve.js';
