export { type Download, download } from './download.js';
export { type Checkout, checkOut } from './git-checkout.js';
export type { RemoteIo } from './remote-io.js';
