// Finds the region that the AWS SDK uses if no other is given.
import { ECRClient } from '@aws-sdk/client-ecr';
import type { SharedHttpHandler } from './http-handler.ts';

/** The region of each profile, once it is found: finding it takes a client of the SDK. */
export class RegionCache {
  readonly #http: SharedHttpHandler;
  readonly #regions = new Map<string | undefined, string>();

  constructor(http: SharedHttpHandler) {
    this.#http = http;
  }

  /** See {@link findRegion}. */
  async get(profile: string | undefined): Promise<string | undefined> {
    const region = this.#regions.get(profile) ?? (await findRegion(this.#http, profile));
    if (region !== undefined) {
      this.#regions.set(profile, region);
    }
    return region;
  }

  delete(profile: string | undefined): void {
    this.#regions.delete(profile);
  }
}

/**
 * Returns the region that the SDK finds in AWS_REGION, the profile or the node's metadata; undefined if there is none.
 * @param profile undefined: that of AWS_PROFILE
 */
export async function findRegion(
  http: SharedHttpHandler,
  profile: string | undefined,
): Promise<string | undefined> {
  const client = new ECRClient({ requestHandler: http, ...(profile !== undefined && { profile }) });
  return await client.config.region().catch(() => undefined);
}
