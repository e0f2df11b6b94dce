import * as v from 'valibot';
import { parseEcrHost } from '../ecr/registry.ts';
import {
  accountPattern,
  dnsName,
  duration,
  durationBetween,
  globPattern,
  ipAddress,
  nonEmptyText,
  objectName,
  port,
  wholeNumber,
} from './value-types.ts';

/** Who asks ECR for the tokens of some registries: the first rule that matches a registry counts. */
const registryRule = v.object({
  /** Accounts that own the registries; none: every account. */
  accounts: v.optional(v.array(accountPattern, 'a list of accounts')),
  /** Regions of the registries; none: every region. */
  regions: v.optional(v.array(globPattern, 'a list of regions')),
  /** The role to assume. */
  roleArn: v.pipe(
    v.string('the ARN of an IAM role'),
    v.regex(/^arn:aws[a-z-]*:iam::\d{12}:role\/.+$/, 'the ARN of an IAM role'),
  ),
  /** The `sts:ExternalId` that the role's trust policy asks for. */
  externalId: v.optional(v.pipe(nonEmptyText, v.minLength(2, 'at least 2 characters'))),
  /** Shows in CloudTrail. */
  sessionName: v.optional(
    v.pipe(nonEmptyText, v.regex(/^[\w+=,.@-]{2,64}$/, '2 to 64 letters, digits or any of +=,.@-_')),
    'ecr-pull-secrets',
  ),
  /** An IAM policy as JSON text that narrows the role further. */
  sessionPolicy: v.optional(
    v.pipe(
      nonEmptyText,
      v.maxLength(2048, 'at most 2,048 characters, which is what STS takes'),
      v.check(isJson, 'an IAM policy as JSON text'),
    ),
  ),
});

const ecrHost = v.pipe(
  v.string('an ECR host such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com'),
  v.check(
    (host) => parseEcrHost(host) !== undefined,
    'an ECR host such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com',
  ),
);

/** Only what no selector can hold is refused here; the rest is for the API server to judge. */
const labelSelector = v.pipe(
  v.string('a selector of labels such as team=shop,env!=test'),
  v.regex(/^[\w./=!,() -]*$/, 'a selector of labels such as team=shop,env!=test'),
);

/** How long a certificate lives: longer than any clock is wrong, and no longer than X.509 can say with ease. */
const certificateLifetime = v.pipe(
  duration,
  v.minValue(600_000, 'a duration from 10m to 87600h'),
  v.maxValue(87_600 * 3_600_000, 'a duration from 10m to 87600h'),
);

/**
 * The API server waits up to 30 s for a webhook that fails open, then writes: a client that gives up by then never gets
 * anything written. It ends every request after 60 s by default (`--request-timeout`).
 */
const writeTimeout = durationBetween('31s', '2m');

const objectMessage = 'settings by name';

