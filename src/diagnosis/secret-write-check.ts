// Checks on a dry run whether the program can write the pull Secrets of the namespaces that need it.
import pLimit from 'p-limit';
import type { Config } from '../config/schema.ts';
import { decideOnPod } from '../injection/decision.ts';
import { hasReference } from '../injection/patch.ts';
import { KubeError } from '../kube/errors.ts';
import { listPendingPods } from '../kube/pods.ts';
import { createSecretApi, type SecretApi, type SecretObject } from '../kube/secrets.ts';
import { fieldManager } from '../labels.ts';
import { isManagedSecret } from '../pull-secrets/apply.ts';
import { emptyContent } from '../pull-secrets/merge.ts';
import { addOperatorMetadata, type OperatorMetadata } from '../pull-secrets/operator-metadata.ts';
import { createManifest, dockerConfigKey } from '../pull-secrets/ownership.ts';
import { getField } from '../util/json.ts';
import type { CheckResult } from './check.ts';
import { countOf, limitDetails } from './check-text.ts';
import { createDiagnosisRules, readSelectedNamespaces } from './diagnosis-rules.ts';
import type { Installation } from './installation.ts';
import { readOptional } from './read-gaps.ts';
import { findHost, lacksToken, type SecretStatus } from './secret-states.ts';
import type { SecretSurvey } from './secret-survey.ts';

/** Maximum number of namespaces in which a write is tried: all that need one, and some that do not. */
const maxNamespaces = { needing: 20, others: 3 };
/** Writes that are tried at the same time. */
const concurrency = 8;

const check = 'secret-writable';
const page = 'troubleshooting.md#a-secret-cannot-be-written';

export interface WriteCheck {
  readonly result: CheckResult;
  /** Namespaces whose Secret cannot be written, which explains that tokens are missing there. */
  readonly unwritable: ReadonlySet<string>;
}

/** Tries to write the Secrets as the program does, without storing anything. Only the program's own rights show anything. */
export async function checkWrites(
  installation: Installation,
  survey: SecretSurvey,
  signal: AbortSignal,
): Promise<WriteCheck> {
  const skipped = (summary: string): WriteCheck => ({
    result: { check, outcome: 'skipped', summary },
    unwritable: new Set(),
  });
  if (installation.viewpoint === 'outside') {
    return skipped(
      'not checked, because only the rights of the program show it; run doctor in its pod: ' +
        `kubectl exec -n ${installation.namespace ?? 'ecr-pull-secrets'} deploy/ecr-pull-secrets -- ecr-pull-secrets doctor --group secrets`,
    );
  }
  const namespaces = await selectNamespaces(installation, survey, signal);
  if (namespaces.length === 0) {
    return skipped('not checked, because no namespace needs a pull Secret');
  }
  const api = createSecretApi(installation.cluster);
  const limit = pLimit(concurrency);
  const errors = await limit.map(namespaces, (namespace) =>
    signal.aborted ? undefined : tryToWrite(api, namespace, installation.config),
  );
  const failures = errors.flatMap((error, index) =>
    error === undefined ? [] : [{ namespace: namespaces[index] ?? '', error }],
  );
  const unwritable = new Set(failures.map(({ namespace }) => namespace));
  return { result: describeWrites(failures, namespaces.length, installation.config.secretName), unwritable };
}

interface WriteFailure {
  readonly namespace: string;
  readonly error: KubeError;
}

function describeWrites(failures: readonly WriteFailure[], tried: number, secretName: string): CheckResult {
  const [first] = failures;
  if (first === undefined) {
    return {
      check,
      outcome: 'ok',
      summary: `the API server accepts writes of the pull Secret (dry run in ${countOf(tried, 'namespace')})`,
    };
  }
  const { namespace, error } = first;
  const more = failures.length > 1 ? `, and those of ${countOf(failures.length - 1, 'other namespace')}` : '';
  return {
    check,
    outcome: 'failed',
    summary: `Secret ${namespace}/${secretName} cannot be written: ${error.shortCause}${more}`,
    meaning: 'New tokens cannot be stored, so pods that need them cannot pull',
    remedy: capitalize(error.advice),
    page,
    details: limitDetails(failures.map((failure) => `${failure.namespace}: ${failure.error.message}`)),
  };
}

