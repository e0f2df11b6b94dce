// Tests the settings of managed certificates and their defaults.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { resolveManagedSettings } from '../../src/certificates/managed-certificates.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { dayMs } from './test-certificates.ts';

const folder = await mkdtemp(join(tmpdir(), 'settings-'));
after(() => rm(folder, { recursive: true }));

async function clusterIn(namespace: string | undefined) {
  const kubeconfigPath = join(folder, `${namespace ?? 'none'}.json`);
  const context = { cluster: 'c', user: 'u', ...(namespace !== undefined && { namespace }) };
  const clusters = [{ name: 'c', cluster: { server: 'https://127.0.0.1:1' } }];
  const users = [{ name: 'u', user: {} }];
  const kubeconfig = { clusters, users, contexts: [{ name: 'x', context }], 'current-context': 'x' };
  await writeFile(kubeconfigPath, JSON.stringify(kubeconfig));
  return loadKubeConfig({ kubeconfigPath, requestTimeoutMs: 1_000, userAgent: 'test' });
}

describe('the settings of managed certificates', () => {
  it('are those of the chart by default', async () => {
    const { location, issueRules } = resolveManagedSettings(
      readConfig('', 'defaults'),
      await clusterIn('apps'),
    );
    assert.deepEqual(location, {
      namespace: 'apps',
      secretName: 'ecr-pull-secrets-tls',
      webhookConfiguration: 'zz-ecr-pull-secrets',
    });
    const names = ['ecr-pull-secrets.apps.svc', 'ecr-pull-secrets.apps.svc.cluster.local'];
    assert.deepEqual(issueRules, { names, caLifetimeMs: 365 * dayMs, certificateLifetimeMs: 7 * dayMs });
  });

  it('are those of the configuration', async () => {
    const yaml =
      'certificates: { source: managed, namespace: other, service: web, dnsNames: ["*.x.y"], ipAddresses: ["::1"], leafLife: 24h }';
    const { location, issueRules } = resolveManagedSettings(
      readConfig(yaml, 'set'),
      await clusterIn(undefined),
    );
    assert.equal(location.namespace, 'other');
    assert.deepEqual(issueRules.names, ['web.other.svc', 'web.other.svc.cluster.local', '*.x.y', '::1']);
    assert.equal(issueRules.certificateLifetimeMs, dayMs);
  });

  it('need a namespace', async () => {
    const cluster = await clusterIn(undefined);
    assert.throws(() => resolveManagedSettings(readConfig('', 'defaults'), cluster), {
      code: 'no-namespace',
    });
  });

  const invalid: [string, RegExp][] = [
    ['source: self', /certificates\.source must be files or managed/],
    ['dnsNames: [A.b]', /certificates\.dnsNames\[0\] must be a DNS name in lowercase/],
    ['dnsNames: ["1.2.3.4"]', /certificates\.dnsNames\[0\] must be a DNS name, not an IP address/],
    ['ipAddresses: ["fe80::1%eth0"]', /certificates\.ipAddresses\[0\] must be an IP address/],
    ['leafLife: 9m', /certificates\.leafLife must be a duration from 10m to 87600h/],
    ['authorityLife: 87601h', /certificates\.authorityLife must be a duration from 10m to 87600h/],
  ];
  for (const [yaml, problem] of invalid) {
    it(`reject ${yaml}`, () => {
      assert.throws(() => readConfig(`certificates: { ${yaml} }`, 'bad'), problem);
    });
  }
});
