// Lists every known cause of a failed call to AWS: whether it is permanent, its summary, and what the operator can do.

/** Describes one cause of failures. */
export interface Cause {
  /** Retrying does not help; the operator has to change something. */
  readonly permanent: boolean;
  /** What happened, in a few words; the code by default. */
  readonly summary?: string;
  /** What the operator can do. */
  readonly advice: string;
  /** Whether the credentials may be the cause, so that they are read again before the next call. */
  readonly isCredentialError?: boolean;
}

const invalidKeys = {
  permanent: true,
  isCredentialError: true,
  advice: 'Check the access key, that it belongs to this AWS partition, and that the region is enabled',
} satisfies Cause;

const invalidSignature = {
  permanent: true,
  isCredentialError: true,
  advice: 'Check the secret key and the system clock',
} satisfies Cause;

const expiredCredentials = {
  permanent: true,
  isCredentialError: true,
  advice: 'The credentials or the web identity token in use have expired; renew them',
} satisfies Cause;

const invalidIdentityToken = {
  permanent: true,
  isCredentialError: true,
  advice:
    "Check the issuer and audience of the web identity token, that its file contains only the token (no line break), and the role's trust policy",
} satisfies Cause;

const invalidSessionPolicy = {
  permanent: true,
  advice:
    'Check the session policy of the registry rule: valid JSON of an IAM policy, 2,048 characters at most',
} satisfies Cause;

const packedPolicyTooLarge = {
  permanent: true,
  advice:
    'Shorten the session policy or the session tags of the registry rule: STS packs both together, and its limit may be reached below 2,048 characters',
} satisfies Cause;

const invalidParameter = {
  permanent: true,
  advice: 'Check the role, external ID, session name and session tags: a role name has at most 64 characters',
} satisfies Cause;

const wrongEndpoint = {
  permanent: true,
  advice: 'Check the AWS_ENDPOINT_URL settings: the endpoint is not the API that was called',
} satisfies Cause;

const missingSubscription = {
  permanent: true,
  advice: 'Complete the sign-up of the AWS account in use, and subscribe it to Amazon ECR',
} satisfies Cause;

const suspendedAccount = {
  permanent: true,
  advice: 'The AWS account in use is suspended: check its billing, or contact AWS Support',
} satisfies Cause;

const kmsFailure = {
  permanent: true,
  advice: 'Enable the AWS KMS key that ECR uses, and allow the identity in use to use it in the key policy',
} satisfies Cause;

/**
 * The causes by code: an error code of AWS (the `name` of the SDK's error) or a code of this program. The SDK's own
 * retry table does not help, because it classifies AccessDeniedException as clock skew.
 * Sources: the SDK's `models/errors.js` of ECR and STS; "Common Errors" of the ECR and STS API references. STS returns
 * short codes for errors that the SDK does not model, so some causes are listed under two codes.
 */
