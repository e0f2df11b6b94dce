// Finds out whether the endpoint of the ECR API responds, through which proxy, and how far the clock differs from that of AWS.
import { productName } from '../labels.ts';
import { getField } from '../util/json.ts';
import { withTimeout } from '../util/timeout.ts';
import { type Environment, readAwsSettings } from './aws-settings.ts';
import { createTokenApi } from './ecr-client.ts';
import {
  type CallTimeouts,
  createSharedHttpHandler,
  getTotalMs,
  type SharedHttpHandler,
} from './http-handler.ts';
import { selectProxy } from './proxy.ts';
import type { Registry } from './registry.ts';
import { classifyTokenApiError, type TokenError } from './token-error.ts';

/** What a request without valid credentials shows. */
export interface EndpointProbe {
  /** Host of the endpoint, with its port if it is not that of the scheme; undefined if there is none for the region. */
  readonly endpoint: string | undefined;
  /** Undefined: it is reached directly. */
  readonly proxy: { readonly variable: string; readonly host: string } | undefined;
  /** Why there was no response; undefined if there was one, whatever it says. */
  readonly failure: TokenError | undefined;
  /** Whether DNS knows no such host. A proxy looks up the host itself, so this is false with one. */
  readonly isUnknownHost: boolean;
  /** How far the clock of this machine is ahead of that of the server, in ms; undefined if the response has no date. */
  readonly clockAheadMs: number | undefined;
}

export interface EndpointProbeOptions {
  readonly environment: Environment;
  readonly timeouts: CallTimeouts;
}

/** An access key that does not exist. The response to it has the date of the server. */
const unknownKey = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'none' };

/**
 * Sends a request to the endpoint that issues the tokens of a registry.
 * @throws {ConfigError} for environment variables that cannot be used
 */
export async function probeEndpoint(
  registry: Registry,
  { environment, timeouts }: EndpointProbeOptions,
): Promise<EndpointProbe> {
  const { proxies } = readAwsSettings(environment);
  const http = createSharedHttpHandler(timeouts, environment);
  let exchange: Exchange | undefined;
  const requestHandler = recordExchanges(http, (last) => {
    exchange = last;
  });
  let failure: TokenError | undefined;
  try {
    const options = { credentials: unknownKey, requestHandler, customUserAgent: productName };
    const api = await createTokenApi(registry, options);
    await withTimeout(getTotalMs(timeouts), 'TimeoutError', (signal) => api.getAuthorizationToken(signal));
  } catch (error) {
    failure = classifyTokenApiError(error, registry);
  } finally {
    http.close();
  }
  const { url, clockAheadMs, isAnswered, isUnknownHost = false } = exchange ?? {};
  const proxy = url && selectProxy(proxies, url);
  return {
    endpoint: url?.host,
    proxy: proxy && { variable: proxy.variable, host: new URL(proxy.url).host },
    failure: isAnswered === true ? undefined : failure,
    isUnknownHost: isUnknownHost && proxy === undefined,
    clockAheadMs,
  };
}

/** A request, and what is known of its response. */
interface Exchange {
  readonly url: URL;
  readonly isAnswered: boolean;
  readonly isUnknownHost?: boolean;
  readonly clockAheadMs?: number | undefined;
}

/** Passes requests on, and records the last one. */
function recordExchanges(http: SharedHttpHandler, onExchange: (exchange: Exchange) => void) {
  return {
    metadata: http.metadata,
    handle: async (...call: Parameters<SharedHttpHandler['handle']>) => {
      const { protocol, hostname, port } = call[0];
      const url = new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`);
      onExchange({ url, isAnswered: false });
      const sentAt = Date.now();
      const result = await http.handle(...call).catch((error: unknown) => {
        onExchange({ url, isAnswered: false, isUnknownHost: getField(error, 'code') === 'ENOTFOUND' });
        throw error;
      });
      const date = Date.parse(result.response.headers['date'] ?? '');
      const middle = (sentAt + Date.now()) / 2;
      // the date has whole seconds
      const clockAheadMs = Number.isNaN(date) ? undefined : middle - date - 500;
      onExchange({ url, isAnswered: true, clockAheadMs });
      return result;
    },
    updateHttpClientConfig: () => undefined,
    httpHandlerConfigs: () => http.httpHandlerConfigs(),
    destroy: () => undefined,
  };
}
