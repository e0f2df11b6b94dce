// The command `doctor`: checks the installation in groups, and reports what is wrong, what follows from it, and what to do.
import packageJson from '../../package.json' with { type: 'json' };
import { type CheckGroup, type CheckResult, type GroupName, groupNames } from '../diagnosis/check.ts';
import { createCheckGroups } from '../diagnosis/check-groups.ts';
import type { ReportTimeline } from '../diagnosis/report-timeline.ts';
import { runChecks } from '../diagnosis/run-checks.ts';
import { KubeConfigError } from '../kube/client.ts';
import {
  type CommandContext,
  checkNames,
  collect,
  defineCommand,
  EnumOption,
  quoteBlank,
} from './command.ts';
import { htmlReport } from './doctor-html.ts';
import { doctorImageCommand } from './doctor-image.ts';
import { doctorPodCommand } from './doctor-pod.ts';
import { type DoctorReport, exitCodeOf } from './doctor-report.ts';
import { groupText, summaryText } from './doctor-text.ts';
import {
  addInstallationOptions,
  type InstallationOptions,
  installationOptions,
} from './installation-options.ts';
import { type Interrupt, interruptible } from './interrupt.ts';
import { type OpenInstallation, openInstallation } from './open-installation.ts';
import { jsonText } from './print-report.ts';
import { createSpinner } from './spinner.ts';
import { terminalStyle } from './terminal-style.ts';

type DoctorFormat = 'text' | 'json' | 'html';

interface DoctorOptions extends InstallationOptions {
  readonly output: DoctorFormat;
  /** Empty: all groups. */
  readonly groups: readonly GroupName[];
  readonly namespace: string | undefined;
  readonly timeoutMs: number;
}

export const doctorCommand = defineCommand<DoctorOptions>({
  name: 'doctor',
  summary: 'Check the installation, and explain what is wrong',
  examples: ['doctor', 'doctor --group webhook --group aws', 'doctor --output html > report.html'],
  subcommands: [doctorPodCommand, doctorImageCommand],
  declare: (command) =>
    addInstallationOptions(command)
      .addOption(
        new EnumOption('--output <format>', 'text, json, or html for one self-contained page', [
          'text',
          'json',
          'html',
        ]).default('text'),
      )
      .addOption(
        new EnumOption(
          '--group <name>',
          `run only this group: ${groupNames.join(', ')} (repeatable)`,
          groupNames,
        ).argParser(collect),
      )
      .option('--namespace <name>', 'namespace of the pod that is created on a dry run')
      .option('--timeout <duration>', 'how long each group may take, such as 30s or 2m', '30s'),
  read: (command) => {
    const {
      output = '',
      group = [],
      namespace,
      timeout = '',
    } = command.opts<{ output?: string; group?: string[]; namespace?: string; timeout?: string }>();
    if (!isFormat(output)) {
      return command.error(`--output takes text, json or html, not ${quoteBlank(output)}`);
    }
    const unknown = group.find((name) => !isGroupName(name));
    if (unknown !== undefined) {
      return command.error(`--group takes ${groupNames.join(', ')}, not ${quoteBlank(unknown)}`);
    }
    checkNames(command, '--namespace', namespace === undefined ? [] : [namespace]);
    const [, number, unit] = /^([1-9]\d{0,3})(s|m)$/.exec(timeout) ?? [];
    if (number === undefined) {
      return command.error(`--timeout takes a duration such as 30s or 2m, not ${quoteBlank(timeout)}`);
    }
    const timeoutMs = Number(number) * (unit === 'm' ? 60_000 : 1000);
    return {
      ...installationOptions(command),
      ...{ output, groups: group.filter(isGroupName), namespace, timeoutMs },
    };
  },
  run: (options, context) =>
    interruptible(context.signals, (interrupt) => runDoctor(options, context, interrupt)),
});

function isGroupName(name: string): name is GroupName {
  return groupNames.some((known) => known === name);
}

function isFormat(text: string): text is DoctorFormat {
  return text === 'text' || text === 'json' || text === 'html';
}

/** @throws {ConfigError} if several installations are found */
async function runDoctor(
  options: DoctorOptions,
  context: CommandContext,
  interrupt: Interrupt,
): Promise<number> {
  const { stdout, stderr, environment } = context;
  const isText = options.output === 'text';
  const style = terminalStyle(stdout, environment);
  const spinner = createSpinner(stderr);
  spinner.show('checking the installation');
  const report = await examine(options, context, interrupt, (group) => {
    if (isText) {
      spinner.clear();
      stdout.write(groupText(group, style));
      spinner.show('checking the installation');
    }
  }).finally(() => spinner.clear());
  if (isText) {
    stdout.write(summaryText(report.groups, report.interrupted));
  } else {
    stdout.write(options.output === 'json' ? jsonText(report) : htmlReport(report));
  }
  return interrupt.exitCode ?? exitCodeOf(report.groups);
}

/** @param onGroup called with each group of the report */
async function examine(
  options: DoctorOptions,
  context: CommandContext,
  interrupt: Interrupt,
  onGroup: (group: CheckGroup) => void,
): Promise<DoctorReport> {
  const opened = await open(options, context, interrupt);
  const groups: CheckGroup[] = [];
  const add = (group: CheckGroup) => {
    groups.push(group);
    onGroup(group);
  };
  let timeline: ReportTimeline = [];
  if (opened instanceof KubeConfigError) {
    add({ name: 'api-server', checks: [describeKubeConfigError(opened)] });
  } else {
    const { installation, problem, source, close } = opened;
    const onTimeline = (entries: ReportTimeline) => {
      timeline = entries;
    };
    const all = createCheckGroups({ problem, source, namespace: options.namespace, onTimeline });
    const wanted = all.filter(({ name }) => options.groups.length === 0 || options.groups.includes(name));
    const { timeoutMs } = options;
    await runChecks(wanted, installation, { timeoutMs, signal: interrupt.signal, onGroup: add }).finally(
      close,
    );
  }
  const installation = opened instanceof KubeConfigError ? undefined : opened.installation;
  return {
    version: packageJson.version,
    time: new Date().toISOString(),
    viewpoint: installation?.viewpoint,
    apiServer: installation?.cluster.getCurrentCluster()?.server,
    namespace: installation?.namespace,
    ...{ groups, timeline },
    ...(interrupt.received !== undefined && { interrupted: interrupt.received }),
  };
}

/** An unusable kubeconfig is a result, and not an error, because it is what prevents the checks. */
async function open(
  options: DoctorOptions,
  context: CommandContext,
  { signal }: Interrupt,
): Promise<OpenInstallation | KubeConfigError> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(options.timeoutMs)]);
  try {
    return await openInstallation(options, context, bounded);
  } catch (error) {
    if (error instanceof KubeConfigError) {
      return error;
    }
    throw error;
  }
}

function describeKubeConfigError({ message }: KubeConfigError): CheckResult {
  return {
    check: 'api-server-reachable',
    outcome: 'failed',
    summary: message,
    meaning: 'Nothing in the cluster can be checked from here',
    remedy: 'Set KUBECONFIG, --kubeconfig or --context, or run doctor in the pod with kubectl exec',
    page: 'how-to/diagnose.md',
  };
}
