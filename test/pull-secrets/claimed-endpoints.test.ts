// Tests which endpoints count as existing because a managed Secret has a valid token for them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StoredLifetime } from '../../src/ecr/token-policy.ts';
import { createClaimedEndpointCheck } from '../../src/pull-secrets/claimed-endpoints.ts';

import type { CachedSecret } from '../../src/pull-secrets/secret-cache.ts';
import { registryOfHost, resolveRegistry } from '../support/registries.ts';

const hourMs = 3_600_000;
const start = Date.UTC(2026, 10, 26, 12);
const valid: StoredLifetime = { issuedAt: start - hourMs, expiresAt: start + 11 * hourMs };
const east = '123456789012.dkr.ecr.us-east-1.amazonaws.com';

/** Whether Secrets with this one host claim the endpoint of a registry. */
function claims(
  lifetime: StoredLifetime | undefined,
  changes: Partial<CachedSecret> = {},
  registry = registryOfHost(east),
): boolean {
  const secret: CachedSecret = {
    uid: 'u',
    resourceVersion: '1',
    isManaged: true,
    isIntact: true,
    formerHosts: new Map(),
    hosts: new Map([[east, lifetime]]),
    requestedAt: new Map(),
    observedAt: 0,
    ...changes,
  };
  return createClaimedEndpointCheck({
    secrets: () => [['team', secret]],
    resolveRegistry,
    changeCount: () => 1,
    now: () => start,
  })(registry);
}

describe('the check for claimed endpoints', () => {
  it('accepts a valid token of any account in a managed Secret that no other writer changed', () => {
    assert.equal(claims(valid), true);
    assert.equal(claims(valid, {}, registryOfHost('210987654321.dkr.ecr.us-east-1.amazonaws.com')), true);
    assert.equal(claims(valid, { isManaged: false }), false);
    assert.equal(claims(valid, { isIntact: false }), false);
    assert.equal(claims(undefined), false);
  });

  it('rejects endpoints of another region or kind', () => {
    assert.equal(claims(valid, {}, registryOfHost('123456789012.dkr.ecr.us-west-2.amazonaws.com')), false);
    assert.equal(
      claims(valid, {}, registryOfHost('123456789012.dkr.ecr-fips.us-east-1.amazonaws.com')),
      false,
    );
  });

  it('rejects a token that has expired or has impossible times', () => {
    assert.equal(claims({ issuedAt: start - 13 * hourMs, expiresAt: start - hourMs }), false);
    assert.equal(claims({ issuedAt: start, expiresAt: start + 1_000 * hourMs }), false);
    assert.equal(claims({ issuedAt: start + 90 * hourMs, expiresAt: start + 100 * hourMs }), false);
  });

  it('reads the Secrets again when they change, at most once in five seconds', () => {
    let [now, changes, reads] = [start, 1, 0];
    const isClaimed = createClaimedEndpointCheck({
      secrets: () => {
        reads += 1;
        return [];
      },
      resolveRegistry,
      changeCount: () => changes,
      now: () => now,
    });
    isClaimed(registryOfHost(east));
    now += 60_000;
    isClaimed(registryOfHost(east));
    assert.equal(reads, 1, 'nothing has changed');
    changes += 1;
    isClaimed(registryOfHost(east));
    changes += 1;
    isClaimed(registryOfHost(east));
    now += 5_000;
    isClaimed(registryOfHost(east));
    assert.equal(reads, 3);
  });
});
