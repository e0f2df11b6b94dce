// Tests which ECR and STS endpoint the SDK calls for each host, partition and environment.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { IdentityRule } from '../../src/ecr/identity-rules.ts';
import type { Registry } from '../../src/ecr/registry.ts';
import { pickFoundSettings } from '../../src/ecr/token-api.ts';
import { registryOfHost } from '../support/registries.ts';
import { startConnectProxy } from './connect-proxy.ts';
import { fetchTokensWithEnvironment } from './token-fetch.ts';

/** All calls go to a proxy that opens no tunnel. Its CONNECT requests show the endpoints. */
async function getCalledEndpoints(
  environment: Record<string, string>,
  hosts: readonly string[],
  rules: readonly IdentityRule[] = [],
): Promise<string[]> {
  const proxy = await startConnectProxy();
  const basics = {
    AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE000000000',
    AWS_SECRET_ACCESS_KEY: 'example',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
    HTTPS_PROXY: proxy.url,
  };
  const results = await fetchTokensWithEnvironment({ ...basics, ...environment }, hosts, rules);
  await proxy.stop();
  assert.deepEqual(new Set(results), new Set(['proxy']));
  return proxy.tunnels.map((tunnel) => tunnel.replace(/:443$/, ''));
}

const hosts = [
  '123456789012.dkr.ecr.eu-west-1.amazonaws.com',
  '123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn',
  '123456789012.dkr.ecr-fips.us-east-1.amazonaws.com',
  '123456789012.dkr-ecr.us-east-1.on.aws',
];

describe('endpoints of ECR', () => {
  it('are of the same kind as the host', async () => {
    assert.deepEqual(await getCalledEndpoints({}, hosts), [
      'api.ecr.eu-west-1.amazonaws.com',
      'api.ecr.cn-north-1.amazonaws.com.cn',
      'api.ecr-fips.us-east-1.amazonaws.com',
      'ecr.us-east-1.api.aws',
    ]);
  });

  it('are FIPS for all hosts with AWS_USE_FIPS_ENDPOINT', async () => {
    assert.deepEqual(await getCalledEndpoints({ AWS_USE_FIPS_ENDPOINT: 'true' }, hosts), [
      'api.ecr-fips.eu-west-1.amazonaws.com',
      'api.ecr-fips.cn-north-1.amazonaws.com.cn',
      'api.ecr-fips.us-east-1.amazonaws.com',
      'ecr-fips.us-east-1.api.aws',
    ]);
  });

  it('are dual-stack for all hosts with AWS_USE_DUALSTACK_ENDPOINT', async () => {
    assert.deepEqual(await getCalledEndpoints({ AWS_USE_DUALSTACK_ENDPOINT: 'true' }, hosts), [
      'ecr.eu-west-1.api.aws',
      'ecr.cn-north-1.api.amazonwebservices.com.cn',
      'ecr-fips.us-east-1.api.aws',
      'ecr.us-east-1.api.aws',
    ]);
  });

  it('are those of the partition', async () => {
    const expected = {
      'dkr.ecr.ap-southeast-7.amazonaws.com': 'api.ecr.ap-southeast-7.amazonaws.com',
      'dkr.ecr.us-gov-west-1.amazonaws.com': 'api.ecr.us-gov-west-1.amazonaws.com',
      'dkr-ecr-fips.us-gov-west-1.on.aws': 'ecr-fips.us-gov-west-1.api.aws',
      'dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn': 'ecr.cn-northwest-1.api.amazonwebservices.com.cn',
      'dkr.ecr.eusc-de-east-1.amazonaws.eu': 'api.ecr.eusc-de-east-1.amazonaws.eu',
      'dkr-ecr.eusc-de-east-1.on.amazonwebservices.eu': 'ecr.eusc-de-east-1.api.amazonwebservices.eu',
      'dkr.ecr.us-iso-east-1.c2s.ic.gov': 'api.ecr.us-iso-east-1.c2s.ic.gov',
      'dkr-ecr.us-iso-east-1.on.aws.ic.gov': 'ecr.us-iso-east-1.api.aws.ic.gov',
      'dkr.ecr.us-isob-east-1.sc2s.sgov.gov': 'api.ecr.us-isob-east-1.sc2s.sgov.gov',
      'dkr-ecr.us-isob-east-1.on.aws.scloud': 'ecr.us-isob-east-1.api.aws.scloud',
      'dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk': 'api.ecr.eu-isoe-west-1.cloud.adc-e.uk',
      'dkr-ecr.eu-isoe-west-1.on.cloud-aws.adc-e.uk': 'ecr.eu-isoe-west-1.api.cloud-aws.adc-e.uk',
      'dkr.ecr.us-isof-south-1.csp.hci.ic.gov': 'api.ecr.us-isof-south-1.csp.hci.ic.gov',
      'dkr-ecr.us-isof-south-1.on.aws.hci.ic.gov': 'ecr.us-isof-south-1.api.aws.hci.ic.gov',
    };
    const called = await getCalledEndpoints(
      {},
      Object.keys(expected).map((rest) => `123456789012.${rest}`),
    );
    assert.deepEqual(called, Object.values(expected));
  });
});

