// Parses MutatingWebhookConfigurations: the facts that the checks decide on. Pure.
import { productName } from '../labels.ts';
import { getField, getItems } from '../util/json.ts';

/** Where the API server sends the requests of a webhook. */
type WebhookTarget =
  | { readonly kind: 'service'; readonly namespace: string; readonly name: string; readonly port: number }
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'none' };

/** The target of a webhook that the API server can call. */
export type CalledTarget = Exclude<WebhookTarget, { kind: 'none' }>;

export interface WebhookFacts {
  readonly name: string;
  readonly target: WebhookTarget;
  /** In PEM; empty if there is none. */
  readonly caBundle: string;
  readonly failurePolicy: string;
  readonly timeoutSeconds: number;
  readonly sideEffects: string;
  /** As in the API; undefined if it selects everything. */
  readonly namespaceSelector: unknown;
  readonly objectSelector: unknown;
  /** The names of the match conditions. */
  readonly matchConditions: readonly string[];
  /** The operations for pods, such as CREATE. */
  readonly podOperations: ReadonlySet<string>;
}

export interface WebhookConfigurationFacts {
  readonly name: string;
  /** Whether it has the labels of the chart or a webhook with the name of the chart's. */
  readonly isOwn: boolean;
  readonly webhooks: readonly WebhookFacts[];
}

/** The name of the webhook in the chart. */
const ownWebhookName = 'pods.ecr-pull-secrets.io';

/** Parses a MutatingWebhookConfiguration. Never throws. Returns undefined for an object without a name. */
export function parseConfiguration(object: unknown): WebhookConfigurationFacts | undefined {
  const metadata = getField(object, 'metadata');
  const name = getField(metadata, 'name');
  if (typeof name !== 'string') {
    return undefined;
  }
  const webhooks = getItems(getField(object, 'webhooks')).map(parseWebhook);
  const hasLabel = getField(getField(metadata, 'labels'), 'app.kubernetes.io/name') === productName;
  return { name, isOwn: hasLabel || webhooks.some((webhook) => webhook.name === ownWebhookName), webhooks };
}

function parseWebhook(webhook: unknown): WebhookFacts {
  const caBundle = text(getField(getField(webhook, 'clientConfig'), 'caBundle'), '');
  return {
    name: text(getField(webhook, 'name'), ''),
    target: parseTarget(getField(webhook, 'clientConfig')),
    caBundle: decodeBase64(caBundle),
    failurePolicy: text(getField(webhook, 'failurePolicy'), 'Fail'),
    timeoutSeconds: Number(getField(webhook, 'timeoutSeconds') ?? 10),
    sideEffects: text(getField(webhook, 'sideEffects'), ''),
    namespaceSelector: getField(webhook, 'namespaceSelector'),
    objectSelector: getField(webhook, 'objectSelector'),
    matchConditions: getItems(getField(webhook, 'matchConditions')).map((one) =>
      text(getField(one, 'name'), ''),
    ),
    podOperations: new Set(getItems(getField(webhook, 'rules')).flatMap(listPodOperations)),
  };
}

function parseTarget(clientConfig: unknown): WebhookTarget {
  const url = getField(clientConfig, 'url');
  const service = getField(clientConfig, 'service');
  const [namespace, name] = [getField(service, 'namespace'), getField(service, 'name')];
  if (typeof url === 'string' && URL.canParse(url)) {
    return { kind: 'url', url };
  }
  return typeof namespace === 'string' && typeof name === 'string'
    ? { kind: 'service', namespace, name, port: Number(getField(service, 'port') ?? 443) }
    : { kind: 'none' };
}

const operations = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'];

function listPodOperations(rule: unknown): readonly string[] {
  const has = (key: string, ...values: string[]) =>
    getItems(getField(rule, key)).some((item) => item === '*' || values.includes(String(item)));
  const scope = getField(rule, 'scope') ?? '*';
  if (
    !has('apiGroups', '') ||
    !has('apiVersions', 'v1') ||
    !has('resources', 'pods', '*/*') ||
    scope === 'Cluster'
  ) {
    return [];
  }
  const listed = getItems(getField(rule, 'operations'));
  return listed.includes('*') ? operations : listed.filter((one) => typeof one === 'string');
}

function text(value: unknown, fallback: string): string {
  return typeof value === 'string' ? value : fallback;
}

function decodeBase64(encoded: string): string {
  return Buffer.from(encoded, 'base64').toString();
}
