// Tests renewal of the whole program: no pod is created but the first.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount, registerWebhook } from '../support/installation.ts';
import { createPod, podWith } from '../support/pods.ts';
import { type RunningProgram, startProgram } from '../support/program.ts';
import { readPullSecret, secretPath } from '../support/pull-secret.ts';
import type { TestApiServer } from '../support/test-api-server.ts';

const hostIn = (region: string) => `123456789012.dkr.ecr.${region}.amazonaws.com`;
const password = (auth: string | undefined) => atob(auth ?? '').replace(/^AWS:/, '');

/** Accepts tokens with a lifetime of seconds, so that a test can observe a renewal. */
const shortLifetimeConfig = { tokens: { minimumLife: '1s' } };
const tokenLifetimeMs = 8_000;

describeOnEachApiServer('renewal', renewalSuite);

/** Renewal in the background, as a user observes it. */
function renewalSuite(apiServer: () => TestApiServer): void {
  describe('renewal', () => {
    let ecr: EcrDouble;
    let shortLivedEcr: EcrDouble;
    let account: string;
    before(async () => {
      ecr = await startEcrDouble();
      shortLivedEcr = await startEcrDouble({ tokenLifetimeMs });
      account = await installServiceAccount(apiServer());
    });
    after(() => Promise.all([ecr.stop(), shortLivedEcr.stop()]));

    const start = (config: Record<string, unknown> = {}) =>
      startProgram({ kubeconfigPath: account, environment: ecr.env(), config });
    const startWithShortLifetime = () =>
      startProgram({
        kubeconfigPath: account,
        environment: shortLivedEcr.env(),
        config: shortLifetimeConfig,
      });
    const startWithWebhook = async (starting: Promise<RunningProgram>) => {
      const program = await starting;
      const webhook = await registerWebhook(apiServer(), program);
      return { program, webhook, namespace: await webhook.createNamespace() };
    };
    const secretOf = async (namespace: string) => {
      const secret = await readPullSecret(apiServer(), namespace);
      assert.ok(secret, 'there is a Secret');
      return secret;
    };

    it('replaces tokens in place repeatedly, long before they expire, and counts the renewals', async () => {
      const { program, webhook, namespace } = await startWithWebhook(startWithShortLifetime());
      const host = hostIn('eu-central-1');
      await createPod(apiServer(), namespace, podWith([`${host}/app`]));
      const { uid } = await secretOf(namespace);
      const tokens = new Set<string>();
      await eventually(
        'three tokens, one after the other',
        async () => {
          const secret = await secretOf(namespace);
          assert.equal(secret.uid, uid);
          const token = password(secret.auths[host]?.auth);
          assert.ok(shortLivedEcr.isUnexpired(token), 'the stored token is valid');
          return tokens.add(token).size === 3;
        },
        30_000,
      );
      assert.match(await program.metrics(), /renewals_total\{reason="scheduled",outcome="renewed"\} [1-9]/);
      assert.match(await program.metrics(), /failing_hosts\{permanent="true"\} 0/);
      await webhook.remove();
      await program.stop();
    });

    it('adds a missing token later, even if every replica was restarted meanwhile', async () => {
      const { program: first, webhook, namespace } = await startWithWebhook(start());
      const [up, down] = [hostIn('us-east-1'), hostIn('us-east-2')];
      ecr.fail({ error: 'AccessDeniedException' }, { region: 'us-east-2' });
      await createPod(apiServer(), namespace, podWith([`${up}/app`, `${down}/app`]));
      const incomplete = await secretOf(namespace);
      assert.deepEqual([Object.keys(incomplete.auths), incomplete.hosts[down]], [[up], null]);
      await eventually('it is counted as a permanent failure', async () =>
        /failing_hosts\{permanent="true"\} 1/.test(await first.metrics()),
      );
      await webhook.remove();
      await first.stop();
      ecr.heal();

      const second = await start();
      const healed = await eventually('the token is there', async () => {
        const secret = await secretOf(namespace);
        return secret.auths[down] === undefined ? undefined : secret;
      });
      assert.equal(healed.uid, incomplete.uid);
      assert.ok(ecr.isUnexpired(password(healed.auths[down]?.auth)));
      await second.stop();
    });

    it('renews at start what expired while no replica was running', async () => {
      const { program: first, webhook, namespace } = await startWithWebhook(startWithShortLifetime());
      const host = hostIn('eu-west-1');
      await createPod(apiServer(), namespace, podWith([`${host}/app`]));
      await webhook.remove();
      await first.stop();
      const expired = await secretOf(namespace);
      await eventually(
        'the token has expired',
        () => !shortLivedEcr.isUnexpired(password(expired.auths[host]?.auth)),
      );
      const second = await startWithShortLifetime();
      await eventually('there is a valid token', async () =>
        shortLivedEcr.isUnexpired(password((await secretOf(namespace)).auths[host]?.auth)),
      );
      assert.equal((await secretOf(namespace)).uid, expired.uid);
      await second.stop();
    });

    it('restores entries and hosts that a user removed, and keeps what the user added', async () => {
      const { program, webhook, namespace } = await startWithWebhook(start());
      const [one, two] = [hostIn('ap-south-1'), hostIn('ap-south-2')];
      await createPod(apiServer(), namespace, podWith([`${one}/app`, `${two}/app`]));
      const { body } = await apiServer().request('GET', secretPath(namespace));
      const edited = structuredClone(body) as {
        data: Record<string, string>;
        metadata: { annotations: Record<string, string> };
      };
      edited.data['.dockerconfigjson'] = btoa('{"auths":{"a.example":{"auth":"eDp5"}}}');
      edited.metadata.annotations = {};
      assert.equal((await apiServer().request('PUT', secretPath(namespace), edited)).status, 200);
      await eventually('everything is restored', async () => {
        const { auths, hosts } = await secretOf(namespace);
        assert.deepEqual(Object.keys(auths).sort(), [one, two, 'a.example'].sort());
        return hosts[one] !== null && hosts[two] !== null && Object.keys(hosts).length === 2;
      });
      await webhook.remove();
      await program.stop();
    });

    it('fetches tokens with the role that is configured now', async () => {
      const { program: first, webhook, namespace } = await startWithWebhook(start());
      const host = hostIn('ca-central-1');
      await createPod(apiServer(), namespace, podWith([`${host}/app`]));
      const before = await secretOf(namespace);
      await webhook.remove();
      await first.stop();

      const roleArn = 'arn:aws:iam::123456789012:role/ecr-pull';
      const second = await start({ registries: [{ roleArn }] });
      const after = await eventually('there is another token', async () => {
        const secret = await secretOf(namespace);
        return secret.auths[host]?.auth === before.auths[host]?.auth ? undefined : secret;
      });
      assert.ok(ecr.callsOf('AssumeRole').length > 0);
      assert.equal(after.uid, before.uid);
      await second.stop();
    });
  });
}
