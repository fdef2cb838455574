export { assembleConfig } from './assemble.js';
