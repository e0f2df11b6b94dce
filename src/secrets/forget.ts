// Takes hosts out of a Secret that never received a token.
import { mergeContent, withoutHosts } from './content.ts';
import { forgettableHosts } from './dropping.ts';
import type { PodsInUse } from './pods-in-use.ts';
import type { Room } from './room.ts';
import { changeSecret, type WriteParts } from './write.ts';

export interface ForgetParts extends WriteParts {
  readonly pods: PodsInUse;
  readonly keeps: Room['keeps'];
  /** How long a host may wait for its first token, in ms. */
  readonly forgetAfterMs: number;
}

/**
 * Takes the hosts out of a namespace's Secret that have waited for too long and that no pod names. A Secret of an older
 * version, which does not say since when its hosts wait, says so afterwards. A Secret that somebody else has changed is
 * left for renewal to restore first.
 * @throws ForeignSecretError or KubeError
 */
export async function forgetHosts(namespace: string, parts: ForgetParts): Promise<void> {
  const { rules, pods, keeps, forgetAfterMs } = parts;
  await changeSecret(
    namespace,
    async (present, state) => {
      if (state !== 'intact') {
        return undefined;
      }
      const { content } = mergeContent(present, new Map(), rules);
      // the pods are listed after the Secret was read: a pod that came between them is in the list, or will request
      const inUse = await pods.hostsOf(namespace);
      const isKept = keeps(namespace, inUse);
      const dropped = forgettableHosts(content, forgetAfterMs, { isKept, now: rules.now() });
      return { content: withoutHosts(content, new Set(dropped)), dropped, reason: 'forgotten' as const };
    },
    parts,
  );
}
