export { attachStatements, inToto, type Statement, type Subject, subjectsOf } from './attach.js';
export { packageUrl } from './package-url.js';
export { type Dependency, type Facts, provenance, provenanceType } from './provenance.js';
