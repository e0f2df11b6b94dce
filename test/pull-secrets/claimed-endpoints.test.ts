import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StoredLifetime } from '../../src/ecr/token-policy.ts';
import { createClaimedEndpointCheck } from '../../src/pull-secrets/claimed-endpoints.ts';

import type { KnownSecret } from '../../src/pull-secrets/secret-cache.ts';
import { registryOfHost, resolveRegistry } from '../support/registries.ts';

const hourMs = 3_600_000;
const start = Date.UTC(2026, 10, 26, 12);
const valid: StoredLifetime = { issuedAt: start - hourMs, expiresAt: start + 11 * hourMs };
const east = '123456789012.dkr.ecr.us-east-1.amazonaws.com';

/** Whether Secrets with this one host claim the endpoint of a registry. */
function claims(
  life: StoredLifetime | undefined,
  changes: Partial<KnownSecret> = {},
  registry = registryOfHost(east),
): boolean {
  const secret: KnownSecret = {
    uid: 'u',
    resourceVersion: '1',
    isManaged: true,
    isIntact: true,
    formerHosts: new Map(),
    hosts: new Map([[east, life]]),
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

describe('an endpoint is claimed', () => {
  it('by a valid token of any account in a managed Secret that nobody else changed', () => {
    assert.equal(claims(valid), true);
    assert.equal(claims(valid, {}, registryOfHost('210987654321.dkr.ecr.us-east-1.amazonaws.com')), true);
    assert.equal(claims(valid, { isManaged: false }), false);
    assert.equal(claims(valid, { isIntact: false }), false);
    assert.equal(claims(undefined), false);
  });

  it('in its own region and of its own kind only', () => {
    assert.equal(claims(valid, {}, registryOfHost('123456789012.dkr.ecr.us-west-2.amazonaws.com')), false);
    assert.equal(
      claims(valid, {}, registryOfHost('123456789012.dkr.ecr-fips.us-east-1.amazonaws.com')),
      false,
    );
  });

  it('not by a token that has expired, or that nobody can have', () => {
    assert.equal(claims({ issuedAt: start - 13 * hourMs, expiresAt: start - hourMs }), false);
    assert.equal(claims({ issuedAt: start, expiresAt: start + 1_000 * hourMs }), false);
    assert.equal(claims({ issuedAt: start + 90 * hourMs, expiresAt: start + 100 * hourMs }), false);
  });

  it('as soon as the Secrets change, but they are read once in five seconds at most', () => {
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
