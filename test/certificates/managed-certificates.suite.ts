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

/** What a person who breaks something, and a program that starts, find. */
function managedSuite(apiServer: () => TestApiServer): void {
  describe('certificates without help', () => {
    let setting: CertificatesFixture;
    const endings: (() => Promise<void>)[] = [];
    beforeEach(async () => {
      setting = await createCertificatesFixture(apiServer());
    });
    afterEach(async () => {
      for (const end of endings.splice(0)) await end();
    });
    const start = async (options: TestReplicaOptions = {}, where = setting) => {
      const source = await startReplica(where, options);
      endings.push(source.end);
      return source;
    };
    /** The one CA that everything agrees on, once it does. */
    const agreed = () =>
      eventually('Secret and caBundles agree', async () => {
        const stored = await setting.stored();
        assert.deepEqual([stored?.caProblem, stored?.servingCertificateProblem], [undefined, undefined]);
        const [newest] = stored?.caCertificates ?? [];
        assert.ok(newest !== undefined && stored?.servingCertificate?.issuerId === newest.id);
        const ids = stored.caCertificates.map(({ id }) => id);
        for (const bundle of await setting.published())
          assert.deepEqual(
            bundle.map(({ id }) => id),
            ids,
          );
        return { ca: newest.id, servingCertificate: stored.servingCertificate.id, ids };
      });

    it('three replicas that start at the same moment make one CA', async () => {
      const sources = await Promise.all([start(), start(), start()]);
      const { servingCertificate, ids } = await agreed();
      assert.equal(ids.length, 1);
      for (const { certificates } of sources)
        assert.equal(certificates.current.fingerprint, servingCertificate);
      const made = sources.flatMap(({ did }) => did('no-secret'));
      assert.equal(made.length, 1);
      assert.equal(made[0]?.['level'], 'info');
    });

    it('a restart, or another version, takes over what is there', async () => {
      const first = await start();
      const { ca, servingCertificate } = await agreed();
      await first.certificates.close();
      const second = await start();
      assert.equal(second.certificates.current.fingerprint, servingCertificate);
      assert.equal((await agreed()).ca, ca);
      assert.deepEqual(second.log(), []);
    });

    it('comes as the configuration asks for it', async () => {
      const { secretName: _, ...place } = setting.place;
      const yaml = stringify({ certificates: { source: 'managed', service: 'web', ...place } });
      const cluster = loadKubeConfig({
        kubeconfigPath: setting.kubeconfigPath,
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
      assert.deepEqual(source.current.dnsNames, getServiceDnsNames('web', setting.place.namespace));
      assert.equal(source.current.fingerprint, (await agreed()).servingCertificate);
    });

    const broken: [string, string, (one: CertificatesFixture) => Promise<void>][] = [
      ['a deleted Secret', 'no-secret', (one) => one.deleteSecret()],
      ['an emptied caBundle', 'bundle-empty', (one) => one.setCaBundle(undefined)],
      ['a caBundle of garbage', 'bundle-malformed', (one) => one.setCaBundle('garbage\n')],
      [
        'a Secret of garbage',
        'ca-missing',
        (one) =>
          one.editSecret((data) => {
            for (const key of Object.keys(data)) data[key] = btoa('garbage');
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
    for (const [what, reason, spoil] of broken) {
      it(`${what} is mended within seconds, and the log says why`, async () => {
        const sources = await Promise.all([start(), start()]);
        await agreed();
        await spoil(setting);
        const warnings = () =>
          sources.flatMap(({ did }) => did(reason)).filter(({ level }) => level === 'warn');
        await eventually('somebody warns', () => warnings().length > 0, 5_000);
        const { servingCertificate } = await agreed();
        await eventually('all serve what is stored', () =>
          sources.every(({ certificates }) => certificates.current.fingerprint === servingCertificate),
        );
        for (const source of sources) assertNoKeys(source.output(), await setting.stored());
      });
    }

    it('a certificate that is lost is stored again, so that nobody has to change over', async () => {
      const source = await start();
      const before = await agreed();
      await setting.editSecret((data) => Object.assign(data, { 'tls.crt': '', 'tls.key': '' }));
      await eventually('it is stored again', () => source.did('serving-certificate-missing').length > 0);
      assert.equal((await agreed()).servingCertificate, before.servingCertificate);
      assert.deepEqual(source.changes, []);
    });

    it('a clock past the end of the CA brings a new one', async () => {
      let ahead = 0;
      const source = await start({ now: () => Date.now() + ahead });
      const before = await agreed();
      ahead = 400 * dayMs;
      await eventually('a new CA', () => source.did('ca-expired').length > 0);
      const after = await agreed();
      assert.notEqual(after.ca, before.ca);
      assert.equal(after.ids.length, 1, 'the expired one is gone');
      assert.ok(source.certificates.current.notAfter > Date.now() + ahead);
    });

    it('names that are missing are added, and those of the other version stay for a while', async () => {
      await start();
      const before = await agreed();
      const other = await start({ names: ['new.apps.svc', '::1'] });
      await eventually('a certificate for both', async () => {
        const { dnsNames, ipAddresses } = other.certificates.current;
        assert.deepEqual(dnsNames, ['new.apps.svc', 'web.apps.svc']);
        assert.deepEqual(ipAddresses, ['0:0:0:0:0:0:0:1', '127.0.0.1']);
        return true;
      });
      assert.equal((await agreed()).ca, before.ca);
      assert.equal(other.did('serving-certificate-names-missing').length, 1);
    });

    it('a Secret of somebody else is left, and it is said what to do', async () => {
      const { namespace, secretName } = setting.place;
      const data = { 'tls.crt': btoa('theirs'), 'tls.key': btoa('theirs') };
      const path = `/api/v1/namespaces/${namespace}/secrets`;
      await apiServer().request('POST', path, {
        metadata: { name: secretName },
        type: 'kubernetes.io/tls',
        data,
      });
      const source = openReplica(setting);
      await eventually('it is told', () => source.output().includes('set certificates.secretName'));
      assert.equal((await setting.stored())?.servingCertificateProblem, 'serving-certificate-invalid');
      await setting.deleteSecret();
      await source.opening;
      await source.end();
    });

    it('without a right on the webhook configuration it serves all the same, and says so once', async () => {
      const restricted = await createCertificatesFixture(apiServer(), { verbs: ['watch'] });
      const { certificates, log } = await start({ timing: { pollMs: 100 } }, restricted);
      assert.deepEqual(certificates.current.dnsNames, certificateNames.slice(0, 1));
      const told = () => log().filter(({ msg }) => msg === 'failed to reconcile managed certificates');
      await eventually('it is told', () => told().length > 0);
      assert.equal(told().length, 1);
      assert.match(JSON.stringify(told()), /cannot read MutatingWebhookConfiguration zz-/);
    });

    it('a receiver that threw is offered the pair again', async () => {
      let refusals = 2;
      const onChange = () => {
        refusals -= 1;
        if (refusals >= 0) throw new Error('not now');
      };
      const source = await start({ onChange, timing: { pollMs: 100 } });
      await agreed();
      await setting.deleteSecret();
      await eventually('it is taken', () => source.changes.length === 1);
      assert.equal(source.certificates.current.fingerprint, (await agreed()).servingCertificate);
      assert.ok(source.log().some(({ err }) => JSON.stringify(err ?? '').includes('not-applied')));
    });
  });
}

/** No line of a key that is or was stored is in the text. */
function assertNoKeys(
  text: string,
  stored: { caKeyPem: string; servingCertificate?: { keyPair: { keyPem: string } } | undefined } | undefined,
): void {
  assert.ok(!text.includes('PRIVATE KEY'));
  const keys = `${stored?.caKeyPem}${stored?.servingCertificate?.keyPair.keyPem}`;
  for (const line of keys.split('\n').filter((one) => one.length > 20)) assert.ok(!text.includes(line));
}
