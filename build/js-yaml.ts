// Parses YAML in the bundle in place of js-yaml, which client-node uses for the kubeconfig only.
import { parse } from 'yaml';

/**
 * Parses one document as js-yaml 5 does, by the rules of YAML 1.2: `<<` merges nothing, and `yes` is a text.
 * @throws for text that is not YAML; the message may quote the text
 */
export function load(text: string): unknown {
  return parse(text, { logLevel: 'error' });
}
