// Reads the pull Secret of one namespace, as a step from an image to its pull.
import { describeGapStep } from './chain.ts';
import type { CheckResult } from './check.ts';
import type { Installation } from './installation.ts';
import { type PullCredentials, readPullCredentials } from './pull-credentials.ts';
import { describeGap, type Gap } from './read-gaps.ts';
import { describeSecret } from './secret-results.ts';
import type { SecretStatus } from './secret-states.ts';
import { type SecretSurvey, surveySecrets } from './secret-survey.ts';

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

/** A namespace, and what was read about it before: its identities, or the pull Secrets. */
export type KnownNamespace = { readonly namespace: string } & (
  | Pick<SecretSurvey, 'resolveIdentity'>
  | Pick<SecretSurvey, 'secrets'>
);

export async function readNamespaceSecret(
  installation: Installation,
  known: KnownNamespace,
  signal: AbortSignal,
): Promise<NamespaceSecret> {
  const { cluster, config } = installation;
  const { namespace } = known;
  const gaps: Gap[] = [];
  const [found, credentials] = await Promise.all([
    'secrets' in known ? known : survey(installation, known, signal),
    readPullCredentials(cluster, { namespace, name: config.secretName }, gaps, signal),
  ]);
  const read = { namespace, credentials, gap: gaps[0] };
  if ('why' in found) {
    return { ...read, status: undefined, results: [describeGapStep('pull-secret', found)] };
  }
  const status = found.secrets.get(namespace);
  const result = describeSecret(`${namespace}/${config.secretName}`, status);
  const malformed = result.outcome === 'failed' ? [] : describeMalformed(credentials);
  return { ...read, status, results: [result, ...malformed] };
}

/** Rights in the namespace suffice. */
async function survey(
  installation: Installation,
  { namespace, resolveIdentity }: { readonly namespace: string } & Pick<SecretSurvey, 'resolveIdentity'>,
  signal: AbortSignal,
): Promise<SecretSurvey | Gap> {
  const scope = { names: [namespace], includes: () => true };
  return await surveySecrets(installation, scope, signal, resolveIdentity).catch((error: unknown) =>
    describeGap(error, `list secrets named ${installation.config.secretName}`),
  );
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
