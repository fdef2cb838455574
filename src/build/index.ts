export { type Built, buildImage } from './build.js';
export { type CheckReport, checkBuild, listTargets, outlineBuild } from './call.js';
export type { Annotation, AnnotationPlace, Attested, ImageForm, ImageOutput, Output } from './output.js';
export type { BuildIo, BuildRequest, CacheExport, NamedContext } from './request.js';
