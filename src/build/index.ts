export { type Built, buildImage } from './build.js';
export { type CheckReport, checkBuild, listTargets, outlineBuild } from './call.js';
export type { Annotation, AnnotationPlace, Attested, ImageForm, ImageOutput, Output } from './output.js';
export type {
  AskedBuild,
  BuildIo,
  BuildRequest,
  BuildSource,
  CacheExport,
  NamedContext,
  RemoteFiles,
} from './request.js';
export { withSource } from './with-source.js';
