// The schema of the configuration: every setting with its default and its bounds.

import * as v from 'valibot';
import { findHostNameProblem } from '../ecr/host-name.ts';
import { registryRule } from './registry-rule-schema.ts';
import { secretAnnotations, secretLabels } from './secret-metadata-schema.ts';
import {
  accountId,
  accountPattern,
  dnsName,
  duration,
  durationBetween,
  endpointUrl,
  globPattern,
  ipAddress,
  labelSelector,
  namePattern,
  nonEmptyText,
  objectName,
  port,
  region,
  registryHost,
  wholeNumber,
} from './value-types.ts';

const objectMessage = 'a mapping';

const ecrHostMessage =
  'an ECR host such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com, or a key of hosts';

/** Checks the form only. Which hosts are registries depends on other settings: see `findHostContradictions`. */
const ecrHost = v.pipe(
  v.string(ecrHostMessage),
  v.check((host) => findHostNameProblem(host) === undefined, ecrHostMessage),
);

/** The registry that a host name stands for. */
const hostMapping = v.object(
  {
    /** The account that owns the registry. */
    account: accountId,
    /** The region of the registry. */
    region,
    /** URL of the ECR API that issues the tokens; default: the one of the region. */
    endpoint: v.optional(endpointUrl),
  },
  'a mapping with account and region',
);

/** Lifetime of a certificate: longer than any plausible clock skew, and at most ten years. */
const certificateLifetime = v.pipe(
  duration,
  v.minValue(600_000, 'a duration from 10m to 87600h'),
  v.maxValue(87_600 * 3_600_000, 'a duration from 10m to 87600h'),
);

/**
 * Before it writes, the API server waits up to 30 s for a webhook that fails open, so with a shorter timeout a slow webhook would
 * prevent every write. By default it ends every request after 60 s (`--request-timeout`).
 */
const writeTimeout = durationBetween('31s', '2m');

