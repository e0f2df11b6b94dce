// Tests that pods are admitted while ECR fails or users edit the Secret, for any API server; used by admission.suite.ts.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { podWith } from '../support/pods.ts';
import { assertNoSecretLeaked, hostIn, setUpProgram } from '../support/program-fixture.ts';
import { secretPath, secretsPath } from '../support/pull-secret.ts';
import type { TestApiServer } from '../support/test-api-server.ts';

/** What happens to pods and Secrets during failures: ECR is unavailable, or a user has changed the Secret. */
export function failuresSuite(apiServer: () => TestApiServer): void {
  describe('failures', () => {
    const fixture = setUpProgram(apiServer);

    it('admits a pod while ECR refuses, warns with host and cause, and stores the host; the next pod causes no call', async () => {
      const namespace = await fixture().createNamespace();
      const host = hostIn('ap-south-1');
      fixture().ecr.fail({ error: 'AccessDeniedException' }, { region: 'ap-south-1' });
      const first = await fixture().createPod(namespace, podWith([`${host}/app:1`]));
      assert.deepEqual([first.status, first.pullSecrets], [201, ['ecr-pull-secrets']]);
      assert.equal(first.warnings.length, 1);
      assert.match(first.warnings[0] ?? '', new RegExp(`^no pull token for ${host}: AccessDenied`));
      assert.ok((first.warnings[0] ?? '').length <= 120);
      const pending = await fixture().pullSecret(namespace);
      assert.deepEqual(pending?.hosts, { [host]: null });
      assert.deepEqual(pending?.auths, {}, 'a kubelet can read the Secret although it has no token yet');

      const second = await fixture().createPod(namespace, podWith([`${host}/app:1`]));
      assert.deepEqual(second.pullSecrets, ['ecr-pull-secrets']);
      assert.equal(fixture().callsIn('ap-south-1'), 1, 'the next pod does not cause another call at once');
      assert.deepEqual(await fixture().pullSecret(namespace), pending, 'the next pod causes no write');
      fixture().ecr.heal();
    });

    it('responds in time while ECR hangs, and stores the token once it arrives', async () => {
      const namespace = await fixture().createNamespace();
      const host = hostIn('ap-east-1');
      const gate = fixture().ecr.hold({ region: 'ap-east-1' });
      const { status, pullSecrets, warnings } = await fixture().createPod(
        namespace,
        podWith([`${host}/app:1`]),
      );
      assert.deepEqual([status, pullSecrets], [201, ['ecr-pull-secrets']]);
      assert.deepEqual(warnings, [`no pull token for ${host}: ECR has not responded yet`]);
      const pending = await fixture().pullSecret(namespace);
      assert.deepEqual(pending?.hosts, { [host]: null });
      gate.open();
      const filled = await eventually('the token is stored', async () => {
        const secret = await fixture().pullSecret(namespace);
        return secret?.auths[host] === undefined ? undefined : secret;
      });
      assert.equal(filled.uid, pending?.uid);
    });

    it('stores the tokens of other regions while one region is down', async () => {
      const namespace = await fixture().createNamespace();
      const [up, down] = [hostIn('sa-east-1'), hostIn('af-south-1')];
      fixture().ecr.fail({ error: 'ServerException', status: 500 }, { region: 'af-south-1' });
      const { pullSecrets, warnings } = await fixture().createPod(
        namespace,
        podWith([`${down}/a`, `${up}/b`]),
      );
      assert.deepEqual(pullSecrets, ['ecr-pull-secrets']);
      assert.match(warnings.join(), new RegExp(`for ${down}: `));
      const secret = await fixture().pullSecret(namespace);
      assert.deepEqual(Object.keys(secret?.auths ?? {}), [up]);
      assert.equal(secret?.hosts[down], null);
      fixture().ecr.heal();
    });

    for (const [what, secret] of [
      [
        'another type',
        { type: 'Opaque', metadata: { labels: { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' } } },
      ],
      [
        'no label of the program',
        { type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': btoa('{"auths":{}}') } },
      ],
    ] as const) {
      it(`reports an unmanaged Secret with the program's name and ${what}, and does not change it`, async () => {
        const namespace = await fixture().createNamespace();
        const metadata = { name: 'ecr-pull-secrets', ...('metadata' in secret ? secret.metadata : {}) };
        const created = await fixture().apiServer.request('POST', secretsPath(namespace), {
          apiVersion: 'v1',
          kind: 'Secret',
          ...secret,
          metadata,
        });
        assert.equal(created.status, 201);
        const before = await fixture().apiServer.request('GET', secretPath(namespace));
        const { status, warnings } = await fixture().createPod(
          namespace,
          podWith([`${hostIn('eu-west-1')}/app`]),
        );
        assert.equal(status, 201);
        assert.deepEqual(warnings, [
          `no pull token for ${hostIn('eu-west-1')}: Secret ecr-pull-secrets exists but is unmanaged`,
        ]);
        assert.deepEqual((await fixture().apiServer.request('GET', secretPath(namespace))).body, before.body);
      });
    }

    it('repairs a Secret that a user has edited, and loses no host', async () => {
      const namespace = await fixture().createNamespace();
      const [old, added] = [hostIn('eu-west-1'), hostIn('eu-central-2')];
      await fixture().createPod(namespace, podWith([`${old}/app`]));
      const { body } = await fixture().apiServer.request('GET', secretPath(namespace));
      const broken = structuredClone(body) as { data: Record<string, string> };
      broken.data['.dockerconfigjson'] = btoa('{"auths":{"broken.example":{"auth":"?"}}}');
      assert.equal((await fixture().apiServer.request('PUT', secretPath(namespace), broken)).status, 200);
      await fixture().createPod(namespace, podWith([`${added}/app`]));
      const secret = await fixture().pullSecret(namespace);
      assert.ok(secret?.auths[added]);
      assert.ok(Object.hasOwn(secret.hosts, old), 'the removed host still belongs to the namespace');
      await eventually('the host gets its token without another pod', async () => {
        return (await fixture().pullSecret(namespace))?.auths[old] !== undefined;
      });
    });

    it('recreates a Secret that a user has deleted', async () => {
      const namespace = await fixture().createNamespace();
      const pod = () => podWith([`${hostIn('eu-west-1')}/app`]);
      await fixture().createPod(namespace, pod());
      await fixture().apiServer.request('DELETE', secretPath(namespace));
      await eventually('the Secret exists again without another pod', async () => {
        return Object.keys((await fixture().pullSecret(namespace))?.auths ?? {}).length === 1;
      });
    });

    it('shows no token and no key in any output', () => assertNoSecretLeaked(fixture()));
  });
}
