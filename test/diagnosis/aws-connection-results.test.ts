// Tests how doctor tells a region that does not exist from DNS that does not work.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeConnection, type RegionProbe } from '../../src/diagnosis/aws-connection-results.ts';
import { describeIdentities } from '../../src/diagnosis/aws-identity-results.ts';
import { defaultIdentity } from '../../src/ecr/identity.ts';
import { TokenError } from '../../src/ecr/token-error.ts';
import { registry } from '../ecr/token-fixtures.ts';

const reached: RegionProbe = {
  region: 'eu-central-1',
  endpoint: 'api.ecr.eu-central-1.amazonaws.com',
  proxy: undefined,
  failure: undefined,
  isUnknownHost: false,
  clockAheadMs: 100,
};

const misspelt: RegionProbe = {
  region: 'eu-cental-1',
  endpoint: 'api.ecr.eu-cental-1.amazonaws.com',
  proxy: undefined,
  failure: new TokenError({ code: 'network', region: 'eu-cental-1', detail: 'ENOTFOUND' }),
  isUnknownHost: true,
  clockAheadMs: undefined,
};

const silent: RegionProbe = {
  ...reached,
  failure: new TokenError({ code: 'timeout', region: 'eu-central-1' }),
  clockAheadMs: undefined,
};

describe('an endpoint without a host', () => {
  it('is that of a region that does not exist if another responds', () => {
    const findings = describeConnection([misspelt], reached);
    assert.equal(findings.obstacle, undefined);
    const target = { namespace: 'shop', registry: registry('eu-cental-1'), identity: defaultIdentity };
    const results = describeIdentities({
      targets: { endpoints: [target], moreEndpoints: 0, rules: [], untestedRules: [], unresolved: [] },
      attempts: {
        own: {
          value: {
            arn: 'arn:aws:iam::123456789012:user/x',
            account: '123456789012',
            provider: 'environment',
          },
        },
        rules: [],
        tokens: [],
      },
      silent: [misspelt],
      isClockOff: false,
    });
    const [failed] = results.filter(({ outcome }) => outcome === 'failed');
    assert.match(failed?.summary ?? '', /region eu-cental-1 does not exist, or its name is misspelt/);
  });

  it('is not blamed if nothing responds', () => {
    const { results, obstacle } = describeConnection([misspelt], silent);
    assert.ok(obstacle);
    const [failed] = results.filter(({ outcome }) => outcome === 'failed');
    assert.match(
      failed?.summary ?? '',
      /cannot be reached at api\.ecr\.eu-central-1\.amazonaws\.com: timed out/,
    );
  });
});

describe('an unknown host of every region', () => {
  it('is a problem of DNS and not of a name', () => {
    const { results } = describeConnection([misspelt], {
      ...misspelt,
      region: 'us-east-1',
      endpoint: 'x.example',
    });
    const [failed] = results.filter(({ outcome }) => outcome === 'failed');
    assert.match(failed?.summary ?? '', /cannot be reached at x\.example: DNS finds no host of AWS/);
    assert.match(failed?.remedy ?? '', /^Check DNS/);
  });
});

describe('the clock', () => {
  for (const [aheadMs, outcome, text] of [
    [1_000, 'ok', /agrees/],
    [-60_000, 'warning', /1m behind/],
    [3_600_000, 'failed', /1h0m ahead of/],
    [undefined, 'skipped', /no date/],
  ] as const) {
    it(`is ${outcome} if it is ${aheadMs} ms ahead`, () => {
      const { results, isClockOff } = describeConnection([{ ...reached, clockAheadMs: aheadMs }]);
      const clock = results.find(({ check }) => check === 'aws-clock');
      assert.equal(clock?.outcome, outcome);
      assert.match(clock?.summary ?? '', text);
      assert.equal(isClockOff, outcome === 'failed');
    });
  }
});
