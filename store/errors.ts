import { CodedError } from '#native';

/** A failure of the store or of an image's way in or out, which a person can mend. */
export class StoreError extends CodedError {}
