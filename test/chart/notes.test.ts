// Tests of the notes that Helm prints after the installation.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeWithHelm } from './chart-suite.ts';
import { chartFolder, type Values } from './helm.ts';
import { registry, rolesAnywhere } from './install-modes.ts';

describeWithHelm('the notes after the installation', (helm) => {
  const notes = async (values: Values): Promise<string> => {
    const install = ['install', 'ecr-pull-secrets', chartFolder, '--namespace', 'pulls', '--dry-run=client'];
    const { code, stdout, stderr } = await helm().run(install, values);
    assert.equal(code, 0, stderr);
    return stdout.slice(stdout.indexOf('NOTES:')).replace(/\s+/g, ' ');
  };
  const image = { repository: `${registry}/ecr-pull-secrets` };
  const hint =
    /Create the pull Secret for the program's own image, which is in Amazon ECR, .* cannot start without it/;
  const renewHint =
    /add pulls to config\.provisioning\.namespaces\.names and `name: ecr-pull-secrets` to imagePullSecrets/;

  it('describe what an image in ECR needs, unless it is configured', async () => {
    assert.doesNotMatch(await notes({}), hint);
    assert.match(await notes({ image }), hint);
    assert.match(await notes({ image }), renewHint);
    const provisioning = { registries: [registry], namespaces: { names: ['pulls'] } };
    const set = { image, imagePullSecrets: [{ name: 'ecr-pull-secrets' }], config: { provisioning } };
    assert.match(await notes(set), hint);
    assert.doesNotMatch(await notes(set), renewHint);
  });

  it('say how to restrict the port of the webhook, which NetworkPolicies cannot do in the network of the nodes', async () => {
    const networkPolicy = { enabled: true, apiServerCidrs: ['10.0.0.0/28'] };
    const clientAuth = { enabled: true, secretName: 'ca', allowedNames: ['kube-apiserver'] };
    const port = /Restrict the webhook's port\./;
    const byPolicy = /Set webhook\.clientAuth, or networkPolicy with the API server's addresses/;
    const onNodes =
      /Set webhook\.clientAuth, because NetworkPolicies do not apply to the network of the nodes/;
    assert.match(await notes({}), byPolicy);
    assert.doesNotMatch(await notes({ networkPolicy }), port);
    assert.match(await notes({ networkPolicy, hostNetwork: true }), onNodes);
    assert.doesNotMatch(await notes({ hostNetwork: true, webhook: { clientAuth } }), port);
  });

  it('warn of credentials that every process in the network of a node gets', async () => {
    const aws = { credentials: { source: 'rolesAnywhere', rolesAnywhere } };
    const warning = /every process in the network of a node gets the AWS credentials from 127\.0\.0\.1:9911/;
    assert.match(await notes({ hostNetwork: true, aws }), warning);
    assert.doesNotMatch(await notes({ aws }), warning);
    assert.doesNotMatch(await notes({ hostNetwork: true }), warning);
  });
});
