import { issueAuthority, issueServing, type ServingRequest } from '../../src/certificates/issue.ts';
import type { PemPair } from '../../src/certificates/key-pair.ts';

export const DAY = 86_400_000;

/** A CA for one test file; its key is the slow part. */
export function testAuthority(now: number): Promise<PemPair> {
  return issueAuthority({ commonName: 'test CA', now, validForMs: 10 * DAY });
}

/** A serving pair for `web.apps.svc` and 127.0.0.1, one day long, unless told otherwise. */
export function testServing(
  authority: PemPair,
  now: number,
  how: Partial<ServingRequest> = {},
): Promise<PemPair> {
  return issueServing({
    authority,
    dnsNames: ['web.apps.svc'],
    ipAddresses: ['127.0.0.1'],
    now,
    validForMs: DAY,
    ...how,
  });
}
