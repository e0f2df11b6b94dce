// Tests of the notes that Helm prints after the installation.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeWithHelm } from './chart-suite.ts';
import { chartFolder, type Values } from './helm.ts';
import { registry } from './install-modes.ts';

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
});
