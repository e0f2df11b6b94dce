// Who takes the Secret of a managed certificate away after the chart is uninstalled.
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { controllerName, startController } from './certificate-controller.ts';
import { describeChartOnCluster } from './chart-suite.ts';
import { createRelease, type Release } from './release.ts';
import { getValueAt } from './rendered-objects.ts';

// on in OpenShift: who changes owners must be allowed to delete the object
const args = ['--enable-admission-plugins=OwnerReferencesPermissionEnforcement'];

describeChartOnCluster(
  'the Secret of a managed certificate',
  (cluster, helm) => {
    let release: Release;
    let owners: string[];
    before(async () => {
      release = await createRelease(cluster(), helm());
      await release.install();
      owners = [
        `/api/v1/namespaces/${release.namespace}/serviceaccounts/${controllerName}`,
        '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-ecr-pull-secrets',
      ];
    });
    const path = () => `/api/v1/namespaces/${release.namespace}/secrets/ecr-pull-secrets-tls`;
    const get = (what: string) => cluster().request('GET', what);
    const stored = async () => {
      const { status, body } = await get(path());
      return status === 200 ? body : undefined;
    };
    const references = (secret: unknown) =>
      getValueAt(secret, 'metadata.ownerReferences').map(({ kind, name, uid }: Record<string, string>) => ({
        kind,
        name,
        uid,
      }));
    const expected = () =>
      Promise.all(
        owners.map(async (owner, index) => {
          const { name, uid } = getValueAt((await get(owner)).body, 'metadata');
          return { kind: ['ServiceAccount', 'MutatingWebhookConfiguration'][index], name, uid };
        }),
      );

    it('belongs to the account that manages it and to the webhook configuration', async () => {
      const controller = await startController(cluster(), release);
      try {
        const secret = await eventually('the Secret is there', stored, 60_000);
        assert.deepEqual(references(secret), await expected());
      } finally {
        await controller.stop();
      }
    });

    /** Changes the Secret as an administrator, and gives what the controller makes of it. */
    const repairedAfter = async (metadata: object) => {
      const spoiled = { metadata, data: { 'tls.crt': btoa('spoiled') } };
      const contentType = 'application/merge-patch+json';
      assert.equal((await cluster().request('PATCH', path(), spoiled, { contentType })).status, 200);
      const controller = await startController(cluster(), release);
      const repaired = async () => {
        const secret = await stored();
        return getValueAt(secret, 'data')['tls.crt'] === btoa('spoiled') ? undefined : secret;
      };
      try {
        return await eventually('the Secret is repaired', repaired, 60_000);
      } finally {
        await controller.stop();
      }
    };

    it('keeps its owners when it is changed', async () => {
      assert.deepEqual(references(await repairedAfter({})), await expected());
    });

    it('is managed without owners too, as an earlier version made it: nobody may delete it', async () => {
      const repaired = await repairedAfter({ ownerReferences: null });
      assert.equal(getValueAt(repaired, 'metadata.ownerReferences'), undefined);
    });

    it('has no owner left after an uninstallation, so that the garbage collector deletes it', async () => {
      await release.uninstall();
      for (const owner of owners) assert.equal((await get(owner)).status, 404, owner);
    });
  },
  { args, ownApiServer: true },
);
