export { jsonReport } from './json.js';
export { plainReport } from './plain.js';
