// Tests the commands of npm run try for both tools, with the keys of the environment and with the ECR stand-in.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import packageJson from '../../package.json' with { type: 'json' };
import { filesFor } from '../../try/files.ts';
import { planDelete, planTry } from '../../try/plan.ts';
import type { TrySettings } from '../../try/settings.ts';

const standIn: TrySettings = {
  ...{ tool: 'k3d', folder: '/f', keys: undefined, image: undefined, hasCluster: false },
};
const keys = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'SecretOfTheUser',
  sessionToken: 'SessionOfTheUser',
};
const program = `ecr-pull-secrets-try:${packageJson.version}`;
const image = `ecr-pull-secrets-try-stand-in:${packageJson.version}`;

function commands(settings: TrySettings): string[] {
  return planTry(settings).map(({ command }) => command.join(' '));
}

const install =
  'helm upgrade --install ecr-pull-secrets charts/ecr-pull-secrets --namespace ecr-pull-secrets --values /f/values.yaml --wait --timeout 5m';

describe('npm run try', () => {
  it('creates a k3d cluster with the stand-in, and pulls an image', () => {
    assert.deepEqual(commands(standIn), [
      `docker build --provenance=false --tag ${program} .`,
      `docker build --provenance=false --tag ${image} --file try/Dockerfile /f/image`,
      'k3d cluster create ecr-pull-secrets-try --kubeconfig-update-default=false --wait --registry-config /f/registries.yaml --k3s-arg --disable-default-registry-endpoint@server:0 --k3s-arg --disable=traefik@server:0',
      'k3d kubeconfig write ecr-pull-secrets-try --output /f/kubeconfig',
      `k3d image import ${program} ${image} --cluster ecr-pull-secrets-try`,
      'kubectl apply --filename /f/stand-in.yaml',
      'kubectl rollout status deployment/ecr-stand-in --namespace ecr-stand-in --timeout 2m',
      install,
      'kubectl delete pod cart --namespace default --ignore-not-found',
      'kubectl run cart --namespace default --image=123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop/cart:1.4 --image-pull-policy=Always',
      'kubectl wait pod/cart --namespace default --for=condition=Ready --timeout=2m',
      'kubectl get events --namespace default --output custom-columns=MESSAGE:.message --field-selector involvedObject.name=cart,reason=Pulled',
      'kubectl get secret ecr-pull-secrets --namespace default',
    ]);
  });

  it('creates a kind cluster whose kubeconfig is a file of its own', () => {
    const kind = commands({ ...standIn, tool: 'kind' }).filter((command) => command.startsWith('kind '));
    assert.deepEqual(kind, [
      'kind create cluster --name ecr-pull-secrets-try --wait 2m --config /f/cluster.yaml --kubeconfig /f/kubeconfig',
      'kind export kubeconfig --name ecr-pull-secrets-try --kubeconfig /f/kubeconfig',
      `kind load docker-image ${program} ${image} --name ecr-pull-secrets-try`,
    ]);
  });

  it('uses the keys of the environment, and neither prints nor stores them', () => {
    const settings = { ...standIn, keys, image: '111122223333.dkr.ecr.us-east-1.amazonaws.com/a:1' };
    const plan = planTry(settings);
    const visible = JSON.stringify([plan.map(({ title, command }) => [title, command]), filesFor(settings)]);
    assert.doesNotMatch(visible, /AKIAIOSFODNN7EXAMPLE|OfTheUser|stand-in/);
    const input = plan.flatMap((step) => step.input ?? []).join('');
    assert.match(input, /AWS_SECRET_ACCESS_KEY: SecretOfTheUser\n {2}AWS_SESSION_TOKEN: SessionOfTheUser\n$/);
    assert.ok(commands(settings).some((command) => command.includes(`--image=${settings.image}`)));
    const withoutImage = commands({ ...settings, image: undefined });
    assert.equal(withoutImage.at(-1), install);
  });

  it('uses its cluster again, and restarts the program with the new image and keys', () => {
    for (const tool of ['k3d', 'kind'] as const) {
      const again = commands({ ...standIn, tool, hasCluster: true });
      assert.ok(!again.some((command) => command.includes('create')), again.join('\n'));
      const next = again.indexOf(install) + 1;
      assert.deepEqual(again.slice(next, next + 2), [
        'kubectl rollout restart deployment --namespace ecr-pull-secrets',
        'kubectl rollout status deployment/ecr-pull-secrets --namespace ecr-pull-secrets --timeout 2m',
      ]);
    }
  });

  it('deletes only its cluster and its images', () => {
    const removes = (tool: TrySettings['tool']) =>
      planDelete({ tool, folder: '/f' }).map(({ command }) => command.join(' '));
    assert.deepEqual(removes('k3d'), [
      'k3d cluster delete ecr-pull-secrets-try',
      `docker image rm --force ${program} ${image}`,
    ]);
    assert.equal(
      removes('kind')[0],
      'kind delete cluster --name ecr-pull-secrets-try --kubeconfig /f/kubeconfig',
    );
  });

  it('replaces one host of ECR by the registry of the stand-in on the node', () => {
    const k3d = filesFor(standIn)['registries.yaml'] ?? '';
    const kind = filesFor({ ...standIn, tool: 'kind' });
    const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
    assert.ok(k3d.includes(`${host}:`) && k3d.includes('http://127.0.0.1:5081'), k3d);
    assert.ok(kind['cluster.yaml']?.includes(`containerPath: /etc/containerd/certs.d/${host}/hosts.toml`));
    assert.match(kind['hosts.toml'] ?? '', /^server = "http:\/\/127\.0\.0\.1:5081"\n/);
  });
});
