export { jsonFailure, jsonInterruption, jsonReport } from './json.js';
export { plainReport } from './plain.js';
export { jsonTransfer, liveTransfer, plainTransfer, silentTransfer, type TransferReport } from './transfer.js';
