// Tests which rule and region decide the AWS identity for a registry, and when registries share one.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { defaultIdentity, getEndpointKey, type Identity } from '../../src/ecr/identity.ts';
import { unknownFacts } from '../../src/ecr/identity-facts.ts';
import { createIdentityResolver, type IdentityRule } from '../../src/ecr/identity-rules.ts';
import { resolveStsRegion } from '../../src/ecr/partitions.ts';
import type { Registry } from '../../src/ecr/registry.ts';
import { registryOfHost } from '../support/registries.ts';
import { registry } from './token-fixtures.ts';

const roleArn = 'arn:aws:iam::123456789012:role/puller';

/** Resolves the identities that rules allow; fails on any other decision. */
function resolverOf(rules: readonly IdentityRule[]): (namespace: string, registry: Registry) => Identity {
  const resolve = createIdentityResolver(rules, unknownFacts);
  return (namespace, one) => {
    const decision = resolve(namespace, one);
    assert.ok(decision.access === 'allowed');
    return decision.identity;
  };
}

describe('registry rules', () => {
  it('use the default identity if none matches', () => {
    assert.deepEqual(resolverOf([])('team', registry()), defaultIdentity);
    const other = resolverOf([{ accounts: ['210987654321'], roleArn }]);
    assert.deepEqual(other('team', registry()), defaultIdentity);
  });

  it('match by account and region, both as patterns, and the first match decides', () => {
    const rules: IdentityRule[] = [
      { accounts: ['123456789012'], regions: ['us-gov-*', 'eu-west-1'], roleArn: `${roleArn}-1` },
      { accounts: ['1234*'], roleArn: `${roleArn}-2` },
      { regions: ['*-west-*'], roleArn: `${roleArn}-3` },
      { roleArn: `${roleArn}-4` },
    ];
    const roleOf = (region: string, account?: string) =>
      resolverOf(rules)('team', registry(region, account)).role?.roleArn.slice(-1);
    assert.equal(roleOf('eu-west-1'), '1');
    assert.equal(roleOf('us-gov-east-1'), '1');
    assert.equal(roleOf('eu-west-2'), '2');
    assert.equal(roleOf('eu-west-2', '999999999999'), '3');
    assert.equal(roleOf('eu-north-1', '999999999999'), '4');
  });

  it('match nothing with an empty list', () => {
    assert.equal(resolverOf([{ accounts: [], roleArn }])('team', registry()).key, 'default');
    assert.equal(resolverOf([{ regions: [], roleArn }])('team', registry()).key, 'default');
  });

  it('share an identity if their roles are equal', () => {
    const of = resolverOf([
      { regions: ['eu-*'], roleArn, externalId: 'x' },
      { regions: ['us-*'], roleArn, externalId: 'x', sessionPolicy: undefined },
    ]);
    assert.equal(of('team', registry('eu-west-1')).key, of('team', registry('us-east-1')).key);
  });

  it('do not share an identity if their roles differ; the key contains neither policy nor external ID', () => {
    const text = fc.option(fc.constantFrom('', 'a', 'b', 'null', '","', '#0', '{"Version":"x"}'), {
      nil: undefined,
    });
    const role = fc.record({
      roleArn: fc.constantFrom(roleArn, `${roleArn}#0`, `${roleArn}#1`),
      externalId: text,
      sessionName: text,
      sessionPolicy: text,
    });
    fc.assert(
      fc.property(fc.array(role, { minLength: 2, maxLength: 9 }), (roles) => {
        const regions = [
          'eu-west-1',
          'eu-west-2',
          'eu-west-3',
          'us-east-1',
          'us-east-2',
          'us-west-1',
          'us-west-2',
        ];
        const used = roles.slice(0, regions.length);
        const of = resolverOf(used.map((one, index) => ({ ...one, regions: [regions[index] ?? ''] })));
        const found = used.map((one, index) => ({ one, key: of('team', registry(regions[index])).key }));
        for (const { one, key } of found) {
          for (const other of found) {
            assert.equal(key === other.key, JSON.stringify(one) === JSON.stringify(other.one));
          }
          assert.ok(!key.includes('Version'));
        }
      }),
    );
  });

  it('distinguish kinds of endpoint, but not accounts', () => {
    const keyOf = (host: string) => getEndpointKey(defaultIdentity, registryOfHost(host));
    const plain = keyOf('123456789012.dkr.ecr.us-east-1.amazonaws.com');
    assert.equal(keyOf('210987654321.dkr.ecr.us-east-1.amazonaws.com:443'), plain);
    assert.notEqual(keyOf('123456789012.dkr.ecr-fips.us-east-1.amazonaws.com'), plain);
    assert.notEqual(keyOf('123456789012.dkr-ecr.us-east-1.on.aws'), plain);
  });
});

describe('the region of STS', () => {
  const cases: [string | undefined, string | undefined, string][] = [
    ['arn:aws:iam::123456789012:role/x', 'eu-central-1', 'eu-central-1'],
    ['arn:aws:iam::123456789012:role/x', undefined, 'us-east-1'],
    ['arn:aws:iam::123456789012:role/x', 'cn-north-1', 'us-east-1'],
    ['arn:aws-cn:iam::123456789012:role/x', 'cn-north-1', 'cn-north-1'],
    ['arn:aws-cn:iam::123456789012:role/x', 'eu-central-1', 'cn-northwest-1'],
    ['arn:aws-cn:iam::123456789012:role/x', undefined, 'cn-northwest-1'],
    ['arn:aws-us-gov:iam::123456789012:role/x', undefined, 'us-gov-west-1'],
    ['arn:aws-eusc:iam::123456789012:role/x', undefined, 'eusc-de-east-1'],
    ['arn:aws-of-tomorrow:iam::123456789012:role/x', undefined, 'us-east-1'],
    [undefined, 'cn-north-1', 'cn-north-1'],
    [undefined, undefined, 'us-east-1'],
  ];
  for (const [arn, configured, expected] of cases) {
    it(`is ${expected} for ${arn ?? 'an unknown role'} with ${configured ?? 'no region'} set`, () => {
      assert.equal(resolveStsRegion(arn, configured), expected);
    });
  }
});
