// Shows in a few seconds what the program does, without a cluster and without AWS.
// The real program runs as its own process, with the rights of its ServiceAccount, between stand-ins for the API server
// and for ECR on loopback.
import { styleText } from 'node:util';
import { stringify } from 'yaml';
import { getField } from '../src/util/json.ts';
import { startApiStandIn } from '../test/doubles/api-server/api-stand-in.ts';
import { startEcrDouble } from '../test/doubles/ecr/ecr-double.ts';
import { eventually } from '../test/support/eventually.ts';
import { installServiceAccount, registerWebhook } from '../test/support/installation.ts';
import { type Admitted, createPod, type Pod, podWith } from '../test/support/pods.ts';
import { startProgram } from '../test/support/program.ts';
import { readPullSecret } from '../test/support/pull-secret.ts';

const cluster = await startApiStandIn();
const ecr = await startEcrDouble();
const kubeconfigPath = await installServiceAccount(cluster);
const program = await startProgram({ kubeconfigPath, environment: ecr.env() });
const webhook = await registerWebhook(cluster, program);
const namespace = await webhook.createNamespace();

let step = 0;
const title = (text: string) => print(`\n${styleText('bold', `${++step}. ${text}`)}`);
const image = (region: string) => `123456789012.dkr.ecr.${region}.amazonaws.com/shop/cart:1.4`;

title('A user creates a pod with an ECR image and without a pull secret');
const typed = podWith([image('eu-central-1')]);
show(typed.spec);

title('The API server stores the pod with a reference to the pull secret');
const first = await create(typed);
show(getField(first.body, 'spec'));

title(`The pull secret now exists in namespace ${namespace}`);
await showSecret();

title('One call to AWS was needed');
showCalls();

title('A second pod needs no further call to AWS');
const second = await create(podWith([image('eu-central-1')]));
print(`   imagePullSecrets: ${second.pullSecrets.join(', ')}; calls to AWS so far: ${ecr.calls.length}`);

title('A dry run of a pod from another region writes nothing and does not call AWS');
const dry = await create(podWith([image('us-east-1')]), true);
print(`   imagePullSecrets: ${dry.pullSecrets.join(', ')}; calls to AWS so far: ${ecr.calls.length}`);
await showSecret();

title('A pod is created while ECR is down: it is admitted with a warning');
ecr.fail('reset');
const during = await create(podWith([image('ap-south-1')]));
print(`   ${styleText('yellow', 'Warning:')} ${during.warnings.join()}`);
print(
  `   pod/${String(getField(getField(during.body, 'metadata'), 'name'))} created, with imagePullSecrets: ${during.pullSecrets.join(', ')}`,
);
await showSecret();

print('   The Secret keeps its token and lists the new host, which has no token yet.');

title('ECR is back: the host gets its token without another pod');
ecr.heal();
const healed = await eventually('the token is there', async () => {
  const secret = await readPullSecret(cluster, namespace);
  return Object.values(secret?.hosts ?? {}).every((lifetime) => lifetime !== null);
});
await showSecret();
print('   The kubelet reads the Secret again at its next retry, and the pod starts.');
print('   Tokens are renewed at half of their lifetime.');
await webhook.remove();
await Promise.all([program.stop(), ecr.stop()]);
await cluster.stop();
const expected = [first, second, dry, during].every(
  ({ status, pullSecrets }) => status === 201 && pullSecrets.length === 1,
);
process.exitCode = expected && healed && during.warnings.length === 1 ? 0 : 1;

function create(pod: Pod, dryRun = false): Promise<Admitted> {
  return createPod(cluster, namespace, pod, { dryRun });
}

async function showSecret(): Promise<void> {
  const secret = await readPullSecret(cluster, namespace);
  print(`   Secret ecr-pull-secrets, ${secret?.type}`);
  for (const [host, lifetime] of Object.entries(secret?.hosts ?? {})) {
    print(`     ${host}  ${lifetime === null ? 'no token yet' : `token expires ${lifetime.expiresAt}`}`);
  }
}

function showCalls(): void {
  for (const { service, operation, region } of ecr.calls) {
    print(`   ${service}:${operation} in ${region}`);
  }
}

function show(value: unknown): void {
  print(stringify({ spec: value }).trimEnd().replace(/^/gm, '   '));
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
