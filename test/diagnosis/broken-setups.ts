// The table of broken setups: what is broken, and the first line with which doctor says so.
import { brokenAwsSetups } from './broken-aws.ts';
import { brokenPermissionSetups } from './broken-permissions.ts';
import { brokenPodSetups } from './broken-pods.ts';
import { brokenSecretSetups } from './broken-secrets.ts';
import type { BrokenSetup } from './broken-setup.ts';
import { brokenWebhookSetups } from './broken-webhook.ts';

/** In the order in which they are tested and documented. */
export const brokenSetups: readonly BrokenSetup[] = [
  ...brokenAwsSetups,
  ...brokenWebhookSetups,
  ...brokenPodSetups,
  ...brokenSecretSetups,
  ...brokenPermissionSetups,
];
