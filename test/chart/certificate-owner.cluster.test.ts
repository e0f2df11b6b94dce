// Tests of the owner references that delete a managed certificate's Secret after the chart is uninstalled.
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { controllerName, startController } from './certificate-controller.ts';
import { describeChartOnCluster } from './chart-suite.ts';
import { createRelease, type Release } from './release.ts';
import { getValueAt } from './rendered-objects.ts';

// Enabled in OpenShift: a client that changes owner references needs permission to delete the object.
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

    it('is owned by the ServiceAccount that manages it and by the webhook configuration', async () => {
      const controller = await startController(cluster(), release);
      try {
        const secret = await eventually('the Secret exists', stored, 60_000);
        assert.deepEqual(references(secret), await expected());
      } finally {
        await controller.stop();
      }
    });

    /** Breaks the Secret as an administrator, and returns it after the controller has repaired it. */
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

    it('is also managed without owners, as created by an earlier version; the controller has no permission to delete it', async () => {
      const repaired = await repairedAfter({ ownerReferences: null });
      assert.equal(getValueAt(repaired, 'metadata.ownerReferences'), undefined);
    });

    it('has no owner left after an uninstallation, so that the garbage collector deletes it', async () => {
      await release.uninstall();
      for (const owner of owners) {
        assert.equal((await get(owner)).status, 404, owner);
      }
    });
  },
  { args, ownApiServer: true },
);
