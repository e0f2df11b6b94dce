// Tests which environment, volumes and sidecars each source in `aws.credentials` adds to the pods.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeWithHelm } from './chart-suite.ts';
import type { Values } from './helm.ts';
import { registry } from './install-modes.ts';
import { findOne, getValueAt } from './rendered-objects.ts';

const provisioning = { registries: [registry] };

describeWithHelm('AWS credentials', (helm) => {
  const render = (values: Values = {}) => helm().template(values);

  it('mounts a separate token for web identity', async () => {
    const roleArn = 'arn:aws:iam::123456789012:role/ecr-pull';
    const values = { aws: { credentials: { source: 'webIdentity', webIdentity: { roleArn } } } };
    const spec = getValueAt(
      findOne(await render(values), 'Deployment', 'ecr-pull-secrets'),
      'spec.template.spec',
    );
    const { env, volumeMounts } = spec.containers[0];
    const variables = Object.fromEntries(env.map((one: Values) => [one['name'], one['value']]));
    assert.equal(variables['AWS_ROLE_ARN'], roleArn);
    const mount = volumeMounts.find((one: Values) => one['name'] === 'aws-token');
    const { serviceAccountToken } = spec.volumes.find((one: Values) => one['name'] === 'aws-token').projected
      .sources[0];
    assert.equal(variables['AWS_WEB_IDENTITY_TOKEN_FILE'], `${mount.mountPath}/${serviceAccountToken.path}`);
    assert.equal(serviceAccountToken.audience, 'sts.amazonaws.com');
  });

  it('reads access keys from a Secret, in the Deployment and in the CronJob', async () => {
    const objects = await render({
      cronJob: { enabled: true, besideDeployment: true },
      config: { provisioning },
      aws: { credentials: { source: 'secret', secret: { name: 'keys' } } },
    });
    for (const spec of [
      getValueAt(findOne(objects, 'Deployment', 'ecr-pull-secrets'), 'spec.template.spec'),
      getValueAt(findOne(objects, 'CronJob'), 'spec.jobTemplate.spec.template.spec'),
    ]) {
      assert.deepEqual(spec.containers[0].envFrom, [{ secretRef: { name: 'keys' } }]);
    }
  });

  it('runs the Roles Anywhere helper as a sidecar at the address that the SDK uses, so that a Job does not wait for it', async () => {
    const objects = await render(rolesAnywhere());
    for (const spec of [
      getValueAt(findOne(objects, 'Deployment', 'ecr-pull-secrets'), 'spec.template.spec'),
      getValueAt(findOne(objects, 'CronJob'), 'spec.jobTemplate.spec.template.spec'),
    ]) {
      const [sidecar] = spec.initContainers;
      assert.equal(sidecar.restartPolicy, 'Always');
      assert.ok(sidecar.args.includes('--port=9911'));
      assert.deepEqual(spec.containers[0].env, [
        { name: 'AWS_EC2_METADATA_SERVICE_ENDPOINT', value: 'http://127.0.0.1:9911' },
      ]);
    }
  });

  it('refuses a port of the Roles Anywhere helper that the webhook uses in the same pod', async () => {
    const onPort = (port: number, values: Values = {}) => {
      const { aws, ...others } = rolesAnywhere(port);
      return render({ ...others, ...values, aws });
    };
    const message = (setting: string) =>
      new RegExp(`aws\\.credentials\\.rolesAnywhere\\.port and ${setting} are both`);
    await assert.rejects(onPort(8443), message('webhook\\.port'));
    await assert.rejects(onPort(9911, { webhook: { port: 9911 } }), message('webhook\\.port'));
    await assert.rejects(onPort(8080), message('config\\.status\\.port'));
    await assert.rejects(onPort(10250, { hostNetwork: true }), /hostNetwork: true cannot use port 10250/);
    const onlySync = { cronJob: { enabled: true, besideDeployment: false }, injection: 'none' };
    await assert.doesNotReject(onPort(8443, onlySync), 'sync does not listen');
  });

  it('passes the proxy on to the Roles Anywhere helper, which uses one only with a flag', async () => {
    const sidecar = async (values: Values) => {
      const deployment = findOne(
        await render({ ...rolesAnywhere(), ...values }),
        'Deployment',
        'ecr-pull-secrets',
      );
      const { args, env, envFrom } = getValueAt(deployment, 'spec.template.spec.initContainers.0');
      return { withProxy: args.includes('--with-proxy'), env, envFrom };
    };
    const proxies = [
      { name: 'HTTPS_PROXY', valueFrom: { secretKeyRef: { name: 'proxy', key: 'url' } } },
      { name: 'no_proxy', value: 'example.com' },
    ];
    const other = { name: 'AWS_REGION', value: 'eu-central-1' };
    assert.deepEqual(await sidecar({ extraEnv: [other, ...proxies] }), {
      withProxy: true,
      env: proxies,
      envFrom: undefined,
    });
    const extraEnvFrom = [{ configMapRef: { name: 'proxy' } }];
    assert.deepEqual(await sidecar({ extraEnvFrom }), {
      withProxy: true,
      env: undefined,
      envFrom: extraEnvFrom,
    });
    const none = { withProxy: false, env: undefined, envFrom: undefined };
    assert.deepEqual(await sidecar({ extraEnv: [other] }), none);
  });
});

function rolesAnywhere(port = 9911): Values {
  const arn = (what: string) => `arn:aws:rolesanywhere:eu-central-1:123456789012:${what}/1`;
  const values = {
    image: { repository: 'registry.example/aws-signing-helper', tag: '1' },
    certificateSecret: 'roles-anywhere',
    trustAnchorArn: arn('trust-anchor'),
    profileArn: arn('profile'),
    roleArn: 'arn:aws:iam::123456789012:role/ecr-pull',
    port,
  };
  return {
    cronJob: { enabled: true, besideDeployment: true },
    config: { provisioning },
    aws: { credentials: { source: 'rolesAnywhere', rolesAnywhere: values } },
  };
}
