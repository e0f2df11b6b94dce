// Tests that replicas agree on one CA and repair Secret and caBundle, on any API server.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { stringify } from 'yaml';
import { openCertificateSource } from '../../src/certificates/certificate-source.ts';
import { getServiceDnsNames } from '../../src/certificates/issue.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { eventually } from '../support/eventually.ts';
import type { TestApiServer } from '../support/test-api-server.ts';
import {
  type CertificatesFixture,
  certificateNames,
  createCertificatesFixture,
  openReplica,
  startReplica,
  type TestReplicaOptions,
} from './managed-certificates-fixture.ts';
import { dayMs } from './test-certificates.ts';

describeOnEachApiServer('managed certificates', managedSuite);

/** Managed certificates: start-up, and repair after damage. */
function managedSuite(apiServer: () => TestApiServer): void {
  describe('managed certificates', () => {
    let fixture: CertificatesFixture;
    const endings: (() => Promise<void>)[] = [];
    beforeEach(async () => {
      fixture = await createCertificatesFixture(apiServer());
    });
    afterEach(async () => {
      for (const end of endings.splice(0)) {
        await end();
      }
    });
    const start = async (options: TestReplicaOptions = {}, where = fixture) => {
      const source = await startReplica(where, options);
      endings.push(source.end);
      return source;
    };
    /** Waits until the Secret and all caBundles have the same CAs, and returns them. */
    const waitForAgreement = () =>
      eventually('Secret and caBundles agree', async () => {
        const stored = await fixture.stored();
        assert.deepEqual([stored?.caProblem, stored?.servingCertificateProblem], [undefined, undefined]);
        const [newest] = stored?.caCertificates ?? [];
        assert.ok(newest !== undefined && stored?.servingCertificate?.issuerId === newest.id);
        const ids = stored.caCertificates.map(({ id }) => id);
        for (const bundle of await fixture.published()) {
          assert.deepEqual(
            bundle.map(({ id }) => id),
            ids,
          );
        }
        return { ca: newest.id, servingCertificate: stored.servingCertificate.id, ids };
      });

    it('three replicas that start at the same moment issue one CA', async () => {
      const sources = await Promise.all([start(), start(), start()]);
      const { servingCertificate, ids } = await waitForAgreement();
      assert.equal(ids.length, 1);
      for (const { certificates } of sources) {
        assert.equal(certificates.current.fingerprint, servingCertificate);
      }
      const issueLines = sources.flatMap(({ did }) => did('no-secret'));
      assert.equal(issueLines.length, 1);
      assert.equal(issueLines[0]?.['level'], 'info');
    });

    it('reuses the stored certificates after a restart', async () => {
      const first = await start();
      const { ca, servingCertificate } = await waitForAgreement();
      await first.certificates.close();
      const second = await start();
      assert.equal(second.certificates.current.fingerprint, servingCertificate);
      assert.equal((await waitForAgreement()).ca, ca);
      assert.deepEqual(second.log(), []);
    });

    it('opens as configured', async () => {
      const { secretName: _, ...location } = fixture.location;
      const yaml = stringify({ certificates: { source: 'managed', service: 'web', ...location } });
      const cluster = loadKubeConfig({
        kubeconfigPath: fixture.kubeconfigPath,
        requestTimeoutMs: 5_000,
        userAgent: 'certificates-test/1',
      });
      const config = readConfig(yaml, 'test');
      const log = createJsonLog('error', { write: () => undefined });
      const source = await openCertificateSource({ config, cluster, log, onChange: () => undefined });
      endings.push(async () => {
        await source.close();
        await cluster.close();
      });
      assert.deepEqual(source.current.dnsNames, getServiceDnsNames('web', fixture.location.namespace));
      assert.equal(source.current.fingerprint, (await waitForAgreement()).servingCertificate);
    });

    const damages: [string, string, (one: CertificatesFixture) => Promise<void>][] = [
      ['a deleted Secret', 'no-secret', (one) => one.deleteSecret()],
      ['an emptied caBundle', 'bundle-empty', (one) => one.setCaBundle(undefined)],
      ['a caBundle of garbage', 'bundle-malformed', (one) => one.setCaBundle('garbage\n')],
      [
        'a Secret of garbage',
        'ca-missing',
        (one) =>
          one.editSecret((data) => {
            for (const key of Object.keys(data)) {
              data[key] = btoa('garbage');
            }
          }),
      ],
      [
        'a CA without its key',
        'ca-key-invalid',
        (one) => one.editSecret((data) => Object.assign(data, { 'ca.key': '' })),
      ],
      [
        'a key of something else',
        'serving-certificate-key-mismatch',
        (one) => one.editSecret((data) => Object.assign(data, { 'tls.key': data['ca.key'] })),
      ],
    ];
    for (const [what, reason, damage] of damages) {
      it(`repairs ${what} within seconds and logs the reason`, async () => {
        const sources = await Promise.all([start(), start()]);
        await waitForAgreement();
        await damage(fixture);
        const warnings = () =>
          sources.flatMap(({ did }) => did(reason)).filter(({ level }) => level === 'warn');
        await eventually('a replica logs a warning', () => warnings().length > 0, 60_000);
        const { servingCertificate } = await waitForAgreement();
        await eventually('all serve what is stored', () =>
          sources.every(({ certificates }) => certificates.current.fingerprint === servingCertificate),
        );
        for (const source of sources) {
          assertNoKeys(source.output(), await fixture.stored());
        }
      });
    }

    it('restores a lost certificate, so that no replica has to switch', async () => {
      const source = await start();
      const before = await waitForAgreement();
      await fixture.editSecret((data) => Object.assign(data, { 'tls.crt': '', 'tls.key': '' }));
      await eventually('it is restored', () => source.did('serving-certificate-missing').length > 0);
      assert.equal((await waitForAgreement()).servingCertificate, before.servingCertificate);
      assert.deepEqual(source.changes, []);
    });

    it('issues a new CA after the old one has expired', async () => {
      let ahead = 0;
      const source = await start({ now: () => Date.now() + ahead });
      const before = await waitForAgreement();
      ahead = 400 * dayMs;
      await eventually('a new CA', () => source.did('ca-expired').length > 0);
      const after = await waitForAgreement();
      assert.notEqual(after.ca, before.ca);
      assert.equal(after.ids.length, 1, 'the expired CA is removed');
      assert.ok(source.certificates.current.notAfter > Date.now() + ahead);
    });

    it('adds missing names and keeps those of the other replicas for now', async () => {
      await start();
      const before = await waitForAgreement();
      const other = await start({ names: ['new.apps.svc', '::1'] });
      await eventually('a certificate for both', async () => {
        const { dnsNames, ipAddresses } = other.certificates.current;
        assert.deepEqual(dnsNames, ['new.apps.svc', 'web.apps.svc']);
        assert.deepEqual(ipAddresses, ['0:0:0:0:0:0:0:1', '127.0.0.1']);
        return true;
      });
      assert.equal((await waitForAgreement()).ca, before.ca);
      assert.equal(other.did('serving-certificate-names-missing').length, 1);
    });

    it('does not change an unmanaged Secret, and logs what to do', async () => {
      const { namespace, secretName } = fixture.location;
      const data = { 'tls.crt': btoa('theirs'), 'tls.key': btoa('theirs') };
      const path = `/api/v1/namespaces/${namespace}/secrets`;
      await apiServer().request('POST', path, {
        metadata: { name: secretName },
        type: 'kubernetes.io/tls',
        data,
      });
      const source = openReplica(fixture);
      await eventually('it is logged', () => source.output().includes('set certificates.secretName'));
      assert.equal((await fixture.stored())?.servingCertificateProblem, 'serving-certificate-invalid');
      await fixture.deleteSecret();
      await source.opening;
      await source.end();
    });

    it('serves without permission on the webhook configuration, and logs that once', async () => {
      const restricted = await createCertificatesFixture(apiServer(), { verbs: ['watch'] });
      const { certificates, log } = await start({ timing: { pollMs: 100 } }, restricted);
      assert.deepEqual(certificates.current.dnsNames, certificateNames.slice(0, 1));
      const errors = () => log().filter(({ msg }) => msg === 'failed to reconcile managed certificates');
      await eventually('it is logged', () => errors().length > 0);
      assert.equal(errors().length, 1);
      assert.match(JSON.stringify(errors()), /cannot read MutatingWebhookConfiguration zz-/);
    });

    it('applies the key pair again after onChange threw', async () => {
      let refusals = 2;
      const onChange = () => {
        refusals -= 1;
        if (refusals >= 0) {
          throw new Error('not now');
        }
      };
      const source = await start({ onChange, timing: { pollMs: 100 } });
      await waitForAgreement();
      await fixture.deleteSecret();
      await eventually('it is applied', () => source.changes.length === 1);
      assert.equal(source.certificates.current.fingerprint, (await waitForAgreement()).servingCertificate);
      assert.ok(source.log().some(({ err }) => JSON.stringify(err ?? '').includes('not-applied')));
    });
  });
}

/** Asserts that a text contains no line of a stored key. */
function assertNoKeys(
  text: string,
  stored: { caKeyPem: string; servingCertificate?: { keyPair: { keyPem: string } } | undefined } | undefined,
): void {
  assert.ok(!text.includes('PRIVATE KEY'));
  const keys = `${stored?.caKeyPem}${stored?.servingCertificate?.keyPair.keyPem}`;
  for (const line of keys.split('\n').filter((one) => one.length > 20)) {
    assert.ok(!text.includes(line));
  }
}
