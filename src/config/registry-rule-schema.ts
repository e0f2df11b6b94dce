// The schema of one rule of `registries`: which AWS identity fetches the tokens of which namespaces and registries.
import * as v from 'valibot';
import { getLongestExpansion, hasOnlyKnownPlaceholders, knownPlaceholders } from '../ecr/placeholders.ts';
import { isJson, isObject } from '../util/json.ts';
import {
  accountPattern,
  globPattern,
  labelSelector,
  namePattern,
  nonEmptyText,
  objectName,
} from './value-types.ts';

const objectMessage = 'a mapping';

/** A text in which `{namespace}`, `{account}`, `{region}` and `{partition}` stand for values. */
const template = v.pipe(
  v.string('a string'),
  v.nonEmpty('a non-empty string'),
  v.check(hasOnlyKnownPlaceholders, `a text with no other placeholders than ${knownPlaceholders}`),
);

const roleArn = v.pipe(
  template,
  v.regex(
    /^arn:(?:aws[a-z-]*|\{partition\}):iam::(?:\d{12}|\{account\}):role\/.+$/,
    'the ARN of an IAM role, with placeholders if needed',
  ),
);

const policyMessage = 'an IAM policy, as JSON or as a mapping';

/** An IAM policy, converted to JSON text. The limit of AWS STS applies after the placeholders are expanded. */
const sessionPolicy = v.pipe(
  v.custom<string | Readonly<Record<string, unknown>>>(
    (value) => typeof value === 'string' || isObject(value),
    policyMessage,
  ),
  v.transform((policy) => (typeof policy === 'string' ? policy : JSON.stringify(policy))),
  v.check(isJson, policyMessage),
  v.maxLength(2048, 'at most 2,048 characters, the limit of AWS STS'),
  v.check(hasOnlyKnownPlaceholders, `a policy with no other placeholders than ${knownPlaceholders}`),
);

/** The characters that AWS STS accepts in the keys and values of session tags. */
const tagCharacters = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;

const isTagKey = (key: string) =>
  tagCharacters.test(key) && key.length > 0 && key.length <= 128 && !key.toLowerCase().startsWith('aws:');

const sessionTags = v.pipe(
  v.record(
    v.string(),
    v.pipe(
      v.string('a string'),
      v.check(hasOnlyKnownPlaceholders, `a text with no other placeholders than ${knownPlaceholders}`),
      v.check(
        (value) => tagCharacters.test(value.replace(/[{}]/g, '')),
        'a text of letters, digits, spaces, placeholders or any of _.:/=+-@',
      ),
      v.check((value) => getLongestExpansion(value) <= 256, 'at most 256 characters, the limit of AWS STS'),
    ),
    'a mapping of tag keys to values',
  ),
  v.check(
    (tags) => Object.keys(tags).every(isTagKey),
    'tags whose keys have 1 to 128 letters, digits, spaces or any of _.:/=+-@, and do not begin with aws:',
  ),
  v.check((tags) => Object.keys(tags).length <= 50, 'at most 50 tags, the limit of AWS STS'),
);

/** The first rule that matches namespace, account and region applies. */
export const registryRule = v.object(
  {
    /** Namespaces that the rule is for; default: all. If both are set, both must match. */
    namespaces: v.optional(
      v.object(
        {
          names: v.optional(v.array(namePattern, 'a list of namespaces')),
          /** Tenants who may change the labels of their namespace can choose the rule. */
          selector: v.optional(
            v.pipe(labelSelector, v.nonEmpty('a label selector such as team=shop,env!=test')),
          ),
        },
        objectMessage,
      ),
    ),
    /** Accounts that own the registries; default: all. */
    accounts: v.optional(v.array(accountPattern, 'a list of accounts')),
    /** Regions of the registries; default: all. */
    regions: v.optional(v.array(globPattern, 'a list of regions')),
    /** `deny`: no tokens. `allow`: tokens of the identity that the rest of the rule describes; default: allow. */
    access: v.optional(v.picklist(['allow', 'deny'], 'allow or deny')),
    /** The role to assume; default: none. With `webIdentity`, the annotation of the ServiceAccount comes first. */
    roleArn: v.optional(roleArn),
    /** The `sts:ExternalId` that the role's trust policy requires. */
    externalId: v.optional(v.pipe(nonEmptyText, v.minLength(2, 'at least 2 characters'))),
    /** Name of the role session, visible in CloudTrail. Truncated to 64 characters and padded to 2 after the expansion. */
    sessionName: v.optional(
      v.pipe(
        template,
        v.check(
          (name) => /^[\w+=,.@-]{2,64}$/.test(name.replace(/[{}]/g, '')),
          '2 to 64 letters, digits, placeholders or any of +=,.@-_',
        ),
      ),
    ),
    /** Tags of the role session, for attribute-based access control. */
    sessionTags: v.optional(sessionTags),
    /** An IAM policy that further restricts the permissions of the role session. */
    sessionPolicy: v.optional(sessionPolicy),
    /** Exchanges the token of a ServiceAccount of the namespace for a session of the role. */
    webIdentity: v.optional(
      v.object(
        {
          serviceAccount: objectName,
          /** The audience of the token, as the OIDC provider in IAM expects it. */
          audience: v.optional(nonEmptyText, 'sts.amazonaws.com'),
        },
        objectMessage,
      ),
    ),
    /** Roles that the annotation of the ServiceAccount may name; default: all. */
    allowedRoles: v.optional(v.array(v.pipe(globPattern, template), 'a list of ARNs of IAM roles')),
    /** The base credentials; default: those of the program. */
    credentials: v.optional(
      v.object(
        {
          /** A profile of the shared AWS configuration files. */
          profile: v.pipe(nonEmptyText, v.regex(/^[^\s[\]]+$/, 'the name of a profile')),
        },
        objectMessage,
      ),
    ),
  },
  objectMessage,
);