function capitalize(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

/** Namespaces with waiting pods or hosts without a valid token, and some others. */
async function selectNamespaces(
  installation: Installation,
  survey: SecretSurvey,
  signal: AbortSignal,
): Promise<string[]> {
  const waiting = await findWaitingNamespaces(installation, survey, signal);
  const secrets = [...survey.secrets.values()].filter(isWritten);
  const lacking = secrets
    .filter(({ hosts }) => hosts.some(({ state }) => state !== 'valid' && state !== 'unconfigured'))
    .map(({ namespace }) => namespace);
  const needing = [...new Set([...waiting, ...lacking])].slice(0, maxNamespaces.needing);
  const others = secrets.map(({ namespace }) => namespace).filter((name) => !needing.includes(name));
  return [...needing, ...others.slice(0, maxNamespaces.others)];
}

function isWritten({ condition }: SecretStatus): boolean {
  return condition === 'managed' || condition === 'edited' || condition === 'missing';
}

async function findWaitingNamespaces(
  { config, cluster }: Installation,
  survey: SecretSurvey,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const namespaces = new Set<string>();
  const rules = createDiagnosisRules(config, survey.resolveRegistry, survey.resolveIdentity);
  const isSelected = await readSelectedNamespaces(config, cluster, [], signal);
  const examine = (pod: unknown) => {
    const namespace = getField(getField(pod, 'metadata'), 'namespace');
    if (
      typeof namespace !== 'string' ||
      namespaces.size >= maxNamespaces.needing ||
      !isSelected(namespace) ||
      !hasReference(pod, rules.reference)
    ) {
      return;
    }
    const decision = decideOnPod(pod, namespace, rules);
    const secret = survey.secrets.get(namespace);
    const isMissing =
      decision.action === 'ensure' &&
      decision.registries.some(({ host }) => lacksToken(findHost(secret, host), survey.now));
    if (isMissing && (secret === undefined || isWritten(secret))) {
      namespaces.add(namespace);
    }
  };
  await readOptional('list pods', [], () =>
    listPendingPods(cluster, (pods) => pods.forEach(examine), signal),
  );
  return namespaces;
}

/** @returns why the Secret cannot be written; undefined: it can, or it is gone or unmanaged by now */
async function tryToWrite(
  api: SecretApi,
  namespace: string,
  { secretName: name, secrets }: Config,
): Promise<KubeError | undefined> {
  try {
    const existing = await api.read(namespace, name);
    if (existing === undefined || isManagedSecret(existing)) {
      await api.apply(createTrialObject(existing, namespace, name, secrets), {
        fieldManager,
        force: true,
        dryRun: true,
      });
    }
    return undefined;
  } catch (error) {
    if (error instanceof KubeError) {
      return error.code === 'namespace-terminating' || error.code === 'conflict' ? undefined : error;
    }
    throw error;
  }
}

/** What the program would write. The content differs by a line break, because an immutable Secret accepts equal content. */
function createTrialObject(
  existing: SecretObject | undefined,
  namespace: string,
  name: string,
  operator: OperatorMetadata,
): SecretObject {
  const { type, data, ...own } = createManifest(emptyContent);
  const { labels, annotations } = addOperatorMetadata(own, operator);
  if (existing === undefined) {
    return { metadata: { namespace, name, labels, annotations }, type, data };
  }
  const { uid, resourceVersion, annotations: present } = existing.metadata;
  const content = Buffer.from(existing.data?.[dockerConfigKey] ?? '', 'base64').toString();
  return {
    metadata: {
      ...{ namespace, name, labels },
      ...(uid !== undefined && { uid }),
      ...(resourceVersion !== undefined && { resourceVersion }),
      annotations: { ...annotations, ...pickOwn(present, own.annotations) },
    },
    type,
    data: { [dockerConfigKey]: Buffer.from(`${content}\n`).toString('base64') },
  };
}

/** The present values of the annotations that the program writes. */
function pickOwn(
  present: Readonly<Record<string, string>> = {},
  own: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(Object.entries(present).filter(([key]) => key in own));
}
