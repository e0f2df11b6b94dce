// Reads the pull Secret of one namespace, as a step from an image to its pull.
import { describeGapStep } from './chain.ts';
import type { CheckResult } from './check.ts';
import type { Installation } from './installation.ts';
import { type PullCredentials, readPullCredentials } from './pull-credentials.ts';
import { describeGap, type Gap } from './read-gaps.ts';
import { describeSecret } from './secret-results.ts';
import type { SecretStatus } from './secret-states.ts';
import { surveySecrets } from './secret-survey.ts';

/** What is known of the pull Secret of a namespace. */
export interface NamespaceSecret {
  readonly namespace: string;
  readonly results: readonly CheckResult[];
  /** Undefined: it does not exist, or the caller may not list it. */
  readonly status: SecretStatus | undefined;
  /** Undefined: it does not exist, or the caller may not read it. */
  readonly credentials: PullCredentials | undefined;
  /** Why the caller may not read it. */
  readonly gap: Gap | undefined;
}

export async function readNamespaceSecret(
  installation: Installation,
  namespace: string,
  signal: AbortSignal,
): Promise<NamespaceSecret> {
  const { cluster, config } = installation;
  const gaps: Gap[] = [];
  const [survey, credentials] = await Promise.all([
    surveySecrets(installation, { names: [namespace], includes: () => true }, signal).catch(
      (error: unknown) => describeGap(error, `list secrets named ${config.secretName}`),
    ),
    readPullCredentials(cluster, { namespace, name: config.secretName }, gaps, signal),
  ]);
  const known = { namespace, credentials, gap: gaps[0] };
  if ('why' in survey) {
    return { ...known, status: undefined, results: [describeGapStep('pull-secret', survey)] };
  }
  const status = survey.secrets.get(namespace);
  const found = describeSecret(`${namespace}/${config.secretName}`, status);
  const malformed = found.outcome === 'failed' ? [] : describeMalformed(credentials);
  return { ...known, status, results: [found, ...malformed] };
}

function describeMalformed(credentials: PullCredentials | undefined): CheckResult[] {
  return credentials === undefined || credentials.malformed.length === 0
    ? []
    : [
        {
          check: 'pull-secret-content',
          outcome: 'failed',
          summary: 'the content of the Secret is malformed',
          meaning: 'The kubelet may refuse the whole Secret, and with it all tokens in it',
          remedy: 'Find who edits the Secret in metadata.managedFields; the program restores the content',
          page: 'troubleshooting.md#another-controller-keeps-changing-the-secret',
          details: credentials.malformed,
        },
      ];
}
