// Tests that a real client can pull with the Secret that the program wrote, and not without a valid token.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { getField } from '../../src/util/json.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount, type RegisteredWebhook, registerWebhook } from '../support/installation.ts';
import { createPod, podWith } from '../support/pods.ts';
import { type RunningProgram, startProgram } from '../support/program.ts';
import { secretPath } from '../support/pull-secret.ts';
import { declareUnless } from '../support/required-tools.ts';
import type { TestApiServer } from '../support/test-api-server.ts';
import { type EcrHosts, startEcrHosts } from './ecr-hosts.ts';
import { type Image, type Registry, startRegistry } from './local-registry.ts';
import { findPullTestObstacle } from './pull-tools.ts';
import { pull } from './skopeo.ts';

const frankfurt = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const virginia = '210987654321.dkr.ecr.us-east-1.amazonaws.com';
const ireland = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
const mappedHost = 'registry.example.com:5000';
const publicHost = 'public.ecr.aws';
const dayMs = 86_400_000;

describeOnEachApiServer('pulls', (apiServer) =>
  declareUnless(findPullTestObstacle(process.env), 'a real pull', () => pullSuite(apiServer)),
);

/**
 * Pulls an image with a real client and the Secret that the program wrote, from a registry that requires a valid token of
 * the host's region.
 */
function pullSuite(apiServer: () => TestApiServer): void {
  describe('a real pull', () => {
    let ecr: EcrDouble;
    let registry: Registry;
    let image: Image;
    let hosts: EcrHosts;
    let program: RunningProgram;
    let webhook: RegisteredWebhook;

    before(async () => {
      ecr = await startEcrDouble();
      registry = await startRegistry();
      image = await registry.push('app', '1');
      const regions = ['eu-central-1', 'us-east-1', 'eu-west-1'];
      const otherHosts = {
        [mappedHost]: { service: 'ecr', region: 'eu-west-2' },
        [publicHost]: { service: 'ecr-public', region: 'us-east-1' },
      } as const;
      hosts = await startEcrHosts({ ecr, regions, otherHosts, socketPath: registry.socketPath });
      const kubeconfigPath = await installServiceAccount(apiServer());
      const config = {
        hosts: { [mappedHost]: { account: '123456789012', region: 'eu-west-2' } },
        publicRegistry: true,
      };
      program = await startProgram({ kubeconfigPath, environment: ecr.env(), config });
      webhook = await registerWebhook(apiServer(), program);
    });
    after(async () => {
      await webhook?.remove();
      await program?.stop();
      await hosts?.stop();
      await registry?.stop();
      await ecr.stop();
    });

    /** Creates a pod in a new namespace, with an image from each host. */
    async function namespaceWithPod(...from: readonly string[]): Promise<string> {
      const namespace = await webhook.createNamespace();
      const { status } = await createPod(
        apiServer(),
        namespace,
        podWith(from.map((host) => `${host}/app:1`)),
      );
      assert.equal(status, 201);
      return namespace;
    }

    /** Reads the namespace's Secret, as a kubelet does. */
    async function contentIn(namespace: string): Promise<string> {
      const { body } = await apiServer().request('GET', secretPath(namespace));
      const content = getField(getField(body, 'data'), '.dockerconfigjson');
      assert.ok(typeof content === 'string', 'there is a Secret, with something to read');
      return Buffer.from(content, 'base64').toString();
    }

    const pullFrom = (host: string, content: string) => pull(hosts, `${host}/app:1`, content);

    it('succeeds from every host that the pod names, of any account and region', async () => {
      const content = await contentIn(await namespaceWithPod(frankfurt, virginia));
      for (const host of [frankfurt, virginia]) {
        const { ok, output, files } = await pullFrom(host, content);
        assert.ok(ok, output);
        for (const [digest, blob] of image) {
          assert.ok(files.get(digest)?.equals(blob), `${digest} came whole`);
        }
      }
    });

    for (const host of [mappedHost, publicHost]) {
      it(`succeeds from ${host}, with the entry of that host only`, async () => {
        const content = await contentIn(await namespaceWithPod(host, virginia));
        const { ok, output } = await pullFrom(host, content);
        assert.ok(ok, output);
        const { auths } = JSON.parse(content);
        const withAuthOf = (other: string) => JSON.stringify({ auths: { [host]: auths[other] } });
        assert.ok((await pullFrom(host, withAuthOf(host))).ok);
        assert.equal((await pullFrom(host, withAuthOf(virginia))).ok, false, 'another token is refused');
        const ofOtherPort = { auths: { [`${host.replace(/:\d+$/, '')}:1`]: auths[host] } };
        assert.equal(
          (await pullFrom(host, JSON.stringify(ofOtherPort))).ok,
          false,
          'another key is not used',
        );
      });
    }

    it('is refused without the entry, and with the token of another region', async () => {
      const { auths } = JSON.parse(await contentIn(await namespaceWithPod(frankfurt, virginia)));
      const { [frankfurt]: _, ...others } = auths;
      const swapped = { ...auths, [frankfurt]: auths[virginia] };
      for (const wrong of [others, swapped]) {
        const { ok, output } = await pullFrom(frankfurt, JSON.stringify({ auths: wrong }));
        assert.equal(ok, false);
        assert.match(output, /unauthorized/);
      }
    });

    it('is refused when the token has expired', async () => {
      const content = await contentIn(await namespaceWithPod(frankfurt));
      ecr.step(dayMs);
      const { ok, output } = await pullFrom(frankfurt, content);
      ecr.step(-dayMs);
      assert.equal(ok, false);
      assert.match(output, /authorization token has expired/);
    });

    it('is refused while the host waits for its token, and succeeds afterwards', async () => {
      const gate = ecr.hold({ region: 'eu-west-1' });
      const namespace = await namespaceWithPod(ireland);
      const waiting = await pullFrom(ireland, await contentIn(namespace));
      assert.equal(waiting.ok, false);
      assert.match(waiting.output, /unauthorized/, 'the Secret is readable and has no token yet');
      gate.open();
      const content = await eventually('the token is there', async () => {
        const now = await contentIn(namespace);
        return now.includes(ireland) && now;
      });
      const { ok, output } = await pullFrom(ireland, content);
      assert.ok(ok, output);
    });
  });
}
