// The kubelet finds the tokens of other hosts and of the public registry in what the program writes.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createRegistryResolver } from '../../src/ecr/registry.ts';
import { Token } from '../../src/ecr/token.ts';
import { formatHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import { emptyContent, formatDockerConfig, mergeContent, readContent } from '../../src/pull-secrets/merge.ts';
import { describeWithKubeletParser } from '../cluster/kubelet-parser.ts';
import { allow } from '../support/identities.ts';

const account = '123456789012';
const region = 'eu-central-1';
const ecrHost = `${account}.dkr.ecr.${region}.amazonaws.com`;
const hosts = [
  ecrHost,
  'registry.example.com',
  'registry.example.com:5000',
  'localhost:4566',
  '10.1.2.3:5000',
  `${'a'.repeat(60)}.${'b'.repeat(50)}.example:65535`,
  'public.ecr.aws',
  'ecr-public.aws.com',
];
const mappings = hosts.slice(1, -2).map((host) => [host, { account, region }]);
const resolveRegistry = createRegistryResolver({ hosts: Object.fromEntries(mappings), publicRegistry: true });

describeWithKubeletParser('the kubelet', (kubelet) => {
  const now = Date.now();
  const desired = hosts.map((host) => {
    const validity = { issuedAt: now, expiresAt: now + 43_200_000 };
    return [host, new Token(btoa(`AWS:token-of-${host}`), validity)] as const;
  });
  const rules = { maxHosts: 200, shouldReplace: () => true, identityOf: () => allow(), now: () => now };
  const { content } = mergeContent('team', emptyContent, new Map(desired), rules);
  const document = formatDockerConfig(content.auths);

  for (const host of hosts) {
    it(`pulls from ${host} with the token of exactly this host and port`, async () => {
      for (const path of ['app', 'app:1', `team/app@sha256:${'0'.repeat(64)}`]) {
        const credentials = await kubelet().lookUp(document, `${host}/${path}`);
        assert.deepEqual(credentials, [['AWS', `token-of-${host}`, '']]);
      }
    });
  }

  it('uses none of them for other hosts and ports', async () => {
    for (const image of [
      'registry.example.com:5001/app',
      'x.registry.example.com/app',
      'public.ecr.aws:8443/app',
      `${ecrHost}:8443/app`,
      'busybox',
    ]) {
      assert.deepEqual(await kubelet().lookUp(document, image), [], image);
    }
  });

  it('reads what the program reads again', () => {
    const annotation = formatHosts(content.hosts, content.requestedAt);
    const again = readContent(document, annotation, resolveRegistry);
    assert.deepEqual(again.malformed, []);
    assert.deepEqual([...again.content.hosts.keys()].sort(), [...hosts].sort());
    assert.deepEqual(
      [...again.content.hosts.values()].filter((lifetime) => lifetime === undefined),
      [],
    );
  });
});
