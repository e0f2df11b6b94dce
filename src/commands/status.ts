// The command `status`: shows the state of each host in each pull Secret, and the pods that use it.
import { setTimeout as sleep } from 'node:timers/promises';
import { formatTime } from '../diagnosis/check-text.ts';
import { describeSource } from '../diagnosis/configuration-checks.ts';
import { createDiagnosisRules, readSelectedNamespaces } from '../diagnosis/diagnosis-rules.ts';
import type { Installation } from '../diagnosis/installation.ts';
import { readPodUsage } from '../diagnosis/pod-usage.ts';
import type { Gap } from '../diagnosis/read-gaps.ts';
import { allNamespaces, type SurveyScope, surveySecrets } from '../diagnosis/secret-survey.ts';
import {
  createStatusRows,
  type RowFilter,
  type RowState,
  rowStates,
  serializeRow,
  summarizeStatus,
} from '../diagnosis/status-rows.ts';
import { findHostNameProblem } from '../ecr/host-name.ts';
import { KubeError } from '../kube/errors.ts';
import { serializeError } from '../telemetry/log-fields.ts';
import { compilePatterns } from '../util/glob.ts';
import {
  type CommandContext,
  checkNames,
  collect,
  defineCommand,
  EnumOption,
  exampleHost,
  quoteBlank,
} from './command.ts';
import {
  addInstallationOptions,
  type InstallationOptions,
  installationOptions,
} from './installation-options.ts';
import { interruptible } from './interrupt.ts';
import { openInstallation } from './open-installation.ts';
import { jsonText, type TextOutput } from './print-report.ts';
import { type Status, statusText } from './status-text.ts';
import { terminalStyle } from './terminal-style.ts';

type StatusFormat = 'text' | 'wide' | 'json';

interface StatusOptions extends InstallationOptions {
  readonly output: StatusFormat;
  readonly isWatching: boolean;
  /** Names and patterns; empty lists select everything. */
  readonly namespaces: readonly string[];
  readonly hosts: readonly string[];
  readonly states: readonly RowState[];
}

export const statusCommand = defineCommand<StatusOptions>({
  name: 'status',
  summary: 'Show the tokens in the pull Secrets, the pods that use them, and what is wrong',
  examples: ['status', 'status --state failing --state expired', "status --namespace 'team-*' --watch"],
  declare: (command) =>
    addInstallationOptions(command)
      .option(
        '--namespace <name>',
        'show only this namespace; may be repeated; * matches any characters',
        collect,
      )
      .option('--host <host>', 'show only this ECR host; may be repeated; * matches any characters', collect)
      .addOption(
        new EnumOption(
          '--state <state>',
          `show only this state: ${rowStates.join(', ')} (repeatable)`,
          rowStates,
        ).argParser(collect),
      )
      .option('--watch', 'show the status again every five seconds')
      .addOption(
        new EnumOption(
          '--output <format>',
          'text, wide for all facts, or json for one object on standard output',
          ['text', 'wide', 'json'],
        ).default('text'),
      ),
  read: (command) => {
    const {
      namespace = [],
      host = [],
      state = [],
      watch = false,
      output = '',
    } = command.opts<{
      namespace?: string[];
      host?: string[];
      state?: string[];
      watch?: boolean;
      output?: string;
    }>();
    checkNames(command, '--namespace', namespace);
    const invalid = host.find((one) => !isHostOrPattern(one));
    if (invalid !== undefined) {
      return command.error(`--host takes a registry host such as ${exampleHost}, not ${quoteBlank(invalid)}`);
    }
    const states = rowStates.filter((known) => state.includes(known));
    const unknown = state.find((one) => !states.some((known) => known === one));
    if (unknown !== undefined) {
      return command.error(`--state takes ${rowStates.join(', ')}, not ${quoteBlank(unknown)}`);
    }
    if (output !== 'text' && output !== 'wide' && output !== 'json') {
      return command.error(`--output takes text, wide or json, not ${quoteBlank(output)}`);
    }
    return {
      ...installationOptions(command),
      namespaces: namespace,
      hosts: host,
      states,
      isWatching: watch,
      output,
    };
  },
  run: runStatus,
});

/** Whether a text is a registry host, or a pattern of hosts. */
function isHostOrPattern(text: string): boolean {
  return text.includes('*') ? /^[a-z0-9.:*-]{1,128}$/.test(text) : findHostNameProblem(text) === undefined;
}

/** How often `--watch` shows the status, in ms after it has been read. */
const watchIntervalMs = 5_000;

/** @throws {KubeConfigError}, {ConfigError}, {StatusRightsError}, or {KubeError} if the Secrets cannot be listed */
async function runStatus(options: StatusOptions, context: CommandContext): Promise<number> {
  return await interruptible(context.signals, async (interrupt) => {
    const { installation, problem, source, close } = await openInstallation(
      options,
      context,
      interrupt.signal,
    );
    const configuration = problem?.summary ?? describeSource(source)?.summary;
    const read = () => readStatus(installation, options, configuration, interrupt.signal);
    try {
      // The first failure ends the command, because a wrong address or a missing right does not go away.
      let shown = await read();
      printStatus(shown, options, context);
      while (options.isWatching && !interrupt.signal.aborted && context.stdout.writable !== false) {
        await sleep(watchIntervalMs, undefined, { signal: interrupt.signal }).catch(() => undefined);
        if (!interrupt.signal.aborted) {
          shown = await read().catch((error: unknown) => addFailure(shown, error));
          printStatus(shown, options, context);
        }
      }
      return interrupt.exitCode ?? 0;
    } catch (error) {
      if (interrupt.exitCode !== undefined) {
        return interrupt.exitCode;
      }
      throw error;
    } finally {
      await close();
    }
  });
}

