/** What is known of one kind of failure. */
export interface Cause {
  /** Waiting does not help, a person has to change something. */
  readonly permanent: boolean;
  /** What happened, in few words; where it is not given, the code says it. */
  readonly summary?: string;
  /** What the operator can do. */
  readonly advice: string;
  /** The credentials themselves may be at fault: read them anew before the next call. */
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
  advice: 'Check the secret key and the clock of this machine',
} satisfies Cause;

const expiredCredentials = {
  permanent: true,
  isCredentialError: true,
  advice: 'The credentials or the web identity token in use have ended: have them renewed',
} satisfies Cause;

const invalidIdentityToken = {
  permanent: true,
  isCredentialError: true,
  advice:
    "Check the web identity token's issuer and audience, that its file holds nothing but the token (no line break), and the role's trust policy",
} satisfies Cause;

const invalidSessionPolicy = {
  permanent: true,
  advice:
    'Check the session policy of the registry rule: valid JSON of an IAM policy, 2,048 characters at most',
} satisfies Cause;

const invalidParameter = {
  permanent: true,
  advice: 'Check the role, external ID and session name',
} satisfies Cause;

const wrongEndpoint = {
  permanent: true,
  advice: 'Check the AWS_ENDPOINT_URL settings: what answers there is not the API that was called',
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
 * The only place that says which failures heal by themselves, by the codes of AWS (`name` of the SDK's errors) and by
 * our own. The SDK's retry table is of no use here: it takes AccessDeniedException for a wrong clock.
 * Sources: the SDK's `models/errors.js` of ECR and STS; "Common Errors" of the ECR and STS API references. STS gives
 * short codes where the SDK knows no shape for them, so both spellings stand here.
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
        "STS refused the role: its trust policy must allow sts:AssumeRole (or sts:AssumeRoleWithWebIdentity) to the identity in use, with the same external ID if it asks for one, and the identity's own policy must allow it too",
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
  ['PackedPolicyTooLarge', invalidSessionPolicy],
  ['PackedPolicyTooLargeException', invalidSessionPolicy],
  ['InvalidParameterException', invalidParameter],
  ['ValidationError', invalidParameter],
  ['ValidationException', invalidParameter],
  [
    'RegionDisabledException',
    {
      permanent: true,
      advice: 'Activate STS for this region in the IAM console, or set AWS_REGION to another',
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
        'Give this process AWS credentials: access keys, a web identity (AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE), a profile, or those of the node; a file that was named must be readable',
    },
  ],
  [
    'credentials-timeout',
    {
      permanent: false,
      isCredentialError: true,
      summary: 'finding AWS credentials timed out',
      advice: 'Check the way to STS or to whatever gives this process its AWS credentials',
    },
  ],
  [
    'bad-credentials',
    {
      permanent: true,
      isCredentialError: true,
      summary: 'unusable AWS credentials',
      advice:
        'An access key or token in the credentials file, or from the credential provider, contains a line break or another character that HTTP headers cannot contain: store it without',
    },
  ],
  [
    'bad-endpoint-url',
    {
      permanent: true,
      summary: 'endpoint is not a URL',
      advice: 'endpoint_url in the AWS configuration file must begin with https:// or http://',
    },
  ],
  [
    'bad-endpoint',
    {
      permanent: true,
      summary: 'no endpoint for this region',
      advice: 'FIPS or dual-stack does not exist in this partition, or was asked for with a custom endpoint',
    },
  ],
  [
    'tls',
    {
      permanent: true,
      summary: 'TLS error',
      advice:
        'The certificate of the endpoint or proxy is not trusted: name a file with its CA in AWS_CA_BUNDLE or NODE_EXTRA_CA_CERTS',
    },
  ],
  ['clock', { permanent: false, summary: 'clock skew', advice: 'Set the clock of this machine' }],
  [
    'throttled',
    { permanent: false, summary: 'throttled', advice: 'Other callers in this account may be too many' },
  ],
  ['server-error', { permanent: false, summary: 'AWS server error', advice: 'It is tried again' }],
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
      advice: 'Check the way to AWS: routes, proxies, VPC endpoints',
    },
  ],
  ['network', { permanent: false, summary: 'network error', advice: 'Check DNS and the way to AWS' }],
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
    'bad-answer',
    {
      permanent: false,
      summary: 'unusable answer',
      advice: 'Check what answers at the ECR endpoint, and the clock of this machine',
    },
  ],
  [
    'too-many-regions',
    {
      permanent: false,
      summary: 'too many new regions',
      advice:
        'The namespace names many regions without a token yet; tokens are fetched a few regions at a time',
    },
  ],
  ['unknown', { permanent: false, summary: 'unknown error', advice: 'It is tried again' }],
]);

/** Codes that stand for one of ours. */
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
    clock: ['RequestExpired', 'RequestInTheFuture', 'RequestTimeTooSkewed'],
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
    'bad-credentials': ['ERR_INVALID_CHAR'],
    'bad-endpoint': ['EndpointError'],
    'bad-endpoint-url': ['ERR_INVALID_URL'],
    'bad-answer': ['ANSWER_TOO_LARGE', 'HPE_INVALID_CONSTANT', 'SyntaxError'],
  }).flatMap(([own, others]) => others.map((other): [string, string] => [other, own])),
);
