import { ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr';
import { LRUCache } from 'lru-cache';
import type { Registry } from '../images/registry.ts';
import { credentialSource } from './credentials.ts';
import { within } from './deadline.ts';
import { classify, suspectsCredentials } from './failure.ts';
import { type Environment, sharedHttpHandler, type Timeouts } from './http.ts';
import { endpointKey, type Identity } from './identity.ts';
import { readAuthorization, type Token } from './token.ts';

export interface EcrOptions {
  /** The process's environment, for its proxies and `AWS_ROLE_ARN`. The SDK reads what is its own by itself. */
  readonly environment: Environment;
  /** `totalMs`: the whole call with the SDK's retries, of which finding credentials may take one half. */
  readonly timeouts: Timeouts & { readonly totalMs: number };
  readonly maxClients: number;
  /** The wall clock in ms. */
  readonly now: () => number;
}

export interface Ecr {
  /** Calls GetAuthorizationToken. Rejects with TokenError only. */
  fetch(identity: Identity, registry: Registry): Promise<Token>;
  /** Ends all connections. */
  close(): void;
}

/** The edge to AWS: a bounded number of clients, one for each identity, region and kind of endpoint. */
export function ecr(options: EcrOptions): Ecr {
  const { environment, timeouts, now } = options;
  const http = sharedHttpHandler(timeouts, environment);
  const credentials = credentialSource({ http, environment, mostMs: timeouts.totalMs / 2, now });
  const clients = new LRUCache<string, ECRClient>({
    max: options.maxClients,
    dispose: (client) => client.destroy(),
  });

  function clientOf(identity: Identity, registry: Registry): ECRClient {
    const key = endpointKey(identity, registry);
    const known = clients.get(key);
    if (known !== undefined) {
      return known;
    }
    const client: ECRClient = new ECRClient({
      region: registry.region,
      credentials: credentials.of(identity),
      requestHandler: http,
      customUserAgent: 'ecr-pull-secrets',
      ...endpointFlags(registry, () => client.config.serviceConfiguredEndpoint?.()),
    });
    clients.set(key, client);
    return client;
  }

  return {
    async fetch(identity, registry) {
      try {
        const client = clientOf(identity, registry);
        const answer = await within(timeouts.totalMs, 'TimeoutError', (abortSignal) =>
          client.send(new GetAuthorizationTokenCommand({}), { abortSignal }),
        );
        return readAuthorization(answer, registry.region, now());
      } catch (error) {
        const failure = classify(error, registry.region);
        if (suspectsCredentials(failure)) {
          credentials.forget();
          clients.clear();
        }
        throw failure;
      }
    },
    close: () => http.close(),
  };
}

/**
 * A FIPS or dual-stack host gets an endpoint of its kind; for any other the flags are left out, so that the
 * environment decides. The SDK throws on a flag together with an endpoint that is configured by environment or
 * profile, so it is asked about that itself.
 */
function endpointFlags(
  { fips, dualStack }: Registry,
  configuredEndpoint: () => Promise<string | undefined> | undefined,
) {
  const unlessConfigured = async () => (await configuredEndpoint()) === undefined;
  return {
    ...(fips && { useFipsEndpoint: unlessConfigured }),
    ...(dualStack && { useDualstackEndpoint: unlessConfigured }),
  };
}