const settings = {
  /** Name of the Secret in every namespace. RBAC is granted for this name only. */
  secretName: v.optional(objectName, 'ecr-pull-secrets'),
  /** What to do with a pod if a token is not available by the deadline. */
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
  /** Which AWS identity fetches the tokens of which namespaces and registries. The first rule that matches applies. */
  registries: v.optional(v.array(registryRule, 'a list of rules'), () => []),
  /** Registries that are reached under a host name of the operator, by `HOST` or `HOST:PORT` as images name it. */
  hosts: v.optional(v.record(registryHost, hostMapping, 'a mapping of host names'), {}),
  /** Whether to fetch tokens for the public registry (public.ecr.aws), which also allows pulls without one. */
  publicRegistry: v.optional(v.boolean('true or false'), false),
  tokens: v.optional(
    v.object(
      {
        /** A token is fresh while at least this fraction of its lifetime remains. */
        freshFraction: v.optional(
          v.pipe(
            v.number('a number from 0.1 to 0.9'),
            v.minValue(0.1, 'a number from 0.1 to 0.9'),
            v.maxValue(0.9, 'a number from 0.1 to 0.9'),
          ),
          0.5,
        ),
        /** Minimum remaining lifetime of a fresh token. With 0, only `freshFraction` decides. ECR tokens are valid for 12h. */
        minimumLife: v.optional(durationBetween('0s', '12h'), '1h'),
        /** Timeout of one call to ECR or STS. With retries, a call takes at most twice as long; `sync` waits that long. */
        requestTimeout: v.optional(durationBetween('1s', '1m'), '10s'),
        connectTimeout: v.optional(durationBetween('100ms', '1m'), '3s'),
        /**
         * Maximum number of (identity, region) pairs in memory. Identities that depend on the namespace or the account have a
         * bound of their own.
         */
        maxRegions: v.optional(wholeNumber(1, 1000), 64),
      },
      objectMessage,
    ),
    {},
  ),
  secrets: v.optional(
    v.object(
      {
        /** Maximum number of ECR hosts in one namespace's Secret. About 280 fit into the 1 MiB of a Secret. */
        maxHosts: v.optional(wholeNumber(1, 250), 200),
        /** How long a host without a token stays in the Secret, unless a pod names it. */
        forgetAfter: v.optional(durationBetween('1m', '8760h'), '24h'),
        /** Labels of every pull Secret, in addition to the program's own. */
        labels: v.optional(secretLabels, {}),
        annotations: v.optional(secretAnnotations, {}),
      },
      objectMessage,
    ),
    {},
  ),
  renewal: v.optional(
    v.object(
      {
        /** Maximum number of pull Secrets that one replica renews per second. */
        writesPerSecond: v.optional(wholeNumber(1, 1000), 10),
        /** Maximum number of concurrent renewals of one replica. */
        concurrency: v.optional(wholeNumber(1, 64), 8),
        /** Whether to emit Events in namespaces whose tokens cannot be renewed. */
        events: v.optional(v.boolean('true or false'), true),
      },
      objectMessage,
    ),
    {},
  ),
  /** Creates Secrets, and references from ServiceAccounts to them, ahead of any pod. */
  provisioning: v.optional(
    v.object(
      {
        /** Registries of the Secrets. Provisioning is disabled if empty. */
        registries: v.optional(v.array(ecrHost, 'a list of ECR hosts'), () => []),
        /** Namespaces to provision; default: all. */
        namespaces: v.optional(
          v.object(
            {
              names: v.optional(v.array(namePattern, 'a list of namespaces'), () => []),
              selector: v.optional(labelSelector, ''),
            },
            objectMessage,
          ),
          {},
        ),
        /** ServiceAccounts that get a reference to the Secret. */
        serviceAccounts: v.optional(v.array(namePattern, 'a list of ServiceAccounts'), () => ['default']),
      },
      objectMessage,
    ),
    {},
  ),
  /** Finds pending pods that admission missed. */
  catchUp: v.optional(
    v.object(
      {
        enabled: v.optional(v.boolean('true or false'), true),
        /** Interval between two checks of all pending pods. */
        interval: v.optional(durationBetween('30s', '24h'), '5m'),
        /** Age below which a pod without a reference is not reported, because it may start with other credentials. */
        minimumAge: v.optional(durationBetween('0s', '1h'), '30s'),
        /** Whether pods without a reference that never ran are deleted, so that their controllers create them again. */
        evict: v.optional(v.boolean('true or false'), false),
        /** Namespaces whose pods are checked; default: all. */
        namespaces: v.optional(v.object({ selector: v.optional(labelSelector, '') }, objectMessage), {}),
      },
      objectMessage,
    ),
    {},
  ),
  webhook: v.optional(
    v.object(
      {
        /** Address to listen on; default: all IPv6 and IPv4 addresses. */
        address: v.optional(nonEmptyText),
        port: v.optional(port, 8443),
        /** Used with `certificates.source: files` only, like `keyFile`. */
        certFile: v.optional(nonEmptyText, '/etc/ecr-pull-secrets/tls/tls.crt'),
        keyFile: v.optional(nonEmptyText, '/etc/ecr-pull-secrets/tls/tls.key'),
        /** Connections that are open at once; the idlest makes room for a new one. Each takes about 50 KiB. */
        maxConnections: v.optional(wholeNumber(16, 10_000), 600),
        /** Requires callers to present a client certificate; default: every caller is accepted. */
        clientAuth: v.optional(
          v.object(
            {
              /** The CA that client certificates must chain to, in PEM. Reloaded when the file changes. */
              caFile: nonEmptyText,
              /** Accepted names: the subject's CN or a DNS name of the SAN; default: all. */
              allowedNames: v.optional(v.array(globPattern, 'a list of names'), () => []),
            },
            objectMessage,
          ),
        ),
        /**
         * How long before the API server's timeout a response is sent. With 0, responses may be late. At most half of the API
         * server's longest timeout (30s) has an effect.
         */
        deadlineMargin: v.optional(durationBetween('0s', '15s'), '500ms'),
        /** How long to accept requests after SIGTERM while the Service's endpoints change. With 0, stops immediately. */
        shutdownDelay: v.optional(durationBetween('0s', '10m'), '5s'),
        /** How long requests in flight may take after that. */
        drainTimeout: v.optional(durationBetween('1s', '10m'), '20s'),
      },
      objectMessage,
    ),
    {},
  ),
  /** The source of the webhook's serving certificate. */
  certificates: v.optional(
    v.object(
      {
        /** `files`: webhook.certFile and .keyFile. `managed`: issued and renewed by the program, with the settings below. */
        source: v.optional(v.picklist(['files', 'managed'], 'files or managed'), 'files'),
        /** The Secret that stores the certificates for all replicas. */
        secretName: v.optional(objectName, 'ecr-pull-secrets-tls'),
        /** Namespace of that Secret and of the Service; default: that of the pod or of the kubeconfig's context. */
        namespace: v.optional(objectName),
        /** The Service that the API server calls. The certificate is issued for `SERVICE.NAMESPACE.svc`. */
        service: v.optional(objectName, 'ecr-pull-secrets'),
        /** Additional names of the certificate. */
        dnsNames: v.optional(v.array(dnsName, 'a list of DNS names'), () => []),
        ipAddresses: v.optional(v.array(ipAddress, 'a list of IP addresses'), () => []),
        /** The MutatingWebhookConfiguration whose `caBundle` is kept up to date. */
        webhookConfiguration: v.optional(objectName, 'zz-ecr-pull-secrets'),
        /** Lifetimes of the CA and of the certificate. Both are replaced after two thirds of them. */
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
        /** Path of a kubeconfig; default: the ServiceAccount of the pod, or the default kubeconfig. */
        kubeconfig: v.optional(nonEmptyText),
        /** Timeout of a read. */
        requestTimeout: v.optional(durationBetween('1s', '2m'), '10s'),
        /** Timeout of a write. Longer than the API server waits for the slowest webhook, which is 30s. */
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
};

/** All settings. AWS settings (keys, region, endpoints) are set with AWS's environment variables instead. */
export const configSchema = v.object(settings, objectMessage);

/** The whole configuration with every default filled in; durations in milliseconds. */
export type Config = v.InferOutput<typeof configSchema>;
