// Tests what upgrades with Helm 3 and 4 do to a caBundle that the program has written.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { eventually } from '../support/eventually.ts';
import {
  type CertificatesFixture,
  createCertificatesFixture,
  startReplica,
  type TestReplica,
} from './managed-certificates-fixture.ts';

const configurationsPath = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';

// The template that `helm upgrade` sends has no caBundle.
describeOnCluster('an upgrade of the chart', (cluster) => {
  let fixture: CertificatesFixture;
  let source: TestReplica;
  before(async () => {
    fixture = await createCertificatesFixture(cluster());
    source = await startReplica(fixture);
    await eventually('published', async () =>
      (await fixture.published()).every(({ length }) => length === 1),
    );
  });
  after(() => source.end());

  const path = () => `${configurationsPath}/${fixture.location.webhookConfiguration}`;
  /** The configuration with another timeout, as a template has it. */
  const template = async (timeoutSeconds: number) => {
    const { body } = await cluster().request('GET', path());
    // biome-ignore lint/suspicious/noExplicitAny: whatever the API server has
    const { apiVersion, kind, metadata, webhooks } = structuredClone(body) as any;
    for (const webhook of webhooks) {
      webhook.timeoutSeconds = timeoutSeconds;
      delete webhook.clientConfig.caBundle;
    }
    return { apiVersion, kind, metadata: { name: metadata.name }, webhooks };
  };
  const published = () =>
    eventually('published', async () => (await fixture.published()).every(({ length }) => length === 1));
  const empty = () => source.did('bundle-empty').length;
  const assertKept = async (timeoutSeconds: number, emptyBefore: number) => {
    const { body } = await cluster().request('GET', path());
    assert.match(JSON.stringify(body), new RegExp(`"timeoutSeconds":${timeoutSeconds}`));
    const id = (await fixture.stored())?.caCertificates[0]?.id;
    for (const bundle of await fixture.published()) {
      assert.deepEqual(
        bundle.map((one) => one.id),
        [id],
      );
    }
    assert.equal(empty(), emptyBefore, 'it was never missing');
    assert.equal(source.did('no-secret').length, 1, 'there is one CA');
  };
  const apply = async (body: unknown) => {
    const options = { contentType: 'application/apply-patch+yaml' };
    return (await cluster().request('PATCH', `${path()}?fieldManager=helm`, body, options)).status;
  };

  it('with helm 4, which applies, keeps the caBundle', async () => {
    const first = await template(5);
    await cluster().request('DELETE', path());
    assert.equal(await apply(first), 201);
    await published();
    for (const timeoutSeconds of [6, 7]) {
      const before = empty();
      assert.equal(await apply(await template(timeoutSeconds)), 200, 'no other manager owns what helm sends');
      await assertKept(timeoutSeconds, before);
    }
  });

  it('with helm 4 can rename, add and remove webhooks', async () => {
    const body = await template(7);
    body.webhooks[1].name = 'renamed.ecr-pull-secrets.io';
    body.webhooks.push({ ...body.webhooks[1], name: 'another.ecr-pull-secrets.io' });
    for (const count of [3, 1]) {
      const webhooks = body.webhooks.slice(0, count);
      assert.equal(await apply({ ...body, webhooks }), 200, 'what is left of the old entry is in no way');
      await published();
      assert.equal((await fixture.published()).length, count);
    }
  });

  it('with helm 3, which patches the differences from its last manifest, keeps the caBundle', async () => {
    const before = empty();
    const { webhooks } = await template(8);
    const options = { contentType: 'application/strategic-merge-patch+json' };
    const { status } = await cluster().request('PATCH', path(), { webhooks }, options);
    assert.equal(status, 200);
    await assertKept(8, before);
  });

  it('with --force, which replaces, removes the caBundle for a moment', async () => {
    const before = empty();
    const { body } = await cluster().request('GET', path());
    const { metadata, ...rest } = await template(9);
    const { resourceVersion } = Object(body).metadata;
    const replaced = { ...rest, metadata: { ...metadata, resourceVersion } };
    assert.equal((await cluster().request('PUT', path(), replaced)).status, 200);
    await published();
    // The repair is logged after the API server has responded to it.
    await eventually('the repair is logged', () => empty() > before);
    assert.equal(empty(), before + 1);
    assert.equal(source.did('no-secret').length, 1);
  });
});