/** The caller may not list Secrets in all namespaces. */
class StatusRightsError extends Error {
  override readonly name = 'StatusRightsError';
  readonly code = 'forbidden';
}

async function readStatus(
  installation: Installation,
  { namespaces, hosts, states }: StatusOptions,
  configuration: string | undefined,
  signal: AbortSignal,
): Promise<Status> {
  const { config, cluster } = installation;
  const scope = createScope(namespaces);
  const survey = await surveySecrets(installation, scope, signal).catch((error: unknown) => {
    throw error instanceof KubeError && error.code === 'forbidden' && scope.names === undefined
      ? new StatusRightsError(
          `you may not list Secrets named ${config.secretName} in all namespaces; select namespaces in which you may with --namespace`,
        )
      : error;
  });
  const podGaps: Gap[] = [];
  const rules = createDiagnosisRules(config, survey.resolveRegistry, survey.resolveIdentity);
  // The chart turns catch-up off where no webhook adds references, and the settings have no selector then.
  const collectsUninjected = config.catchUp.enabled
    ? await readSelectedNamespaces(config, cluster, podGaps, signal)
    : () => false;
  const usage = await readPodUsage(cluster, { rules, scope, collectsUninjected }, podGaps, signal);
  const input = {
    secrets: [...survey.secrets.values()],
    countPods: usage.count,
    uninjected: usage.uninjected,
  };
  const filter: RowFilter = {
    matchesHost: hosts.length === 0 ? () => true : compilePatterns(hosts),
    keepsSecrets: hosts.length === 0,
    states,
  };
  const notes = [
    ...(configuration === undefined ? [] : [configuration]),
    ...[...survey.gaps, ...podGaps].map(
      ({ why, request }) => `${why}, so ${missingFacts[request] ?? 'facts'} are missing`,
    ),
    ...(usage.isComplete || podGaps.length > 0
      ? []
      : ['there are too many running pods to count all of them']),
    ...(config.catchUp.enabled
      ? []
      : ['pods without the reference are not listed, because catchUp.enabled is false']),
    ...(survey.omittedHosts > 0 ? [`${survey.omittedHosts} further hosts are only counted`] : []),
  ];
  return {
    rows: createStatusRows(input, filter),
    summary: summarizeStatus(survey.counts, input),
    notes: [...new Set(notes)],
    now: survey.now,
  };
}

/** What the status lacks without a request. */
const missingFacts: Readonly<Record<string, string>> = {
  'list events': 'some errors',
  'list pods': 'the numbers of pods and the pods without the reference',
  'list namespaces': 'identities that depend on labels',
  'list serviceaccounts': 'identities that depend on ServiceAccounts',
};

/** Names that are read one by one; more are taken from a list of all. */
const maxSingleReads = 50;

function createScope(namespaces: readonly string[]): SurveyScope {
  if (namespaces.length === 0) {
    return allNamespaces;
  }
  const isSingle = namespaces.length <= maxSingleReads && namespaces.every((name) => !name.includes('*'));
  return { names: isSingle ? [...new Set(namespaces)] : undefined, includes: compilePatterns(namespaces) };
}

/** While watching, an API server that is away for a while does not end the command. */
function addFailure(shown: Status, error: unknown): Status {
  const { message } = serializeError(error);
  const at = new Date(shown.now).toISOString();
  return { ...shown, notes: [`not refreshed since ${at}: ${message}`] };
}

/** Moves the cursor to the top and erases the screen below it (ECMA-48 CUP and ED). What was scrolled out of it stays. */
const clearScreen = '\u001b[H\u001b[J';

function printStatus(status: Status, { output, isWatching }: StatusOptions, context: CommandContext): void {
  const { stdout, environment } = context;
  if (output === 'json') {
    stdout.write(jsonText(serializeStatus(status)));
    return;
  }
  const isTerminal = stdout.isTTY === true;
  const text = statusText(status, {
    isWide: output === 'wide',
    hasColor: terminalStyle(stdout, environment).hasColor,
    columns: isTerminal ? stdout.columns : undefined,
    rows: isTerminal && isWatching ? stdout.rows : undefined,
  });
  stdout.write(isWatching ? watchFrame(text, status.now, stdout) : text);
}

function watchFrame(text: string, now: number, { isTTY }: TextOutput): string {
  const time = formatTime(now);
  return isTTY === true ? `${clearScreen}${time}\n${text}` : `${time}\n${text}\n`;
}

function serializeStatus({ rows, summary, notes, now }: Status): object {
  return { checkedAt: new Date(now).toISOString(), summary, rows: rows.map(serializeRow), notes };
}