/** Everything an operator may set. What is AWS's own (keys, region, endpoints) stays in AWS's environment variables. */
export const configSchema = v.object({
  /** The name of the Secret in every namespace. RBAC is granted for this one name. */
  secretName: v.optional(objectName, 'ecr-pull-secrets'),
  /** What happens to a pod whose token is not there by the deadline. */
  onFailure: v.optional(v.picklist(['admit', 'deny'], 'admit or deny'), 'admit'),
  /** What is skipped. */
  exclude: v.optional(
    v.object(
      {
        /** Namespaces that neither admission nor provisioning handles. */
        namespaces: v.optional(v.array(globPattern, 'a list of namespaces'), () => []),
        /** Namespaces that admission does not handle, and provisioning only if it names them without `*`. */
        admissionNamespaces: v.optional(v.array(globPattern, 'a list of namespaces'), () => ['kube-system']),
        accounts: v.optional(v.array(accountPattern, 'a list of accounts'), () => []),
      },
      objectMessage,
    ),
    {},
  ),
  registries: v.optional(v.array(registryRule, 'a list of rules'), () => []),
  tokens: v.optional(
    v.object(
      {
        /** A token is fresh while this share of its life is left. */
        freshFraction: v.optional(
          v.pipe(
            v.number('a number from 0.1 to 0.9'),
            v.minValue(0.1, 'a number from 0.1 to 0.9'),
            v.maxValue(0.9, 'a number from 0.1 to 0.9'),
          ),
          0.5,
        ),
        /** A token with less left than this is never fresh. 0: only `freshFraction` decides. ECR's tokens last 12h. */
        minimumLife: v.optional(durationBetween('0s', '12h'), '1h'),
        /** One call to ECR or STS. With its retries a call takes twice as long at most, which is how long `sync` waits. */
        requestTimeout: v.optional(durationBetween('1s', '1m'), '10s'),
        connectTimeout: v.optional(durationBetween('100ms', '1m'), '3s'),
        /** How many (identity, region) pairs are kept in memory. */
        maxRegions: v.optional(wholeNumber(1, 1000), 64),
      },
      objectMessage,
    ),
    {},
  ),
  secrets: v.optional(
    v.object(
      {
        /** ECR hosts in one namespace's Secret; a Secret's 1 MiB ends near 280. */
        maxHosts: v.optional(wholeNumber(1, 250), 200),
        /** How long a host may wait for its first token before it leaves the Secret, unless a pod names it. */
        forgetAfter: v.optional(durationBetween('1m', '8760h'), '24h'),
      },
      objectMessage,
    ),
    {},
  ),
  renewal: v.optional(
    v.object(
      {
        /** Renewals of pull Secrets that one replica begins in a second, and that are under way at a time. */
        writesPerSecond: v.optional(wholeNumber(1, 1000), 10),
        concurrency: v.optional(wholeNumber(1, 64), 8),
        /** Whether to make Events in namespaces whose tokens cannot be renewed. */
        events: v.optional(v.boolean('true or false'), true),
      },
      objectMessage,
    ),
    {},
  ),
  /** Secrets ahead of any pod, and ServiceAccounts that refer to them. */
  provisioning: v.optional(
    v.object(
      {
        /** What each namespace's Secret is to hold; none: the mode is off. */
        registries: v.optional(v.array(ecrHost, 'a list of ECR hosts'), () => []),
        /** Which namespaces; what is not given restricts nothing. */
        namespaces: v.optional(
          v.object(
            {
              names: v.optional(v.array(globPattern, 'a list of namespaces'), () => []),
              selector: v.optional(labelSelector, ''),
            },
            objectMessage,
          ),
          {},
        ),
        /** ServiceAccounts that are to refer to the Secret. */
        serviceAccounts: v.optional(v.array(globPattern, 'a list of ServiceAccounts'), () => ['default']),
      },
      objectMessage,
    ),
    {},
  ),
  webhook: v.optional(
    v.object(
      {
        /** Where to listen; none: on all addresses, of IPv6 and IPv4, whichever the machine has. */
        address: v.optional(nonEmptyText),
        port: v.optional(port, 8443),
        /** For `certificates.source: files` only, as `keyFile` is. */
        certFile: v.optional(nonEmptyText, '/etc/ecr-pull-secrets/tls/tls.crt'),
        keyFile: v.optional(nonEmptyText, '/etc/ecr-pull-secrets/tls/tls.key'),
        /** Connections that are open at once; the idlest makes room for a new one. Each takes about 50 KiB. */
        maxConnections: v.optional(wholeNumber(16, 10_000), 600),
        /** Requires callers to present a client certificate; none: every caller is served. */
        clientAuth: v.optional(
          v.object(
            {
              /** The CA that the certificate must chain to, as PEM. Picked up when it changes. */
              caFile: nonEmptyText,
              /** Of the certificate, the subject's CN or a DNS name of the SAN; none: any. */
              allowedNames: v.optional(v.array(globPattern, 'a list of names'), () => []),
            },
            objectMessage,
          ),
        ),
        /**
         * Answers go out this long before the API server stops waiting. 0: as late as that, so an answer may be late. Half
         * of the API server's longest timeout (30s) is the most that has an effect.
         */
        deadlineMargin: v.optional(durationBetween('0s', '15s'), '500ms'),
        /** After SIGTERM, how long to go on taking calls while the Service's endpoints change. 0: stop at once. */
        shutdownDelay: v.optional(durationBetween('0s', '10m'), '5s'),
        /** How long calls in flight may take to end after that. */
        drainTimeout: v.optional(durationBetween('1s', '10m'), '20s'),
      },
      objectMessage,
    ),
    {},
  ),
  /** Where the webhook's certificate comes from. */
  certificates: v.optional(
    v.object(
      {
        /** files: `webhook.certFile` and `.keyFile`. managed: the program makes and renews it; the rest is for this one. */
        source: v.optional(v.picklist(['files', 'managed'], 'files or managed'), 'files'),
        /** The Secret that all replicas share. */
        secretName: v.optional(objectName, 'ecr-pull-secrets-tls'),
        /** Where that Secret and the Service are; none: the pod's own, or the one of the kubeconfig's context. */
        namespace: v.optional(objectName),
        /** The Service by which the API server calls: the certificate is for `SERVICE.NAMESPACE.svc`. */
        service: v.optional(objectName, 'ecr-pull-secrets'),
        /** More names for the certificate. */
        dnsNames: v.optional(v.array(dnsName, 'a list of DNS names'), () => []),
        ipAddresses: v.optional(v.array(ipAddress, 'a list of IP addresses'), () => []),
        /** The MutatingWebhookConfiguration whose `caBundle` is kept. */
        webhookConfiguration: v.optional(objectName, 'zz-ecr-pull-secrets'),
        /** Of the CA and of the certificate. Both are replaced at two thirds of it. */
        authorityLife: v.optional(certificateLifetime, '8760h'),
        leafLife: v.optional(certificateLifetime, '168h'),
      },
      objectMessage,
    ),
    {},
  ),
  status: v.optional(
    v.object(
      {
        address: v.optional(nonEmptyText),
        port: v.optional(port, 8080),
      },
      objectMessage,
    ),
    {},
  ),
  kubernetes: v.optional(
    v.object(
      {
        /** Where the API server is; none: the pod's own ServiceAccount, or the usual kubeconfig. */
        kubeconfig: v.optional(nonEmptyText),
        /** One read. */
        requestTimeout: v.optional(durationBetween('1s', '2m'), '10s'),
        /** One write. Longer than the API server waits for the slowest webhook, which is 30s. */
        writeTimeout: v.optional(writeTimeout, '40s'),
      },
      objectMessage,
    ),
    {},
  ),
  log: v.optional(
    v.object(
      {
        level: v.optional(
          v.picklist(['error', 'warn', 'info', 'debug', 'trace'], 'error, warn, info, debug or trace'),
          'info',
        ),
      },
      objectMessage,
    ),
    {},
  ),
});

/** The whole configuration with every default filled in; durations in milliseconds. */
export type Config = v.InferOutput<typeof configSchema>;

function isJson(candidate: string): boolean {
  try {
    JSON.parse(candidate);
    return true;
  } catch {
    return false;
  }
}
