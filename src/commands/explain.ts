// The command `explain`: shows offline what the webhook would do with the pods of a manifest, and why.
import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import type { Config } from '../config/schema.ts';
import { createDiagnosisRules } from '../diagnosis/diagnosis-rules.ts';
import { findManifestPods } from '../diagnosis/manifest-pods.ts';
import { explainPod, type PodExplanation } from '../diagnosis/pod-explanation.ts';
import { IdentityFactsCache } from '../ecr/identity-facts-cache.ts';
import { createIdentityResolver, findNeededFacts } from '../ecr/identity-rules.ts';
import { createRegistryResolver } from '../ecr/registry.ts';
import { serializeError } from '../telemetry/log-fields.ts';
import { type Labels, parseLabelSelector } from '../util/label-selector.ts';
import { aliasAdvice, findUndefinedAlias } from '../util/yaml-aliases.ts';
import {
  addOutputOption,
  type CommandContext,
  checkNames,
  collect,
  defineCommand,
  outputFormat,
  quoteBlank,
} from './command.ts';
import { addConfigOption, type ConfigOption, configOption, loadConfig } from './config-option.ts';
import { type ExplainedPod, type Explanation, explanationText } from './explain-text.ts';
import { type OutputFormat, printReport } from './print-report.ts';

interface ExplainOptions extends ConfigOption {
  /** `-` for standard input. */
  readonly file: string;
  /** The namespace of pods whose manifest names none. */
  readonly namespace: string;
  /** The labels of the namespaces; undefined: not known. */
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly output: OutputFormat;
}

export const explainCommand = defineCommand<ExplainOptions>({
  name: 'explain',
  summary: 'Show offline what the webhook would do with the pods of a manifest, and why',
  examples: [
    'explain -f pod.yaml --config config.yaml',
    'explain -f deployment.yaml --namespace shop --namespace-labels team=shop,env=prod',
    'explain -f - --output json < pod.yaml',
  ],
  declare: (command) =>
    addOutputOption(
      addConfigOption(
        command
          .usage('-f <file> [options]')
          .option(
            '-f, --filename <file>',
            'manifest in YAML or JSON with pods, Deployments, Jobs and the like; - for standard input',
          ),
      )
        .option('--namespace <name>', 'namespace of pods whose manifest names none', 'default')
        .option(
          '--namespace-labels <key=value>',
          'labels of the namespaces, for rules that select by them; may be repeated',
          collect,
        ),
    ),
  read: (command) => {
    const {
      filename,
      namespace = '',
      namespaceLabels,
    } = command.opts<{ filename?: string; namespace?: string; namespaceLabels?: string[] }>();
    if (filename === undefined) {
      return command.error('explain needs -f with a manifest, or -f - for standard input');
    }
    checkNames(command, '--namespace', [namespace]);
    if (namespace.includes('*')) {
      return command.error('--namespace of explain takes one name, without *');
    }
    const pairs = namespaceLabels?.flatMap((text) => text.split(','));
    const invalid = pairs?.find((pair) => !/^[^=\s]+=[^=\s]*$/.test(pair));
    if (invalid !== undefined) {
      return command.error(`--namespace-labels takes KEY=VALUE, not ${quoteBlank(invalid)}`);
    }
    const labels = pairs && Object.fromEntries(pairs.map((pair) => pair.split('=')));
    return { ...configOption(command), file: filename, namespace, labels, output: outputFormat(command) };
  },
  run: async (options, context) => {
    const config = await loadConfig(options);
    const documents = parseManifest(await readManifest(options.file, context.stdin), options.file);
    return printReport(
      explainManifest(documents, config, options),
      explanationText,
      options.output,
      context.stdout,
    );
  },
});

/** The manifest cannot be read. */
class ManifestError extends Error {
  override readonly name = 'ManifestError';
  readonly code = 'invalid-manifest';
}

/** More than the API server accepts in one object, for manifests with several. */
const maxManifestBytes = 16 * 1024 * 1024;

/** @throws {ManifestError} */
async function readManifest(file: string, stdin: CommandContext['stdin']): Promise<string> {
  const source = file === '-' ? 'standard input' : file;
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of file === '-' ? (stdin ?? []) : createReadStream(file)) {
      const bytes = Buffer.from(chunk);
      length += bytes.length;
      if (length > maxManifestBytes) {
        break;
      }
      chunks.push(bytes);
    }
  } catch (error) {
    throw new ManifestError(`${source} cannot be read (${serializeError(error)['code']})`);
  }
  if (length > maxManifestBytes) {
    throw new ManifestError(`${source} is larger than 16 MiB; pass fewer objects`);
  }
  const content = Buffer.concat(chunks);
  if (!isUtf8(content)) {
    throw new ManifestError(`${source} is not UTF-8; save it as UTF-8`);
  }
  return content.toString();
}

