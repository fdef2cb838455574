// What a plan is made from, besides the Buildfile.
import type { Digest, ImageConfig, Platform } from '#store';
import type { Span } from '../base/index.js';
import type { Instruction, Stage } from '../buildfile/index.js';
import type { StepSandbox } from './types.js';

export interface PlanOptions {
  /** Name or number of the stage to build; the last one if undefined. */
  readonly target: string | undefined;
  readonly buildArgs: ReadonlyMap<string, string>;
  /** SOURCE_DATE_EPOCH, once it is known: null is none. What COPY and WORKDIR make is from then. */
  readonly epochSec?: number | null;
  /** Set on the image after everything else. */
  readonly labels: ReadonlyMap<string, string>;
  /** What the image is for, and what this machine is. */
  readonly platform: Platform;
  readonly buildPlatform: Platform;
  /** Named contexts: each stands in for the stage and the image of its name. */
  readonly contexts: ReadonlyMap<string, NamedContext>;
  /** What the build says of the container of its steps. */
  readonly sandbox?: StepSandbox;
  /** What steps may ask for that others may not: 'security.insecure', 'network.host'. */
  readonly entitlements?: ReadonlySet<string>;
  /** Reads what FROM --platform says. @throws BuildError PLATFORM_INVALID */
  parsePlatform(text: string, at: Span): Platform;
  /** Is told of each instruction just before it is planned. */
  readonly watch?: ((step: PlanStep) => void) | undefined;
}

/** An instruction, and what is known of its stage where it begins. */
export interface PlanStep {
  readonly stage: Stage;
  /** Number of the stage that this one stands on; null: an image, or nothing. */
  readonly parent: number | null;
  /** Key of the image at the bottom; null for scratch. */
  readonly base: string | null;
  readonly instruction: Instruction;
  /** A trigger of what the stage stands on. */
  readonly onbuild: boolean;
  /** Variables that have a value, and all that an ARG has declared. */
  readonly env: ReadonlyMap<string, string>;
  readonly args: ReadonlyMap<string, string | null>;
  /** Of the image config: empty where SHELL was never given. */
  readonly shell: readonly string[];
}

type NamedContext =
  /** Files, of this machine or fetched. */
  | { readonly kind: 'directory' }
  | { readonly kind: 'image'; readonly ref: string }
  /** Another stage of the Buildfile, by its name or number. */
  | { readonly kind: 'stage'; readonly stage: string };

/** An image that the build needs. */
export interface BaseRequest {
  /** Key of the image in the map that planBuild takes. */
  readonly key: string;
  /** As written, variables expanded. */
  readonly ref: string;
  readonly platform: Platform;
  /** The word that names it. */
  readonly at: Span;
  /** The stage that was perhaps meant, for when there is no such image. */
  readonly similarStage: string | undefined;
}

/** An image that is there. */
export interface BaseImage {
  readonly ref: string;
  readonly digest: Digest;
  readonly config: ImageConfig;
  readonly platform: Platform;
}
