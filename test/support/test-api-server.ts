// The interface that the API stand-in and a real API server have in common.

/** A response of the API server, with the texts of its `Warning` headers. */
export interface ApiServerResponse {
  readonly status: number;
  readonly body: unknown;
  readonly warnings: readonly string[];
}

/** An API server for suites, either the stand-in or a real one. Suites run on both. */
export interface TestApiServer {
  readonly version: string;
  /** The kubeconfig of an administrator. */
  readonly kubeconfigPath: string;
  createNamespace(prefix?: string): Promise<string>;
  serviceAccountKubeconfig(namespace: string, name: string): Promise<string>;
  /** Sends a request as the administrator. The content type is `application/json` if not given. */
  request(
    method: string,
    path: string,
    body?: unknown,
    options?: { readonly contentType?: string },
  ): Promise<ApiServerResponse>;
  stop(): Promise<void>;
}
