// Follows one pod from the decision of the webhook to the response of the registries of its images.
import type { IdentityResolver } from '../ecr/identity.ts';
import { type ImageReference, parseImageReference } from '../ecr/image-reference.ts';
import { getPodImages } from '../ecr/pod-images.ts';
import { createRegistryResolver, type Registry } from '../ecr/registry.ts';
import { type DecisionRules, decideOnPod } from '../injection/decision.ts';
import { hasReference } from '../injection/patch.ts';
import { locateNode, locatePod, readByName } from '../kube/object-by-name.ts';
import { pickStrings } from '../kube/resource.ts';
import { getField } from '../util/json.ts';
import { type Chain, type ChainPart, describeGapStep, explainedBy, hasFailed } from './chain.ts';
import type { CheckResult } from './check.ts';
import { skipCheck } from './check-text.ts';
import { createDiagnosisRules } from './diagnosis-rules.ts';
import { describeRegistry } from './image-chain.ts';
import { checkImagePull } from './image-pull.ts';
import { describeInjection, isPullFailing } from './injection-results.ts';
import type { Installation } from './installation.ts';
import { readNamespace } from './namespace-identities.ts';
import { readPullErrors } from './pod-errors.ts';
import { describeGap, readOptional } from './read-gaps.ts';
import { readNamespaceSecret } from './secret-chain.ts';
import { readNamespaceSelector } from './webhook-reads.ts';

/** Images of one pod that are requested. */
const maxImages = 10;

export interface PodName {
  readonly namespace: string;
  readonly name: string;
}

/** Would the pod be injected, does it have the reference, and do the registries return its images? */
export async function followPod(
  installation: Installation,
  podName: PodName,
  signal: AbortSignal,
): Promise<Chain> {
  const { namespace, name } = podName;
  const title = `pod ${namespace}/${name}`;
  const pod = await readPod(installation, podName, signal);
  if ('check' in pod) {
    return { parts: [{ title, checks: [pod] }] };
  }
  const { config } = installation;
  const [facts, namespaceSelector, errors] = await Promise.all([
    readNamespace(installation, namespace, signal),
    readNamespaceSelector(installation, signal),
    readPullErrors(installation, podName, signal),
  ]);
  const rules = createDiagnosisRules(config, createRegistryResolver(config), facts.resolveIdentity);
  const decision = decideOnPod(pod.object, namespace, rules);
  const isFailing = isPullFailing(pod.object);
  const injection = describeInjection({
    ...{ ...facts, namespace, decision, namespaceSelector, isFailing },
    pod: pod.object,
  });
  const images = listImages(pod.object, rules);
  const hasRef = hasReference(pod.object, rules.reference);
  const reference =
    images.length === 0 ? [] : [describeReference(hasRef, injection, isFailing, config.secretName)];
  const cause = hasRef ? undefined : 'the pod has no reference to the pull Secret';
  const { resolveIdentity } = facts;
  const steps = { installation, namespace, resolveIdentity, images, cause, pod: pod.object };
  const pulls = images.length === 0 ? [] : await followImages(steps, signal);
  return { parts: [{ title, checks: [...injection, ...reference, errors] }, ...pulls] };
}

async function readPod(
  { cluster }: Installation,
  { namespace, name }: PodName,
  signal: AbortSignal,
): Promise<{ readonly object: unknown } | CheckResult> {
  const check = 'pod-found';
  try {
    const object = await readByName(cluster, locatePod(namespace, name), signal);
    return object === undefined
      ? {
          check,
          outcome: 'failed',
          summary: `pod ${namespace}/${name} does not exist`,
          remedy: `kubectl get pods --namespace ${namespace}`,
        }
      : { object };
  } catch (error) {
    return describeGapStep(check, describeGap(error, `get pods in namespace ${namespace}`));
  }
}

/** An image of a pod, with its registry. */
interface RegistryImage {
  readonly text: string;
  readonly image: ImageReference;
  readonly registry: Registry;
}

