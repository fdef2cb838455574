export { buildImage } from './build.js';
export { type CheckReport, checkBuild, listTargets, outlineBuild } from './call.js';
export type { BuildIo, BuildRequest, NamedContext } from './request.js';
