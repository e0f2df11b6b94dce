// Follows one image from its host to the response of the registry.
import { parseImageReference } from '../ecr/image-reference.ts';
import { explainLookAlike } from '../ecr/look-alike.ts';
import { createRegistryResolver, type Registry } from '../ecr/registry.ts';
import { decideOnPod } from '../injection/decision.ts';
import { type Chain, describeGapStep, explainedBy, hasFailed } from './chain.ts';
import type { CheckResult } from './check.ts';
import { skipCheck } from './check-text.ts';
import { createDiagnosisRules } from './diagnosis-rules.ts';
import { checkImagePull } from './image-pull.ts';
import { describeInjection, describeLookAlike } from './injection-results.ts';
import type { Installation } from './installation.ts';
import { readNamespace } from './namespace-identities.ts';
import { describeGap } from './read-gaps.ts';
import { type KnownNamespace, readNamespaceSecret } from './secret-chain.ts';
import { allNamespaces, surveySecrets } from './secret-survey.ts';
import { readNamespaceSelector } from './webhook-reads.ts';

export interface ImageQuestion {
  readonly image: string;
  /** Undefined: any that has a token for the host. */
  readonly namespace: string | undefined;
  readonly platform: string | undefined;
}

/** Would a pod with this image be injected, and does the registry return the image? */
export async function followImage(
  installation: Installation,
  { image, namespace, platform }: ImageQuestion,
  signal: AbortSignal,
): Promise<Chain> {
  const parts = (checks: readonly CheckResult[]): Chain => ({ parts: [{ title: `image ${image}`, checks }] });
  const parsed = parseImageReference(image);
  const registry =
    typeof parsed === 'object' ? createRegistryResolver(installation.config)(parsed.host) : undefined;
  const named = describeRegistry(image, parsed, registry);
  if (typeof parsed !== 'object' || registry === undefined) {
    return parts([named]);
  }
  const given =
    namespace === undefined ? undefined : await checkInjection(installation, image, namespace, signal);
  const injection = given?.results ?? [];
  if (hasFailed(injection)) {
    return parts([named, ...injection, skipCheck('pull-secret', 'pods with the image get no token')]);
  }
  const chosen = given ?? (await findNamespace(installation, parsed.host, signal));
  if ('check' in chosen) {
    return parts([named, chosen]);
  }
  const secret = await readNamespaceSecret(installation, chosen, signal);
  const pull = await checkImagePull(installation, { image: parsed, registry, secret, platform }, signal);
  const results = hasFailed(secret.results)
    ? [...secret.results, ...explainedBy('the Secret is not usable', pull)]
    : [...secret.results, ...pull];
  return parts([named, ...injection, ...results]);
}

/** What the host of an image is. */
export function describeRegistry(
  image: string,
  parsed: ReturnType<typeof parseImageReference>,
  registry: Registry | undefined,
): CheckResult {
  const check = 'image-registry';
  if (typeof parsed === 'string') {
    const summary = `the image cannot be pulled, because it ${parsed}`;
    return { check, outcome: 'failed', summary, remedy: 'Correct the image' };
  }
  const host = parsed?.host ?? image.split('/', 1)[0] ?? '';
  if (parsed !== undefined && registry !== undefined) {
    return { check, outcome: 'ok', summary: `${host} is ${describeKind(registry)}` };
  }
  const problem = explainLookAlike(host);
  return problem === undefined
    ? {
        check,
        outcome: 'warning',
        summary: 'the image is in no registry that the program handles',
        meaning: 'Pods pull it without the program, anonymously or with other credentials',
        remedy:
          'If it is an ECR registry under another name, add the name to hosts; for ECR Public, set publicRegistry',
        page: 'how-to/other-host-names.md',
      }
    : describeLookAlike(host, problem, true);
}

function describeKind(registry: Registry): string {
  return registry.kind === 'public'
    ? 'the public registry of Amazon ECR'
    : `the registry of AWS account ${registry.account} in ${registry.region}`;
}

/** The namespace, and the decision about a new pod with the image in it. */
async function checkInjection(
  installation: Installation,
  image: string,
  namespace: string,
  signal: AbortSignal,
): Promise<KnownNamespace & { readonly results: readonly CheckResult[] }> {
  const [facts, namespaceSelector] = await Promise.all([
    readNamespace(installation, namespace, signal),
    readNamespaceSelector(installation, signal),
  ]);
  const { resolveIdentity } = facts;
  const known = { namespace, resolveIdentity };
  if (facts.exists === false) {
    const check = 'pod-injection';
    const summary = `namespace ${namespace} does not exist`;
    return { ...known, results: [{ check, outcome: 'failed', summary }] };
  }
  const { config } = installation;
  const pod = { spec: { containers: [{ name: 'main', image }] } };
  const decision = decideOnPod(
    pod,
    namespace,
    createDiagnosisRules(config, createRegistryResolver(config), resolveIdentity),
  );
  const injection = { ...facts, namespace, decision, pod, namespaceSelector, isFailing: true };
  return { ...known, results: describeInjection(injection) };
}

/** A namespace whose Secret has a token for a host, or why none is known. */
async function findNamespace(
  installation: Installation,
  host: string,
  signal: AbortSignal,
): Promise<KnownNamespace | CheckResult> {
  const check = 'pull-secret';
  const remedy = 'Name a namespace with --namespace';
  try {
    const { secrets } = await surveySecrets(installation, allNamespaces, signal);
    const found = [...secrets.values()].find(({ hosts }) =>
      hosts.some((one) => one.host === host && (one.state === 'valid' || one.state === 'due')),
    );
    return found === undefined
      ? skipCheck(check, `no namespace has a valid token for ${host}`, remedy)
      : { namespace: found.namespace, secrets };
  } catch (error) {
    const gap = describeGap(error, `list secrets named ${installation.config.secretName}`);
    return describeGapStep(check, gap, remedy);
  }
}