/** The images in registries that the program handles, each once. */
function listImages(pod: unknown, { resolveRegistry }: DecisionRules): RegistryImage[] {
  return [...new Set(getPodImages(pod))]
    .flatMap((text) => {
      const image = parseImageReference(text);
      const registry = typeof image === 'object' ? resolveRegistry(image.host) : undefined;
      return typeof image === 'object' && registry !== undefined ? [{ text, image, registry }] : [];
    })
    .slice(0, maxImages);
}

function describeReference(
  hasRef: boolean,
  injection: readonly CheckResult[],
  isFailing: boolean,
  secretName: string,
): CheckResult {
  const check = 'pod-reference';
  if (hasRef) {
    return { check, outcome: 'ok', summary: `the pod refers to Secret ${secretName}` };
  }
  const isSkipped = injection.some(({ outcome }) => outcome !== 'ok');
  if (isSkipped) {
    return skipCheck(check, 'the webhook does not add the reference');
  }
  return {
    check,
    outcome: isFailing ? 'failed' : 'warning',
    summary: `the pod has no reference to Secret ${secretName}, although the webhook would add it now`,
    meaning: isFailing
      ? 'The kubelet finds no credentials for the image. The pod was created while the webhook was not called'
      : 'The pod has started, but cannot pull again. It was created while the webhook was not called',
    remedy:
      'Delete the pod, so that its controller creates it again. Run doctor to see whether the webhook is called',
    page: 'troubleshooting.md#the-pod-has-no-reference',
  };
}

interface Steps {
  readonly installation: Installation;
  readonly namespace: string;
  readonly resolveIdentity: IdentityResolver;
  readonly images: readonly RegistryImage[];
  /** Why the kubelet does not use the Secret, as the end of a sentence after "because"; undefined: it does. */
  readonly cause: string | undefined;
  readonly pod: unknown;
}

async function followImages(
  { installation, namespace, resolveIdentity, images, cause, pod }: Steps,
  signal: AbortSignal,
): Promise<ChainPart[]> {
  const [secret, platform] = await Promise.all([
    readNamespaceSecret(installation, { namespace, resolveIdentity }, signal),
    findPlatform(installation, pod, signal),
  ]);
  const reason = cause ?? (hasFailed(secret.results) ? 'the Secret is not usable' : undefined);
  const parts = await Promise.all(
    images.map(async ({ text, image, registry }): Promise<ChainPart> => {
      const pull = await checkImagePull(installation, { image, registry, secret, platform }, signal);
      const named = describeRegistry(text, image, registry);
      return {
        title: `image ${text}`,
        checks: [named, ...(reason === undefined ? pull : explainedBy(reason, pull))],
      };
    }),
  );
  const { secretName } = installation.config;
  const checks = cause === undefined ? secret.results : explainedBy(cause, secret.results);
  return [{ title: `Secret ${namespace}/${secretName}`, checks }, ...parts];
}

/** The platform that the pod needs, from its node selector or its node; undefined: not known. */
async function findPlatform(
  { cluster }: Installation,
  pod: unknown,
  signal: AbortSignal,
): Promise<string | undefined> {
  const spec = getField(pod, 'spec');
  const selected = toPlatform(getField(spec, 'nodeSelector'));
  const node = getField(spec, 'nodeName');
  if (selected !== undefined || typeof node !== 'string') {
    return selected;
  }
  // Without the right to read nodes, the platform is not compared.
  const object = await readOptional('get nodes', [], () => readByName(cluster, locateNode(node), signal));
  return toPlatform(getField(getField(object, 'metadata'), 'labels'));
}

function toPlatform(labels: unknown): string | undefined {
  const { 'kubernetes.io/os': os = 'linux', 'kubernetes.io/arch': architecture } = pickStrings(labels);
  return architecture !== undefined && /^[a-z0-9]{1,20}$/.test(`${os}${architecture}`)
    ? `${os}/${architecture}`
    : undefined;
}