export const causes: ReadonlyMap<string, Cause> = new Map<string, Cause>([
  [
    'AccessDeniedException',
    { permanent: true, advice: 'Allow ecr:GetAuthorizationToken on resource "*" for the identity in use' },
  ],
  [
    'AccessDenied',
    {
      permanent: true,
      advice:
        "STS denied the role: its trust policy must allow sts:AssumeRole (or sts:AssumeRoleWithWebIdentity) for the identity in use, with the same external ID if it requires one; the identity's own policy must allow it too",
    },
  ],
  ['UnrecognizedClientException', invalidKeys],
  ['InvalidClientTokenId', invalidKeys],
  ['InvalidSignatureException', invalidSignature],
  ['SignatureDoesNotMatch', invalidSignature],
  ['IncompleteSignature', invalidSignature],
  ['IncompleteSignatureException', invalidSignature],
  ['MissingAuthenticationToken', invalidSignature],
  ['MissingAuthenticationTokenException', invalidSignature],
  ['ExpiredToken', expiredCredentials],
  ['ExpiredTokenException', expiredCredentials],
  ['InvalidIdentityToken', invalidIdentityToken],
  ['InvalidIdentityTokenException', invalidIdentityToken],
  ['IDPRejectedClaim', invalidIdentityToken],
  ['IDPRejectedClaimException', invalidIdentityToken],
  ['MalformedPolicyDocument', invalidSessionPolicy],
  ['MalformedPolicyDocumentException', invalidSessionPolicy],
  ['PackedPolicyTooLarge', packedPolicyTooLarge],
  ['PackedPolicyTooLargeException', packedPolicyTooLarge],
  ['InvalidParameterException', invalidParameter],
  ['ValidationError', invalidParameter],
  ['ValidationException', invalidParameter],
  [
    'RegionDisabledException',
    {
      permanent: true,
      advice: 'Activate STS for this region in the IAM console, or set AWS_REGION to another region',
    },
  ],
  ['OptInRequired', { permanent: true, advice: 'Enable the region, or ECR, for the AWS account in use' }],
  ['SubscriptionRequired', missingSubscription],
  ['SubscriptionRequiredException', missingSubscription],
  ['AccountSuspended', suspendedAccount],
  ['AccountSuspendedException', suspendedAccount],
  ['AuthFailure', invalidKeys],
  ['KmsException', kmsFailure],
  ['KMSException', kmsFailure],
  ['UnknownOperationException', wrongEndpoint],
  ['InvalidAction', wrongEndpoint],
  [
    'no-credentials',
    {
      permanent: true,
      isCredentialError: true,
      summary: 'no AWS credentials',
      advice:
        'Provide AWS credentials: access keys, a web identity (AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE), a profile, or the role of the node; every configured file must be readable',
    },
  ],
  [
    'credentials-timeout',
    {
      permanent: false,
      isCredentialError: true,
      summary: 'timed out getting AWS credentials',
      advice: 'Check network connectivity to STS or to the credential provider in use',
    },
  ],
  [
    'invalid-credentials',
    {
      permanent: true,
      isCredentialError: true,
      summary: 'invalid AWS credentials',
      advice:
        'An access key or token in the credentials file, or from the credential provider, contains a line break or another character that HTTP headers cannot contain; remove it',
    },
  ],
  [
    'invalid-endpoint-url',
    {
      permanent: true,
      summary: 'endpoint is not a URL',
      advice: 'endpoint_url in the AWS configuration file must begin with https:// or http://',
    },
  ],
  [
    'invalid-endpoint',
    {
      permanent: true,
      summary: 'no endpoint for this region',
      advice:
        'This partition has no FIPS or dual-stack endpoints, or they were requested together with a custom endpoint',
    },
  ],
  [
    'tls',
    {
      permanent: true,
      summary: 'TLS error',
      advice:
        'The certificate of the endpoint or proxy is not trusted: set AWS_CA_BUNDLE or NODE_EXTRA_CA_CERTS to a file with its CA',
    },
  ],
  ['clock-skew', { permanent: false, summary: 'clock skew', advice: 'Synchronize the system clock' }],
  [
    'throttled',
    {
      permanent: false,
      summary: 'throttled',
      advice: 'Too many calls in this AWS account; the call is retried',
    },
  ],
  ['server-error', { permanent: false, summary: 'AWS server error', advice: 'The call is retried' }],
  [
    'identity-provider',
    {
      permanent: false,
      summary: 'identity provider unreachable',
      advice: 'STS could not read the keys of the OIDC issuer: check that it is reachable from AWS',
    },
  ],
  [
    'timeout',
    {
      permanent: false,
      summary: 'timed out',
      advice: 'Check network connectivity to AWS: routes, proxies, VPC endpoints',
    },
  ],
  [
    'network',
    { permanent: false, summary: 'network error', advice: 'Check DNS and network connectivity to AWS' },
  ],
  [
    'proxy',
    { permanent: false, summary: 'proxy error', advice: 'Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY' },
  ],
  [
    'proxy-authentication',
    {
      permanent: true,
      summary: 'proxy login failed',
      advice: 'Check the user name and password in HTTPS_PROXY or HTTP_PROXY',
    },
  ],
  [
    'invalid-response',
    {
      permanent: false,
      summary: 'invalid response',
      advice: 'Check which server responds at the ECR endpoint, and the system clock',
    },
  ],
  [
    'too-many-regions',
    {
      permanent: false,
      summary: 'too many new regions',
      advice:
        'The namespace uses many regions without a token; tokens for new regions are fetched at a limited rate',
    },
  ],
  [
    'too-many-identities',
    {
      permanent: false,
      summary: 'too many new identities',
      advice:
        'The namespace uses many accounts or roles without a token; their tokens are fetched at a limited rate',
    },
  ],
  [
    'session-policy-too-long',
    {
      permanent: true,
      summary: 'session policy too long',
      advice: 'Shorten the session policy of the registry rule: STS accepts at most 2,048 characters',
    },
  ],
  [
    'service-account-token',
    {
      permanent: false,
      summary: 'no ServiceAccount token',
      advice: 'Check that the program may create serviceaccounts/token, and the health of the API server',
    },
  ],
  [
    'web-identity-denied',
    {
      permanent: true,
      summary: 'role denied to ServiceAccount',
      advice: "Check the role's trust policy",
    },
  ],
  [
    'caller-identity-denied',
    {
      permanent: true,
      summary: 'call of AWS STS denied',
      advice:
        'GetCallerIdentity needs no permission, so the policy of a VPC endpoint of STS denies it: allow sts:GetCallerIdentity there',
    },
  ],
  [
    'denied-by-rule',
    {
      permanent: true,
      summary: 'denied by a registry rule',
      advice: 'If the namespace should have it, add a rule with access: allow before that one',
    },
  ],
  [
    'namespace-unknown',
    {
      permanent: false,
      summary: 'namespace labels not known yet',
      advice: 'Check that the program may list and watch namespaces',
    },
  ],
  [
    'service-account-unknown',
    {
      permanent: false,
      summary: 'ServiceAccount not known yet',
      advice: 'Check that the program may list and watch this ServiceAccount',
    },
  ],
  [
    'service-account-missing',
    {
      permanent: true,
      summary: 'ServiceAccount missing',
      advice: 'Create the ServiceAccount with the annotation of its role',
    },
  ],
  [
    'role-missing',
    {
      permanent: true,
      summary: 'ServiceAccount without a role',
      advice: 'Annotate the ServiceAccount with the ARN of its role, or set roleArn in the rule',
    },
  ],
  [
    'role-invalid',
    {
      permanent: true,
      summary: 'invalid role annotation',
      advice: 'Set it to an ARN such as arn:aws:iam::123456789012:role/NAME',
    },
  ],
  [
    'role-not-allowed',
    {
      permanent: true,
      summary: 'role not in allowedRoles',
      advice: 'Annotate the ServiceAccount with an allowed role, or add this one to allowedRoles',
    },
  ],
  ['unknown', { permanent: false, summary: 'unknown error', advice: 'The call is retried' }],
]);

