// Explains why a document of YAML that was parsed has no value.
import { type Alias, type Document, visit } from 'yaml';

/** What to do about an alias without an anchor, as the rest of a sentence. */
export const aliasAdvice = 'put texts that begin with * in quotes';

/** Returns an alias (`*NAME`) whose anchor (`&NAME`) is not before it in the document; undefined: there is none. */
export function findUndefinedAlias(document: Document): string | undefined {
  const anchors = new Set<string | undefined>();
  let undefinedAlias: string | undefined;
  visit(document, {
    Alias: (_, { source }: Alias) => {
      if (anchors.has(source)) {
        return undefined;
      }
      undefinedAlias = source;
      return visit.BREAK;
    },
    Value: (_, { anchor }) => {
      anchors.add(anchor);
    },
  });
  return undefinedAlias;
}
