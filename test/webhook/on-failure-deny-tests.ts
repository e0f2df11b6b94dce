// Tests which pods onFailure: deny denies, for any API server; used by admission.suite.ts.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { podWith } from '../support/pods.ts';
import { hostIn, setUpProgram } from '../support/program-fixture.ts';
import type { TestApiServer } from '../support/test-api-server.ts';

/** The program as configured by an operator who prefers no pod to one that cannot pull its images. */
export function denySuite(apiServer: () => TestApiServer): void {
  describe('with onFailure: deny', () => {
    const fixture = setUpProgram(apiServer, {
      onFailure: 'deny',
      secrets: { maxHosts: 2 },
      exclude: { accounts: ['999999999999'] },
    });

    it('denies a pod without a token with the reason, and admits it once there is a token', async () => {
      const namespace = await fixture().createNamespace();
      fixture().ecr.fail('not-base64', { region: 'us-east-2', times: 1 });
      const pod = podWith([`${hostIn('us-east-2')}/app`]);
      const denied = await fixture().createPod(namespace, pod);
      assert.equal(denied.status, 503);
      assert.match(JSON.stringify(denied.body), /no pull token for .*us-east-2.*: invalid response/);
      await eventually(
        'it is admitted',
        async () => (await fixture().createPod(namespace, pod)).status === 201,
      );
    });

    it('admits pods that it skips', async () => {
      const namespace = await fixture().createNamespace();
      const excluded = '999999999999.dkr.ecr.us-east-1.amazonaws.com/app';
      for (const image of ['busybox', excluded]) {
        assert.equal((await fixture().createPod(namespace, podWith([image]))).status, 201);
      }
    });

    it('gives the reason if the Secret has no room for another host', async () => {
      const namespace = await fixture().createNamespace();
      const images = ['us-west-1', 'us-west-2'].map((region) => `${hostIn(region)}/app`);
      assert.equal((await fixture().createPod(namespace, podWith(images))).status, 201);
      const third = await fixture().createPod(namespace, podWith([`${hostIn('us-east-1')}/app`]));
      assert.match(JSON.stringify(third.body), /no pull token for .*us-east-1.*: the pull Secret is full/);
      assert.equal(Object.keys((await fixture().pullSecret(namespace))?.auths ?? {}).length, 2);
    });
  });
}
