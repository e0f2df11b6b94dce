/** An answer of the API server, with the texts of its `Warning` headers. */
export interface ApiServerResponse {
  readonly status: number;
  readonly body: unknown;
  readonly warnings: readonly string[];
}

/** An API server to run suites on: the stand-in, or a real one. What runs on the one runs on the other. */
export interface TestApiServer {
  readonly version: string;
  /** For an administrator. */
  readonly kubeconfigPath: string;
  createNamespace(prefix?: string): Promise<string>;
  serviceAccountKubeconfig(namespace: string, name: string): Promise<string>;
  /** A call as the administrator; the content type is `application/json` if not given. */
  request(
    method: string,
    path: string,
    body?: unknown,
    how?: { readonly contentType?: string },
  ): Promise<ApiServerResponse>;
  stop(): Promise<void>;
}