/** What the operator can do about an AccessDeniedException of ECR Public. */
export const publicAccessAdvice =
  'Allow ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken on resource "*" for the identity in use, or set publicRegistry to false, so that images of ECR Public are pulled without a token';

/** Codes of failures that a wrong `endpoint` of a host in the configuration can cause. */
export const endpointErrorCodes: ReadonlySet<string> = new Set([
  'network',
  'timeout',
  'tls',
  'invalid-response',
  'UnknownOperationException',
  'http-404',
  'http-405',
]);

/** Error codes of AWS and Node → the code of this program that they are reported as. */
export const codeAliases: ReadonlyMap<string, string> = new Map(
  Object.entries({
    throttled: [
      'BandwidthLimitExceeded',
      'LimitExceededException',
      'RequestLimitExceeded',
      'RequestThrottled',
      'RequestThrottledException',
      'SlowDown',
      'ThrottledException',
      'Throttling',
      'ThrottlingException',
      'TooManyRequestsException',
    ],
    'server-error': [
      'InternalError',
      'InternalFailure',
      'InternalServerError',
      'InternalServerException',
      'ServerException',
      'ServiceUnavailable',
      'ServiceUnavailableException',
    ],
    'clock-skew': ['RequestExpired', 'RequestInTheFuture', 'RequestTimeTooSkewed'],
    'identity-provider': ['IDPCommunicationError', 'IDPCommunicationErrorException'],
    network: [
      'EADDRNOTAVAIL',
      'EAI_AGAIN',
      'ECONNABORTED',
      'ECONNREFUSED',
      'ECONNRESET',
      'EHOSTUNREACH',
      'ENETDOWN',
      'ENETUNREACH',
      'ENOTFOUND',
      'EPIPE',
      'ERR_STREAM_PREMATURE_CLOSE',
    ],
    timeout: ['AbortError', 'ETIMEDOUT', 'RequestTimeout', 'RequestTimeoutException', 'TimeoutError'],
    proxy: ['ERR_PROXY_INVALID_CONFIG', 'ERR_PROXY_TUNNEL'],
    tls: [
      'CERT_HAS_EXPIRED',
      'CERT_NOT_YET_VALID',
      'CERT_UNTRUSTED',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'EPROTO',
      'ERR_SSL_WRONG_VERSION_NUMBER',
      'ERR_TLS_CERT_ALTNAME_INVALID',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'UNABLE_TO_GET_ISSUER_CERT',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    ],
    'no-credentials': [
      'CredentialsProviderError',
      'EACCES',
      'EISDIR',
      'ENOENT',
      'ProviderError',
      'TokenProviderError',
    ],
    'credentials-timeout': ['CredentialsTimeoutError'],
    'invalid-credentials': ['ERR_INVALID_CHAR'],
    'invalid-endpoint': ['EndpointError'],
    'invalid-endpoint-url': ['ERR_INVALID_URL'],
    'invalid-response': ['INCOMPLETE_RESPONSE', 'RESPONSE_TOO_LARGE', 'HPE_INVALID_CONSTANT', 'SyntaxError'],
  }).flatMap(([code, aliases]) => aliases.map((alias): [string, string] => [alias, code])),
);
