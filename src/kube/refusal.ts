// Finds who refused a request and why, without quoting the object that was sent.
import type { Cause, Status } from './api-status.ts';

/** Who or what refused a request. Contains only names, field paths and fixed phrases. */
export interface Refusal {
  /** For logs and Events. At most {@link maxTextLength} characters. */
  readonly text: string;
  /** For a kubectl warning: what happened, then the name. At most {@link maxShortLength} characters. */
  readonly shortText: string;
  /** What the operator can do about it. */
  readonly advice: string;
}

const maxTextLength = 300;
const maxShortLength = 60;

/** Maximum number of characters of a message to parse: two names of 253 characters and the text around them. */
const maxMessageLength = 1_000;

const namePattern = '[a-z0-9.-]{1,253}';
/** The start of a refusal by the API server: `secrets "NAME" is forbidden: `. */
const forbiddenPrefix = `^${namePattern}(?: "[a-z0-9.:-]{1,253}")? is forbidden: `;
/** Quota amounts such as `count/secrets=1,secrets=1`. */
const amountPattern = '[a-z][a-z0-9./-]{0,80}=[0-9]{1,20}[EGKMPTikm]{0,2}';
const amountsPattern = `${amountPattern}(?:,${amountPattern}){0,5}`;

const adviceOnWebhook = 'change the policy of that webhook, or make the namespace comply with it';
const adviceOnPolicy = 'change that policy, or make the namespace comply with it';
const adviceOnQuota = 'raise that quota, or delete objects that the namespace does not need';
const adviceOnFailedWebhook = 'check that webhook: its Service, its pods and its certificate';
const adviceOnImmutable = 'delete the Secret; the next pod or the next renewal recreates it';

interface RefusalPattern {
  readonly pattern: RegExp;
  refusal(groups: readonly string[], message: string): Refusal;
}

/**
 * The messages that the API server composes from names and numbers. The text after them may be written by a policy or a webhook
 * and may quote the Secret, so it is discarded. A webhook cannot imitate another message, because the API server puts
 * `admission webhook "NAME" denied the request` before the webhook's text. `test/kube/refusal.cluster.test.ts` checks most of
 * them with a real API server. Sources: k8s.io/apiserver `pkg/admission/plugin/webhook/errors/statuserror.go`,
 * `pkg/admission/plugin/policy` and `plugin/resourcequota/controller.go`.
 */
const refusalPatterns: readonly RefusalPattern[] = [
  createRefusalPattern(
    `^admission webhook "(${namePattern})" (denied the request|does not support dry run)`,
    ([webhook, verb]) => ({
      text: `admission webhook "${webhook}" ${verb}`,
      shortText: `denied by webhook "${webhook}"`,
      advice: adviceOnWebhook,
    }),
  ),
  createRefusalPattern(
    `^Internal error occurred: failed calling webhook "(${namePattern})": `,
    ([webhook], message) => ({
      text: `failed calling webhook "${webhook}"${formatWebhookFailureCause(message)}`,
      shortText: `webhook failed: "${webhook}"`,
      advice: adviceOnFailedWebhook,
    }),
  ),
  createRefusalPattern(
    `${forbiddenPrefix}ValidatingAdmissionPolicy '(${namePattern})' with binding '(${namePattern})' denied request`,
    ([policy, binding]) => ({
      text: `ValidatingAdmissionPolicy '${policy}' with binding '${binding}' denied request`,
      shortText: `denied by policy "${policy}"`,
      advice: adviceOnPolicy,
    }),
  ),
  // A MutatingAdmissionPolicy whose expression fails.
  createRefusalPattern(
    `^policy '(${namePattern})' with binding '(${namePattern})' denied request`,
    ([policy, binding]) => ({
      text: `policy '${policy}' with binding '${binding}' denied request`,
      shortText: `denied by policy "${policy}"`,
      advice: adviceOnPolicy,
    }),
  ),
  createRefusalPattern(
    `${forbiddenPrefix}exceeded quota: (${namePattern})(?=[,:]|$)(, requested: ${amountsPattern}, used: ${amountsPattern}, limited: ${amountsPattern})?`,
    ([quota, numbers]) => ({
      text: `exceeded quota: ${quota}${numbers}`,
      shortText: `exceeded quota "${quota}"`,
      advice: adviceOnQuota,
    }),
  ),
  createRefusalPattern(
    `${forbiddenPrefix}(status unknown for quota|failed quota): (${namePattern})(?=[,:]|$)`,
    ([what, quota]) => ({
      text: `${what}: ${quota}`,
      shortText: `${what}: "${quota}"`,
      advice: adviceOnQuota,
    }),
  ),
  createRefusalPattern(
    `${forbiddenPrefix}violates PodSecurity "([a-z]{1,20}:[a-z0-9.]{1,20})"`,
    ([level]) => ({
      text: `violates PodSecurity "${level}"`,
      shortText: `violates PodSecurity "${level}"`,
      advice: 'make the pod comply with that Pod Security Standard, or change the label of the namespace',
    }),
  ),
  createRefusalPattern(
    `${forbiddenPrefix}(?:User "([a-z0-9:.@/-]{1,253})"|User "[^"]{0,253}") cannot ([a-z]{1,20}) resource "([a-z/]{1,80})"` +
      `( in API group "[a-z0-9.-]{0,253}")?( in the namespace "[a-z0-9-]{1,63}"| at the cluster scope)?`,
    ([user, verb, resource, group, scope]) => ({
      text: `${user ? `User "${user}"` : 'the user'} cannot ${verb} resource "${resource}"${group}${scope}`,
      shortText: `no permission to ${verb} ${resource}`,
      advice: 'grant that permission to the account',
    }),
  ),
  // The API server does not name the webhook.
  createRefusalPattern(`${forbiddenPrefix}expression '`, () => ({
    text: 'a match condition of an admission webhook failed',
    shortText: 'a match condition of a webhook failed',
    advice: 'check the match conditions of the admission webhooks for this resource',
  })),
  createRefusalPattern(
    '^Internal error occurred: error in (?:add|copy|move|remove|replace|test) for path: ',
    () => ({
      text: 'the patch of a mutating webhook does not apply',
      shortText: 'the patch of a mutating webhook does not apply',
      advice: 'check the mutating webhooks for this resource',
    }),
  ),
];