describe('endpoints of ECR Public', () => {
  const hosts = ['public.ecr.aws', 'ecr-public.aws.com'];

  it('are of the same kind as the host, in the only region that issues tokens', async () => {
    assert.deepEqual(await getCalledEndpoints({ AWS_REGION: 'eu-central-1' }, hosts), [
      'api.ecr-public.us-east-1.amazonaws.com',
      'ecr-public.us-east-1.api.aws',
    ]);
  });

  it('are not the endpoint that is set for ECR', async () => {
    const environment = { AWS_ENDPOINT_URL_ECR: 'https://api.example.com' };
    assert.deepEqual(await getCalledEndpoints(environment, ['public.ecr.aws']), [
      'api.ecr-public.us-east-1.amazonaws.com',
    ]);
  });

  it('are the endpoint that is set for ECR Public, for both hosts', async () => {
    const environment = { AWS_ENDPOINT_URL_ECR_PUBLIC: 'https://api.example.com' };
    const called = await getCalledEndpoints(environment, hosts);
    assert.deepEqual(new Set(called), new Set(['api.example.com']));
  });
});

/** A user can make up the region in an image name, so STS must not be called in that region. */
describe('endpoints of STS', () => {
  const image = ['123456789012.dkr.ecr.xx-made-1.amazonaws.com'];
  const role = (partition: string) => [{ roleArn: `arn:${partition}:iam::210987654321:role/puller` }];
  const cases: [string, Record<string, string>, readonly IdentityRule[], string][] = [
    ['a role', {}, role('aws'), 'sts.us-east-1.amazonaws.com'],
    ['a role with AWS_REGION', { AWS_REGION: 'eu-central-1' }, role('aws'), 'sts.eu-central-1.amazonaws.com'],
    [
      'a role of China',
      { AWS_REGION: 'eu-central-1' },
      role('aws-cn'),
      'sts.cn-northwest-1.amazonaws.com.cn',
    ],
    [
      'a role with AWS_USE_FIPS_ENDPOINT',
      { AWS_USE_FIPS_ENDPOINT: 'true' },
      role('aws'),
      'sts-fips.us-east-1.amazonaws.com',
    ],
  ];
  for (const [what, environment, rules, expected] of cases) {
    it(`are ${expected} for ${what}`, async () => {
      assert.deepEqual(await getCalledEndpoints(environment, image, rules), [expected]);
    });
  }

  const webCases: [Record<string, string>, string][] = [
    [{}, 'sts.us-east-1.amazonaws.com'],
    [{ AWS_REGION: 'eu-central-1' }, 'sts.eu-central-1.amazonaws.com'],
    [{ AWS_ROLE_ARN: 'arn:aws-cn:iam::123456789012:role/web' }, 'sts.cn-northwest-1.amazonaws.com.cn'],
  ];
  for (const [environment, expected] of webCases) {
    it(`are ${expected} for a web identity with ${JSON.stringify(environment)}`, async () => {
      const directory = await mkdtemp(join(tmpdir(), 'tokens-'));
      const file = join(directory, 'token');
      await writeFile(file, 'eyJexample.eyJexample.c2lnbmF0dXJl');
      const web = {
        AWS_ACCESS_KEY_ID: '',
        AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/web',
        AWS_WEB_IDENTITY_TOKEN_FILE: file,
      };
      assert.deepEqual(await getCalledEndpoints({ ...web, ...environment }, image), [expected]);
      await rm(directory, { recursive: true });
    });
  }
});

describe('settings that a client shares with the next one', () => {
  const host = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
  const dualStackHost = '123456789012.dkr-ecr.us-east-1.on.aws';
  const config = {
    maxAttempts: 1,
    retryMode: 'standard',
    useFipsEndpoint: true,
    useDualstackEndpoint: false,
  };
  const pick = (registry: Registry) => {
    const { maxAttempts, retryMode, ...found } = pickFoundSettings(config, registry);
    assert.deepEqual([maxAttempts, retryMode], [1, 'standard']);
    return found;
  };

  it('do not include the FIPS flag, which depends on the region', () => {
    assert.equal('useFipsEndpoint' in pick(registryOfHost(host)), false);
  });

  it('include the dual-stack flag, unless the registry has its own', () => {
    const mapped: Registry = {
      ...registryOfHost(host),
      kind: 'private',
      account: '123456789012',
      endpoint: 'http://localstack.example:4566',
    };
    assert.equal(pick(registryOfHost(host)).useDualstackEndpoint, false);
    assert.equal(pick(registryOfHost(dualStackHost)).useDualstackEndpoint, undefined);
    assert.equal(pick(mapped).useDualstackEndpoint, undefined);
  });
});
