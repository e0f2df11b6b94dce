// Tests that users learn within seconds why a pod waits for its token: Events about Secret and pod, on a real API server.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { getField, getItems } from '../../src/util/json.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { eventually } from '../support/eventually.ts';
import { podWith } from '../support/pods.ts';
import { hostIn, setUpProgram } from '../support/program-fixture.ts';

interface SeenEvent {
  readonly reason: string;
  readonly message: string;
  readonly involvedObject: { readonly kind: string; readonly name: string };
}

describeOnCluster('a token that AWS refuses', (cluster) => {
  const fixture = setUpProgram(cluster);

  it('causes an Event of the Secret and one of the waiting pod at once, with the cause', async () => {
    const { ecr, program, createNamespace, createPod } = fixture();
    const host = hostIn('eu-north-1');
    ecr.fail({ error: 'AccessDeniedException' }, { region: 'eu-north-1' });
    const namespace = await createNamespace();
    await createPod(namespace, podWith([`${host}/app:1`]));
    const readEvents = async () => {
      const list = await cluster().request('GET', `/api/v1/namespaces/${namespace}/events`);
      return getItems(getField(list.body, 'items')) as SeenEvent[];
    };
    // before, the first Event came after ten minutes, and pods got none
    const events = await eventually(
      'both Events exist',
      async () => {
        const found = await readEvents();
        return found.length >= 2 && found;
      },
      100_000,
    );
    assert.deepEqual(
      new Set(events.map(({ reason, involvedObject }) => `${reason} ${involvedObject.kind}`)),
      new Set(['PullTokenRefused Secret', 'PullTokenRefused Pod']),
    );
    for (const { message } of events) {
      assert.ok(
        message.startsWith(`${host}: No ECR token for eu-north-1: AWS returned AccessDeniedException`),
      );
      assert.match(message, /Allow ecr:GetAuthorizationToken/);
    }
    assert.match(await program.metrics(), /^ecr_pull_secrets_failing_hosts\{permanent="true"\} 1$/m);
    ecr.heal();
  });
});