function createRefusalPattern(pattern: string, refusal: RefusalPattern['refusal']): RefusalPattern {
  return { pattern: new RegExp(pattern), refusal };
}

/** Why a webhook could not be called. The rest of the message may come from the webhook, so it is discarded. */
const webhookFailureCauses: readonly (readonly [end: RegExp, cause: string])[] = [
  [/: context deadline exceeded(?: \(Client\.Timeout exceeded while awaiting headers\))?$/, 'timed out'],
  [/: connection refused$/, 'connection refused'],
  [/: no such host$/, 'no such host'],
  [/: service "[a-z0-9-]{1,63}" not found$/, 'its Service does not exist'],
  [/: no endpoints available for service "[a-z0-9-]{1,63}"$/, 'its Service has no endpoints'],
  [/: tls: failed to verify certificate: x509: [^"]{1,200}$/, 'its certificate cannot be verified'],
];

function formatWebhookFailureCause(message: string): string {
  const end = message.slice(-maxMessageLength);
  const [, cause] = webhookFailureCauses.find(([pattern]) => pattern.test(end)) ?? [];
  return cause === undefined ? '' : ` (${cause})`;
}

/**
 * Finds who refused a request.
 * @returns undefined if the response does not say so in a known form
 */
export function parseRefusal({ message, causes }: Status): Refusal | undefined {
  const start = message.slice(0, maxMessageLength);
  const fields = formatFields(causes);
  for (const { pattern, refusal } of refusalPatterns) {
    const groups = pattern.exec(start);
    if (groups !== null) {
      const found = refusal(
        groups.slice(1).map((group) => group ?? ''),
        message,
      );
      return truncateRefusal({ ...found, text: found.text + (fields && `, field ${fields}`) });
    }
  }
  // Validation by the API server.
  if (!invalidPattern.test(start)) {
    return undefined;
  }
  if (start.startsWith('Secret "') && causes.some(isImmutable)) {
    const text = `the Secret is immutable, field ${fields}`;
    return truncateRefusal({ text, shortText: 'Secret is immutable; delete it', advice: adviceOnImmutable });
  }
  if (fields === '') {
    return undefined;
  }
  const advice =
    'the API server rejected the object as invalid; check whether a mutating webhook changes it, otherwise report a bug';
  return truncateRefusal({ text: `field ${fields}`, shortText: `invalid field ${fields}`, advice });
}

const invalidPattern = /^[A-Za-z.]{1,253} "[a-z0-9.:-]{1,253}" is invalid: /;

/** Whether a cause is about an immutable Secret: `ValidateSecretUpdate` in kubernetes `pkg/apis/core/validation/validation.go`. */
function isImmutable({ reason, field }: Cause): boolean {
  return reason === 'FieldValueForbidden' && (field === 'data' || field === 'immutable');
}

/** Maximum number of fields to name. */
const maxFields = 3;

/**
 * Field paths within the objects that this program writes. A cause may come from a webhook and contain any text, so only paths
 * of this form are shown: known top-level fields, and keys with the syntax of labels, annotations and Secrets.
 */
const fieldPattern =
  /^(?:metadata(?:\.(?:annotations|finalizers|generateName|labels|name|namespace|ownerReferences|resourceVersion|uid))?|data|imagePullSecrets|immutable|involvedObject|message|reason|secrets|type|webhooks)(?:\[[a-z0-9._/-]{1,80}\])?(?:\.[a-z][A-Za-z]{0,20}){0,3}$/;

/** The CauseTypes about fields in k8s.io/apimachinery `pkg/apis/meta/v1/types.go`. */
const reasonPattern =
  /^FieldValue(?:Duplicate|Forbidden|Invalid|NotFound|NotSupported|Required|TooLong|TooMany|TypeInvalid)$/;

/** Formats fields as `data[.dockerconfigjson] (FieldValueInvalid)`; empty if no cause names a field. */
function formatFields(causes: readonly Cause[]): string {
  const described = causes
    .slice(0, 100)
    .filter(({ field }) => field.length <= 150 && fieldPattern.test(field))
    .map(({ field, reason }) => (reasonPattern.test(reason) ? `${field} (${reason})` : field));
  return [...new Set(described)].slice(0, maxFields).join(', ');
}

function truncateRefusal({ text, shortText, advice }: Refusal): Refusal {
  return { text: truncate(text, maxTextLength), shortText: truncate(shortText, maxShortLength), advice };
}

function truncate(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 3)}...`;
}
