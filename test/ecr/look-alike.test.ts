// Tests the reasons why hosts that look like Amazon ECR are none.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explainLookAlike } from '../../src/ecr/look-alike.ts';

describe('a host that looks like ECR', () => {
  for (const [host, reason] of [
    ['12345678901.dkr.ecr.eu-central-1.amazonaws.com', /account of 11 digits; AWS accounts have 12/],
    ['my-account.dkr.ecr.eu-central-1.amazonaws.com', /does not begin with an AWS account/],
    ['123456789012.DKR.ecr.eu-central-1.amazonaws.com', /uppercase letters; write 123456789012\.dkr\.ecr/],
    ['123456789012.dkr.ecr.frankfurt.amazonaws.com', /has frankfurt in place of a region/],
    [
      '123456789012.dkr.ecr.eu-central-1.amazonaw.com',
      /ends with amazonaw\.com, but .* end with amazonaws\.com/,
    ],
    ['123456789012.dkr.ecr.cn-north-1.amazonaws.com', /end with amazonaws\.com\.cn/],
    ['123456789012.dkr.ecr.eu-central-1.amazonaws.com:0', /invalid port/],
    ['123456789012.ecr.eu-central-1.amazonaws.com', /does not have the form ACCOUNT\.dkr\.ecr/],
    ['ecr.eu-central-1.amazonaws.com', /does not have the form/],
  ] as const) {
    it(`is explained: ${host}`, () => {
      assert.match(explainLookAlike(host) ?? '', reason);
    });
  }

  for (const host of [
    '123456789012.dkr.ecr.eu-central-1.amazonaws.com',
    '123456789012.dkr-ecr.eu-central-1.on.aws',
    'public.ecr.aws',
    'docker.io',
    'registry.example.com:5000',
    'secret.example.com',
    'x'.repeat(1000),
  ]) {
    it(`is nothing to explain for ${host.slice(0, 60)}`, () => {
      assert.equal(explainLookAlike(host), undefined);
    });
  }
});
