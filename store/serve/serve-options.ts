// What a server is started with, and what it is then.
export interface ListenAddress {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
}

export interface ServeOptions {
  readonly listen: readonly ListenAddress[];
  readonly tls?:
    | { readonly certPath: string; readonly keyPath: string; readonly clientCaPath?: string | undefined }
    | undefined;
  readonly readOnly?: boolean | undefined;
  /** Users and bcrypt hashes of their passwords. */
  readonly htpasswdPath?: string | undefined;
  /** How passwords come: in each request, or for tokens. */
  readonly authentication?: 'basic' | 'token' | undefined;
  /** 'USER:REPOSITORY:ACTIONS' */
  readonly accessRules?: readonly string[] | undefined;
  /** Serves only names below this one. */
  readonly prefix?: string | undefined;
  /** Further names of this server as a registry: 'builder.example:5000'. */
  readonly ownNames?: readonly string[] | undefined;
  readonly quotaBytes?: number | undefined;
  readonly repositoryQuotaBytes?: number | undefined;
  readonly maxBlobBytes?: number | undefined;
  readonly maxUploads?: number | undefined;
  readonly maxConnections?: number | undefined;
  readonly uploadTimeoutMs?: number | undefined;
  /** How long the collector leaves what was pushed and nothing refers to. */
  readonly keepUnreferencedMs?: number | undefined;
  readonly bodyTimeoutMs?: number | undefined;
  readonly accessLogPath?: string | undefined;
  /** Gets the lines of the access log where it has no file. */
  readonly onAccess?: ((line: string) => void) | undefined;
  readonly metrics?: boolean | undefined;
  /** Requests that are being answered when the server is closed may take so long to end. */
  readonly graceMs?: number | undefined;
  /** For the operator: what went wrong without being a client's fault. */
  readonly onNotice?: ((text: string) => void) | undefined;
}

export interface Serving {
  /** 'http://127.0.0.1:5000' */
  readonly urls: readonly string[];
  /** True where a client needs neither a password nor a certificate. */
  readonly isOpen: boolean;
  /** Waits for requests under way, until `now` is aborted or their time is over. */
  close(now?: AbortSignal): Promise<void>;
}
