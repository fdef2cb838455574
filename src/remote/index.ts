export { type Download, download } from './download.js';
export type { RemoteIo } from './remote-io.js';
