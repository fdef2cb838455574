export { buildImage } from './build.js';
export type { BuildIo, BuildRequest, NamedContext } from './request.js';