/** With merge keys (`<<`), as kubectl. Warnings would quote the manifest. */
const parseOptions = { merge: true, logLevel: 'error' } as const;

/**
 * Parses the documents of a manifest. Errors do not quote it, because it may contain secrets.
 * @throws {ManifestError}
 */
function parseManifest(text: string, file: string): unknown[] {
  const source = file === '-' ? 'standard input' : file;
  const documents = [...parseAllDocuments(text, parseOptions)];
  const [error] = documents.flatMap(({ errors }) => errors);
  if (error !== undefined) {
    const place = error.linePos?.[0];
    const where = place === undefined ? '' : ` in line ${place.line}`;
    throw new ManifestError(`${source} is not valid YAML${where} (${error.code})`);
  }
  try {
    return documents.map((document) => ('toJS' in document ? document.toJS() : undefined));
  } catch {
    const isUndefined = documents.some((one) => 'toJS' in one && findUndefinedAlias(one) !== undefined);
    const problem = isUndefined
      ? `a YAML alias that is not defined; ${aliasAdvice}`
      : 'too many YAML aliases';
    throw new ManifestError(`${source} has ${problem}`);
  }
}

function explainManifest(
  documents: readonly unknown[],
  config: Config,
  { namespace: defaultNamespace, labels }: Pick<ExplainOptions, 'namespace' | 'labels'>,
): Explanation {
  const { pods, others } = findManifestPods(documents);
  const facts = new IdentityFactsCache(() => 0);
  const labelsOf = (namespace: string) => labels && { ...labels, [namespaceNameLabel]: namespace };
  for (const { namespace: name = defaultNamespace } of pods) {
    const known = labelsOf(name);
    if (known !== undefined) {
      facts.setNamespace({ name, labels: known });
    }
  }
  const resolveIdentity = createIdentityResolver(config.registries, facts);
  const rules = createDiagnosisRules(config, createRegistryResolver(config), resolveIdentity);
  const explained = pods.map(({ kind, name, namespace = defaultNamespace, pod }): ExplainedPod => {
    const explanation = explainPod(pod, namespace, rules, resolveIdentity);
    const known = labelsOf(namespace);
    return {
      ...{ kind, name, namespace },
      ...(known === undefined || isSelected(known, config)
        ? explanation
        : withoutWebhook(explanation, config)),
    };
  });
  return { pods: explained, skipped: others, notes: listNotes(explained, config, labels), failed: 0 };
}

/** The API server sets it on every namespace. */
const namespaceNameLabel = 'kubernetes.io/metadata.name';

/** Whether the API server calls the webhook for a namespace. The chart sets the selector of catch-up to that of the webhook. */
function isSelected(labels: Labels, { catchUp }: Config): boolean {
  return parseLabelSelector(catchUp.namespaces.selector)?.(labels) !== false;
}

function withoutWebhook(
  explanation: PodExplanation,
  { catchUp }: Config,
): Omit<ExplainedPod, 'kind' | 'name' | 'namespace'> {
  const { patch, imagePullSecrets, registries } = explanation;
  return {
    action: 'skip',
    reason: 'namespace-not-selected',
    text: `the labels of its namespace do not match ${catchUp.namespaces.selector}, so the API server does not call the webhook`,
    registries,
    patch: undefined,
    imagePullSecrets: patch === undefined ? imagePullSecrets : imagePullSecrets.slice(0, -1),
  };
}

/** What can differ in the cluster. */
function listNotes(
  pods: readonly ExplainedPod[],
  { registries, catchUp }: Config,
  labels: ExplainOptions['labels'],
): string[] {
  const isUnknown = pods.some((pod) => pod.registries.some(({ identity }) => identity.kind === 'unknown'));
  const needed = findNeededFacts(registries);
  const { selector } = catchUp.namespaces;
  return [
    ...(isUnknown && needed.labelKeys.length > 0 && labels === undefined
      ? [
          `rules select namespaces by labels (${needed.labelKeys.join(', ')}); pass them with --namespace-labels`,
        ]
      : []),
    ...(isUnknown && needed.serviceAccounts.length > 0
      ? [
          `rules read annotations of ServiceAccounts (${needed.serviceAccounts.join(', ')}), which only the cluster has`,
        ]
      : []),
    ...(selector === '' || labels !== undefined
      ? []
      : [`the API server calls the webhook only for namespaces with the labels ${selector}`]),
  ];
}
