/** How far a base is on its way; `total` null if nobody knows. */
export interface SourceProgress {
  readonly what: string;
  readonly done: number;
  readonly total: number | null;
}

export type OnSourceProgress = (progress: SourceProgress) => void;
