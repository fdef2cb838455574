export { jsonFailure, jsonInterruption, jsonReport } from './json.js';
export { plainReport } from './plain.js';
