import { ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr';
import { LRUCache } from 'lru-cache';
import { productName } from '../labels.ts';
import { within } from '../util/timeout.ts';
import type { Environment } from './aws-settings.ts';
import type { Standing } from './call-queue.ts';
import { credentialSource } from './credentials.ts';
import { sharedHttpHandler, type Timeouts } from './http-handler.ts';
import { endpointKey, type Identity } from './identity.ts';
import type { Registry } from './registry.ts';
import { readAuthorization, type Token } from './token.ts';
import { classify, suspectsCredentials, type TokenError } from './token-error.ts';

export interface EcrOptions {
  /** The process's environment, for its proxies and `AWS_ROLE_ARN`. The SDK reads what is its own by itself. */
  readonly environment: Environment;
  /**
   * `totalMs`: the whole call with the SDK's retries. Half of it is for an endpoint that a Secret claims, and a quarter for
   * one that is not proven. Finding credentials may take another half of it before that.
   */
  readonly timeouts: Timeouts & { readonly totalMs: number };
  readonly maxClients: number;
  /** The wall clock in ms. */
  readonly now: () => number;
}

export interface Ecr {
  /** Calls GetAuthorizationToken. Rejects with TokenError only. */
  fetch(identity: Identity, registry: Registry, standing: Standing): Promise<Token>;
  /** Ends all connections. */
  close(): void;
}

/** Which part of the whole time a call may take. */
const shareOfTime: Readonly<Record<Standing, number>> = { proven: 1, claimed: 0.5, unproven: 0.25 };

/**
 * Endpoints that are not proven may have the credentials read again once in this time, in ms: a disabled region answers
 * UnrecognizedClientException to good credentials, and everyone who can write an image name can name one.
 */
const rereadGapMs = 60_000;

/** The edge to AWS: a bounded number of clients, one for each identity, region and kind of endpoint. */
export function ecr(options: EcrOptions): Ecr {
  const { environment, timeouts, now } = options;
  const http = sharedHttpHandler(timeouts, environment);
  const credentials = credentialSource({ http, environment, mostMs: timeouts.totalMs / 2, now });
  const clients = new LRUCache<string, ECRClient>({
    max: options.maxClients,
    dispose: (client) => client.destroy(),
  });
  let rereadAt = Number.NEGATIVE_INFINITY;

  /** Whether a failure is a reason to read the credentials again. */
  function mayReread(failure: TokenError, standing: Standing): boolean {
    if (!suspectsCredentials(failure)) {
      return false;
    }
    const own = failure.code === 'no-credentials' || failure.code === 'credentials-timeout';
    return own || standing === 'proven' || Math.abs(now() - rereadAt) >= rereadGapMs;
  }

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
      customUserAgent: productName,
      ...endpointFlags(registry, () => client.config.serviceConfiguredEndpoint?.()),
    });
    clients.set(key, client);
    return client;
  }

  return {
    async fetch(identity, registry, standing) {
      try {
        // first and with a limit of their own, so that slow credentials are not taken for a slow endpoint
        await credentials.of(identity)();
        const client = clientOf(identity, registry);
        const ms = timeouts.totalMs * shareOfTime[standing];
        const answer = await within(ms, 'TimeoutError', (abortSignal) =>
          client.send(new GetAuthorizationTokenCommand({}), { abortSignal }),
        );
        return readAuthorization(answer, registry.region, now());
      } catch (error) {
        const failure = classify(error, registry.region);
        if (mayReread(failure, standing)) {
          rereadAt = now();
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
