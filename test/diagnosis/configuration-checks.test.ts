// Tests what the group configuration reports.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readConfig } from '../../src/config/load-config.ts';
import type { CheckResult } from '../../src/diagnosis/check.ts';
import { createConfigurationChecks } from '../../src/diagnosis/configuration-checks.ts';
import { ClusterConfig } from '../../src/kube/client.ts';
import { brief } from './diagnosis-fixtures.ts';

describe('the group configuration', () => {
  const check = async (yaml: string, problem?: CheckResult) =>
    await createConfigurationChecks(problem, { name: 'config.yaml', foundBy: 'given' })(
      {
        viewpoint: 'inside',
        config: readConfig(yaml, 'test'),
        cluster: new ClusterConfig({ requestTimeoutMs: 1000, userAgent: 'test' }),
        namespace: 'pulls',
        environment: {},
      },
      new AbortController().signal,
    );

  it('lists the settings that differ from the defaults, without external IDs', async () => {
    const [valid] = await check(`
webhook: { port: 9443, shutdownDelay: 90s, deadlineMargin: 0s }
exclude: { accounts: ["111111111111"] }
hosts: { "registry.example.com": { account: "123456789012", region: eu-central-1 } }
registries: [{ roleArn: "arn:aws:iam::123456789012:role/a", externalId: canary-external-id }]
`);
    assert.equal(
      valid && brief(valid),
      'ok: the configuration is valid (config.yaml); 6 settings differ from the defaults',
    );
    assert.deepEqual(valid?.details, [
      'exclude.accounts: 111111111111',
      'registries: 1 rule',
      'hosts: 1 host name',
      'webhook.port: 9443',
      'webhook.deadlineMargin: 0s',
      'webhook.shutdownDelay: 90s',
    ]);
    assert.ok(!JSON.stringify(valid).includes('canary'));
    const [defaults] = await check('');
    assert.match(defaults?.summary ?? '', /all settings have their defaults$/);
  });

  it('warns of settings without an effect', async () => {
    const [, unused] = await check('provisioning: { namespaces: { selector: a=b } }');
    assert.equal(
      unused && brief(unused),
      'warning: provisioning.namespaces.selector has no effect, because provisioning.registries is empty',
    );
    const [, several] = await check(
      'certificates: { source: managed }\nwebhook: { certFile: /a, keyFile: /b }\nexclude: { namespaces: ["*"] }',
    );
    assert.equal(several && brief(several), 'warning: 3 settings have no effect');
    assert.match((await check(''))[1]?.outcome ?? '', /^ok$/);
  });

  it('reports only why the configuration is not known', async () => {
    const problem = { check: 'configuration-valid', outcome: 'failed', summary: 'broken' } as const;
    assert.deepEqual(await check('', problem), [problem]);
  });
});
