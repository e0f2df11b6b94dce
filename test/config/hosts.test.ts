// The settings `hosts` and `publicRegistry`, and which hosts `provisioning.registries` accepts with them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stringify } from 'yaml';
import { ConfigError, readConfig } from '../../src/config/load-config.ts';

const account = '123456789012';
const region = 'eu-central-1';
const ecrHost = `${account}.dkr.ecr.${region}.amazonaws.com`;

function problemsOf(config: object): string[] {
  try {
    readConfig(stringify(config), 'test.yaml');
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(({ path, text }) => `${path} ${text}`);
  }
  return [];
}

/** The problems of one host with a mapping. */
function problemsOfHost(host: string, mapping: unknown = { account, region }): string[] {
  return problemsOf({ hosts: { [host]: mapping } });
}

describe('the setting hosts', () => {
  it('is empty by default, and the public registry is off', () => {
    const { hosts, publicRegistry } = readConfig('', 'nothing');
    assert.deepEqual([hosts, publicRegistry], [{}, false]);
  });

  it('accepts host names with a port and an endpoint, which may be http', () => {
    const hosts = {
      'registry.example.com': { account, region },
      'localhost:4566': { account, region: 'us-east-1', endpoint: 'http://localstack.example:4566' },
      [ecrHost]: { account, region, endpoint: 'https://vpce-1.api.ecr.eu-central-1.vpce.amazonaws.com/' },
    };
    assert.deepEqual(readConfig(stringify({ hosts }), 'test.yaml').hosts, hosts);
  });

  it('reports hosts that container runtimes do not use as such', () => {
    assert.deepEqual(
      problemsOf({
        hosts: { 'docker.io': { account, region }, 'Example.com': { account, region }, team: {} },
      }),
      [
        'hosts["docker.io"] is Docker Hub, which is not an Amazon ECR registry',
        'hosts["Example.com"] is not a host name or IPv4 address in lowercase with an optional port, such as registry.example.com:5000',
        'hosts.team needs a dot or a port, because container runtimes read an image team/app as docker.io/team/app',
        'hosts.team.account is required',
        'hosts.team.region is required',
      ],
    );
  });

  it('reports every problem of a mapping with its path', () => {
    const mapping = { acount: 1, account: '*', region: 'Frankfurt', endpoint: 'localhost:4566' };
    assert.deepEqual(problemsOfHost('registry.example.com:5000', mapping), [
      'hosts["registry.example.com:5000"].acount is not a known key; did you mean account?',
      'hosts["registry.example.com:5000"].account must be an AWS account ID in quotes, such as "123456789012", not "*"',
      'hosts["registry.example.com:5000"].region must be a region such as eu-central-1, not "Frankfurt"',
      'hosts["registry.example.com:5000"].endpoint must be a URL that begins with https:// or http://, not "localhost:4566"',
    ]);
    assert.deepEqual(problemsOfHost('registry.example.com', null), [
      'hosts["registry.example.com"] must be a mapping with account and region, not null',
    ]);
    assert.equal(problemsOf({ hosts: ['registry.example.com'] })[0], 'hosts must be a mapping, not a list');
    assert.deepEqual(problemsOf({ hosts: 'registry.example.com', publicRegistry: 'yes' }), [
      'hosts must be a mapping of host names, not "registry.example.com"',
      'publicRegistry must be true or false, not "yes"',
    ]);
  });

  for (const endpoint of [
    'https://',
    'https:///path',
    'ftp://example.com',
    'https://user@example.com',
    'https://example.com?x',
    'https://example.com#x',
    'https://exa mple.com',
    'https://example.com:99999',
    '',
  ]) {
    it(`does not accept the endpoint ${JSON.stringify(endpoint)}`, () => {
      const problems = problemsOfHost('registry.example.com', { account, region, endpoint });
      assert.match(problems[0] ?? '', /^hosts\["registry\.example\.com"\]\.endpoint must be a URL /);
    });
  }

  it('does not accept an ECR host with another account or region than its name says', () => {
    const endpoint = 'https://api.example.com';
    assert.deepEqual(problemsOfHost(ecrHost, { account: '210987654321', region: 'eu-west-1', endpoint }), [
      `hosts["${ecrHost}"] has account 210987654321 and region eu-west-1, but the name says ${account} and ${region}`,
    ]);
  });

  it('does not accept mappings without an effect', () => {
    assert.deepEqual(problemsOfHost(ecrHost), [
      `hosts["${ecrHost}"] has no effect without endpoint, because the name of an ECR host says its account and region; remove it`,
    ]);
    for (const host of ['public.ecr.aws', 'ecr-public.aws.com:443']) {
      assert.deepEqual(problemsOfHost(host), [
        `hosts["${host}"] is the public registry, which belongs to no account; set publicRegistry: true instead`,
      ]);
    }
    const hosts = { 'registry.example.com': { account, region } };
    assert.deepEqual(problemsOf({ hosts, exclude: { accounts: ['1234*'] } }), [
      `hosts["registry.example.com"] is in account ${account}, which exclude.accounts excludes; remove it from one of them`,
    ]);
  });
});

describe('the hosts to provision', () => {
  it('can be configured hosts and the public registry', () => {
    const registries = [ecrHost, 'registry.example.com:5000', 'public.ecr.aws'];
    const hosts = { 'registry.example.com:5000': { account, region } };
    assert.deepEqual(problemsOf({ hosts, publicRegistry: true, provisioning: { registries } }), []);
    assert.deepEqual(problemsOf({ publicRegistry: true, exclude: { accounts: ['*'] } }), []);
  });

  it('are no others', () => {
    const registries = ['registry.example.com', `${ecrHost}.example`, 'public.ecr.aws'];
    const hosts = { 'registry.example.com:5000': { account, region } };
    const neither = `is neither an ECR host such as ${ecrHost} nor a key of hosts`;
    assert.deepEqual(problemsOf({ hosts, provisioning: { registries } }), [
      `provisioning.registries[0] is registry.example.com, which ${neither}`,
      `provisioning.registries[1] is ${ecrHost}.example, which ${neither}`,
      'provisioning.registries[2] is public.ecr.aws, which is the public registry; it needs publicRegistry: true',
    ]);
  });
});
