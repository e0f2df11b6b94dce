// Tests that the NetworkPolicies allow the connections that the program needs, and no others.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeWithHelm } from './chart-suite.ts';
import type { Values } from './helm.ts';
import { registry, rolesAnywhere } from './install-modes.ts';
import { findOne, getValueAt } from './rendered-objects.ts';

const podIdentity = ['169.254.170.23/32', 'fd00:ec2::23/128'];
const instanceMetadata = ['169.254.169.254/32', 'fd00:ec2::254/128'];
const containerCredentials = ['169.254.170.2/32'];

describeWithHelm('egress of the NetworkPolicies', (helm) => {
  /** The permitted destinations except DNS and the API server, as `PORT` for any address or `PORT CIDR`. */
  const reached = async (values: Values = {}, name = 'ecr-pull-secrets'): Promise<string[]> => {
    const networkPolicy = { enabled: true, apiServerPorts: [6443] };
    const objects = await helm().template({ networkPolicy, ...values });
    const rules: unknown[] = getValueAt(findOne(objects, 'NetworkPolicy', name), 'spec.egress');
    const all = rules.flatMap((rule) => {
      const peers: unknown[] = getValueAt(rule, 'to') ?? [undefined];
      return getValueAt(rule, 'ports').flatMap((one: { port: number }) =>
        peers.map((peer) =>
          [one.port, ...(peer === undefined ? [] : [getValueAt(peer, 'ipBlock.cidr')])].join(' '),
        ),
      );
    });
    return all.filter((one) => !['53', '6443'].includes(one)).sort();
  };
  const http = (cidrs: string[]) => cidrs.map((cidr) => `80 ${cidr}`);
  const sources: [string, Values, string[]][] = [
    ['default', {}, [...podIdentity, ...instanceMetadata, ...containerCredentials]],
    ['instanceProfile', {}, instanceMetadata],
    ['secret', { secret: { name: 'aws' } }, []],
    ['webIdentity', { webIdentity: { roleArn: 'arn:aws:iam::123456789012:role/x' } }, []],
    ['rolesAnywhere', { rolesAnywhere }, []],
  ];
  for (const [source, credentials, endpoints] of sources) {
    it(`allows AWS and what the credentials of ${source} need, and nothing else`, async () => {
      const aws = { credentials: { source, ...credentials } };
      assert.deepEqual(await reached({ aws }), ['443', ...http(endpoints)].sort());
      const values = {
        aws,
        cronJob: { enabled: true },
        config: { provisioning: { registries: [registry] } },
      };
      assert.deepEqual(
        await reached(values, 'ecr-pull-secrets-sync'),
        ['443', ...http(endpoints)].sort(),
        'sync',
      );
    });
  }

  it('allows the proxy and the endpoints in extraEnv', async () => {
    const ports = async (name: string, value: string) => {
      const aws = { credentials: { source: 'secret', secret: { name: 'aws' } } };
      const extraEnv = [{ name, value }];
      return (await reached({ aws, extraEnv })).filter((port) => port !== '443');
    };
    assert.deepEqual(await ports('HTTPS_PROXY', 'http://proxy.example:3128'), ['3128']);
    assert.deepEqual(await ports('https_proxy', 'http://user:p%40ss@[2001:db8::1]:3129/'), ['3129']);
    assert.deepEqual(await ports('HTTPS_PROXY', 'proxy.example:8080'), ['8080']);
    assert.deepEqual(await ports('HTTPS_PROXY', 'http://proxy.example'), ['80']);
    assert.deepEqual(await ports('HTTPS_PROXY', 'https://proxy.example'), []);
    assert.deepEqual(await ports('ALL_PROXY', 'socks5://10.0.0.1'), ['1080']);
    assert.deepEqual(await ports('AWS_ENDPOINT_URL_ECR', 'https://vpce.example:8443/'), ['8443']);
    assert.deepEqual(await ports('AWS_CONTAINER_CREDENTIALS_FULL_URI', 'http://169.254.170.9/x'), ['80']);
    assert.deepEqual(await ports('AWS_EC2_METADATA_SERVICE_ENDPOINT', 'http://[fd00:ec2::254]'), ['80']);
    assert.deepEqual(await ports('NO_PROXY', 'internal.example:9999'), []);
    assert.deepEqual(await ports('HTTPS_PROXY', ''), []);
  });

  it('allows the endpoints of other hosts', async () => {
    const aws = { credentials: { source: 'secret', secret: { name: 'aws' } } };
    const hosts = Object.fromEntries(
      ['http://localstack.example:4566', 'http://ecr.example', 'https://ecr.example:8443/x', undefined].map(
        (endpoint, index) => [
          `registry-${index}.example.com`,
          { account: '123456789012', region: 'eu-west-1', ...(endpoint && { endpoint }) },
        ],
      ),
    );
    assert.deepEqual(await reached({ aws, config: { hosts } }), ['443', '4566', '80', '8443']);
  });

  it('opens each port once, and ignores variables with valueFrom', async () => {
    const extraEnv = [
      { name: 'HTTPS_PROXY', value: 'http://proxy.example:3128' },
      { name: 'https_proxy', value: 'http://proxy.example:3128' },
      { name: 'ALL_PROXY', valueFrom: { secretKeyRef: { name: 'proxy', key: 'url' } } },
    ];
    const aws = { credentials: { source: 'secret', secret: { name: 'aws' } } };
    assert.deepEqual(await reached({ aws, extraEnv }), ['3128', '443']);
  });
});
