// Who refused a request, and why, in words that quote nothing of the object that was sent.
import type { Cause, Status } from './api-status.ts';

/** Who or what refused a request. Holds names, field paths and fixed phrases only. */
export interface Refusal {
  /** For logs and Events. At most {@link maxTextLength} characters. */
  readonly text: string;
  /** For a kubectl warning: what happened first, then the name. At most {@link maxShortLength} characters. */
  readonly shortText: string;
  /** What the operator can do. */
  readonly advice: string;
}

const maxTextLength = 300;
const maxShortLength = 60;

/** How much of a message is looked at, in characters: two names of 253 characters and the words around them. */
const maxMessageLength = 1_000;

const namePattern = '[a-z0-9.-]{1,253}';
/** How the API server begins a refusal: `secrets "NAME" is forbidden: `. */
const forbiddenPrefix = `^${namePattern}(?: "[a-z0-9.:-]{1,253}")? is forbidden: `;
/** `count/secrets=1,secrets=1`. */
const amountPattern = '[a-z][a-z0-9./-]{0,80}=[0-9]{1,20}[EGKMPTikm]{0,2}';
const amountsPattern = `${amountPattern}(?:,${amountPattern}){0,5}`;

const adviceOnWebhook = 'change the rule behind that webhook, or what it requires of the namespace';
const adviceOnPolicy = 'change that policy, or what it requires of the namespace';
const adviceOnQuota = 'raise that quota, or delete what is not needed in the namespace';
const adviceOnFailedWebhook = 'check that webhook: its Service, its pods and its certificate';
const adviceOnImmutable = 'delete the Secret; it is created again for the next pod or by the next renewal';

interface RefusalPattern {
  readonly pattern: RegExp;
  refusal(groups: readonly string[], message: string): Refusal;
}

/**
 * The forms of text that the API server composes of names and numbers. What follows them may be written by a policy or
 * a webhook and may quote the Secret, so it is never kept. A webhook cannot imitate another form, because the API server
 * puts `admission webhook "NAME" denied the request` before whatever the webhook says. Most are produced by a real API server
 * in `test/kube/refusal.cluster.test.ts`. Sources: k8s.io/apiserver `pkg/admission/plugin/webhook/errors/statuserror.go`,
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
  // a MutatingAdmissionPolicy whose expression fails
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
    `${forbiddenPrefix}(?:User "([a-z0-9:.@/-]{1,253})"|User "[^"]{0,253}") cannot ([a-z]{1,20}) resource "([a-z/]{1,80})"` +
      `( in API group "[a-z0-9.-]{0,253}")?( in the namespace "[a-z0-9-]{1,63}"| at the cluster scope)?`,
    ([user, verb, resource, group, scope]) => ({
      text: `${user ? `User "${user}"` : 'the user'} cannot ${verb} resource "${resource}"${group}${scope}`,
      shortText: `no right to ${verb} ${resource}`,
      advice: 'grant that right to the account',
    }),
  ),
  // the API server does not say of which webhook
  createRefusalPattern(`${forbiddenPrefix}expression '`, () => ({
    text: 'a match condition of an admission webhook failed',
    shortText: 'a match condition of a webhook failed',
    advice: 'check the match conditions of the admission webhooks for this resource',
  })),
  createRefusalPattern(
    '^Internal error occurred: error in (?:add|copy|move|remove|replace|test) for path: ',
    () => ({
      text: 'the patch of a mutating webhook does not apply',
      shortText: 'the patch of a mutating webhook is wrong',
      advice: 'check the mutating webhooks for this resource',
    }),
  ),
];

function createRefusalPattern(pattern: string, refusal: RefusalPattern['refusal']): RefusalPattern {
  return { pattern: new RegExp(pattern), refusal };
}

/** Why a webhook could not be called. What else the text holds may come from the webhook. */
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
 * Reads who refused a request.
 * @returns undefined where the answer does not say so in a known form
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
  // the API server's own validation
  if (!invalidPattern.test(start)) return undefined;
  if (start.startsWith('Secret "') && causes.some(isImmutable)) {
    const text = `the Secret is immutable, field ${fields}`;
    return truncateRefusal({ text, shortText: 'Secret is immutable; delete it', advice: adviceOnImmutable });
  }
  if (fields === '') return undefined;
  const advice = 'the API server does not accept the object';
  return truncateRefusal({ text: `field ${fields}`, shortText: `invalid field ${fields}`, advice });
}

const invalidPattern = /^[A-Za-z.]{1,253} "[a-z0-9.:-]{1,253}" is invalid: /;

/** `ValidateSecretUpdate` in kubernetes `pkg/apis/core/validation/validation.go`. */
function isImmutable({ reason, field }: Cause): boolean {
  return reason === 'FieldValueForbidden' && (field === 'data' || field === 'immutable');
}

/** How many fields are named. */
const maxFields = 3;

/**
 * Paths within the objects that we write. A cause may come from a webhook and hold any text, so that only paths of this
 * form are shown: known fields at the top, and keys as labels, annotations and Secrets have them.
 */
const fieldPattern =
  /^(?:metadata(?:\.(?:annotations|finalizers|generateName|labels|name|namespace|ownerReferences|resourceVersion|uid))?|data|imagePullSecrets|immutable|involvedObject|message|reason|secrets|type|webhooks)(?:\[[a-z0-9._/-]{1,80}\])?(?:\.[a-z][A-Za-z]{0,20}){0,3}$/;

/** CauseType of k8s.io/apimachinery `pkg/apis/meta/v1/types.go`, as far as they are about fields. */
const reasonPattern =
  /^FieldValue(?:Duplicate|Forbidden|Invalid|NotFound|NotSupported|Required|TooLong|TooMany|TypeInvalid)$/;

/** `data[.dockerconfigjson] (FieldValueInvalid)`; an empty text where no cause names a field. */
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
