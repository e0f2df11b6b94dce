{{/* The alerts of the PrometheusRule, each described in docs/runbooks.md. */}}

{{/*
The label matchers that select the metrics of this release: its namespace, and the job name that Prometheus gives to the chart's
ServiceMonitor (the name of the Service) or PodMonitor. So two releases, also in one namespace, have separate alerts.
*/}}
{{- define "ecr-pull-secrets.metricSelector" -}}
{{- $name := include "ecr-pull-secrets.fullname" . -}}
{{- $ns := .Release.Namespace -}}
{{- .Values.metrics.prometheusRule.selector | default (printf `namespace="%s",job=~"%s-status|%s/%s"` $ns $name $ns $name) -}}
{{- end -}}

{{/*
An expression for the counters in `.counter` that increased within `.window`. `increase()` needs two samples, so a counter that first
appears with a value above 0, such as that of an error that occurred for the first time, is added. A pod that was not scraped for less
than an hour does not count as new.
*/}}
{{- define "ecr-pull-secrets.increased" -}}
increase({{ .counter }}[{{ .window }}]) > 0
or ({{ .counter }} unless max_over_time({{ .counter }}[1h] offset {{ .window }})) > 0
{{- end -}}

{{/* Remaining lifetime of a token below which its renewal has failed for long, in seconds: half of what remains when it is due. */}}
{{- define "ecr-pull-secrets.tokenAlertSeconds" -}}
{{- $tokens := (.Values.config).tokens | default dict -}}
{{- $lifetime := 43200 -}}
{{- $floor := include "ecr-pull-secrets.seconds" ($tokens.minimumLife | default "1h") | int -}}
{{- $due := minf (maxf (mulf ($tokens.freshFraction | default 0.5) $lifetime) $floor) (mulf 0.9 $lifetime) -}}
{{- divf $due 2 | int -}}
{{- end -}}

{{/* Remaining lifetime of a certificate below which its renewal has failed for long, in seconds. It is renewed at a third. */}}
{{- define "ecr-pull-secrets.certificateAlertSeconds" -}}
{{- if include "ecr-pull-secrets.managesCertificates" . -}}
{{- div (include "ecr-pull-secrets.seconds" .Values.certificates.managed.leafLife) 4 -}}
{{- else if include "ecr-pull-secrets.usesCertManager" . -}}
{{- div (include "ecr-pull-secrets.seconds" .Values.certificates.certManager.duration) 4 -}}
{{- else -}}
604800
{{- end -}}
{{- end -}}

{{/* How far back checks of pending pods are counted: at least three intervals. */}}
{{- define "ecr-pull-secrets.catchUpWindow" -}}
{{- $interval := include "ecr-pull-secrets.seconds" (((.Values.config).catchUp | default dict).interval | default "5m") | int -}}
{{- div (add (max 1800 (mul 3 $interval)) 59) 60 }}m
{{- end -}}

{{/*
All alerts that apply to the values, as YAML. `severity` is a key of `metrics.prometheusRule.severities`. Expressions about a single
replica keep the label `pod`. The others take the maximum or minimum of all replicas, because each replica counts all Secrets.
*/}}
{{- define "ecr-pull-secrets.alerts" -}}
{{- $s := include "ecr-pull-secrets.metricSelector" . -}}
{{- $name := include "ecr-pull-secrets.fullname" . -}}
{{- $ns := .Release.Namespace -}}
{{- if include "ecr-pull-secrets.serves" . }}
- alert: EcrPullSecretsDown
  severity: critical
  for: 5m
  expr: absent(up{ {{- $s -}} } == 1)
  summary: Prometheus scrapes no replica of ecr-pull-secrets.
  description: >-
    New pods get no reference or no token, and tokens are not renewed. Stored tokens expire within hours.
- alert: EcrPullSecretsReplicasUnavailable
  severity: warning
  for: 15m
  expr: |-
    max(kube_deployment_spec_replicas{namespace="{{ $ns }}",deployment="{{ $name }}"})
      - max(kube_deployment_status_replicas_available{namespace="{{ $ns }}",deployment="{{ $name }}"}) > 0
    or count(up{ {{- $s -}} } == 0) > 0
  summary: Not all replicas of ecr-pull-secrets are available.
  description: >-
    {{`{{ $value }}`}} replicas are not available. If the others fail too, new pods get no reference or no token.
- alert: EcrPullSecretsNotInSync
  severity: warning
  for: 5m
  expr: min by (pod) (ecr_pull_secrets_in_sync{ {{- $s -}} }) == 0
  summary: A replica of ecr-pull-secrets cannot watch the pull Secrets.
  description: >-
    The replica {{`{{ $labels.pod }}`}} is not in sync with the API server. It is not ready, and renews only the Secrets that it knew
    before.
- alert: EcrPullSecretsCredentialsBroken
  severity: critical
  for: 5m
  expr: min by (pod) (ecr_pull_secrets_aws_credentials_ok{ {{- $s -}} }) == 0
  summary: AWS does not accept the credentials of ecr-pull-secrets.
  description: >-
    The replica {{`{{ $labels.pod }}`}} has no valid AWS credentials, so it fetches no tokens. Stored tokens expire within hours.
- alert: EcrPullSecretsPermanentFailures
  severity: warning
  for: 10m
  expr: max(ecr_pull_secrets_failing_hosts{ {{- $s -}} ,permanent="true"}) > 0
  summary: Tokens of some hosts cannot be stored until you change something.
  description: >-
    {{`{{ $value }}`}} hosts have a failure that retrying does not resolve. Their pods cannot pull, or can no longer pull when the
    stored token expires.
- alert: EcrPullSecretsTemporaryFailures
  severity: warning
  for: 30m
  expr: max(ecr_pull_secrets_failing_hosts{ {{- $s -}} ,permanent="false"}) > 0
  summary: Tokens of some hosts have not been stored for 30 minutes.
  description: >-
    {{`{{ $value }}`}} hosts are failing. The program keeps retrying. Their pods cannot pull, or can no longer pull when the stored
    token expires.
- alert: EcrPullSecretsTokensExpiring
  severity: critical
  for: 10m
  expr: |-
    max by (region) (ecr_pull_secrets_token_expiration_timestamp_seconds{ {{- $s -}} }) - time()
      < {{ include "ecr-pull-secrets.tokenAlertSeconds" . }}
  summary: Tokens of a region expire soon and are not renewed.
  description: >-
    The first token of region {{`{{ $labels.region }}`}} expires in {{`{{ $value | humanizeDuration }}`}}. Then its pods cannot pull.
- alert: EcrPullSecretsRenewalLate
  severity: warning
  for: 10m
  expr: max(ecr_pull_secrets_renewal_lateness_seconds{ {{- $s -}} }) > {{ div (include "ecr-pull-secrets.tokenAlertSeconds" .) 3 }}
  summary: Pull Secrets are renewed too late.
  description: >-
    A renewal has been due for {{`{{ $value | humanizeDuration }}`}}. If the delay grows, tokens expire.
- alert: EcrPullSecretsUnmanagedSecrets
  severity: warning
  for: 10m
  expr: max(ecr_pull_secrets_unmanaged_secrets{ {{- $s -}} }) > 0
  summary: Unmanaged Secrets have the name of the pull Secret.
  description: >-
    In {{`{{ $value }}`}} namespaces, tokens cannot be stored, because an unmanaged Secret has the name of the pull Secret.
- alert: EcrPullSecretsFullSecrets
  severity: warning
  for: 10m
  expr: max(ecr_pull_secrets_full_secrets{ {{- $s -}} }) > 0
  summary: Pull Secrets have no room for a host that a pod needs.
  description: >-
    In {{`{{ $value }}`}} namespaces, pods cannot pull from at least one host.
- alert: EcrPullSecretsHostsForgotten
  severity: warning
  expr: |-
    sum(
      {{- include "ecr-pull-secrets.increased" (dict "window" "15m" "counter"
        (printf `ecr_pull_secrets_unstored_hosts_forgotten_total{%s,reason!="denied"}` $s)) | nindent 6 }}
    )
  summary: Hosts that pods requested are no longer retried.
  description: >-
    The program gave up hosts that it could not store. Pods that need them cannot pull until a new pod requests the host.
- alert: EcrPullSecretsLogLinesDropped
  severity: warning
  expr: max by (pod) (increase(ecr_pull_secrets_log_lines_dropped_total{ {{- $s -}} }[15m])) > 0
  summary: The log of ecr-pull-secrets is incomplete.
  description: >-
    The replica {{`{{ $labels.pod }}`}} cannot write its standard output and has dropped log lines.
- alert: EcrPullSecretsApiRequestsDropped
  severity: warning
  expr: max by (pod) (increase(ecr_pull_secrets_api_requests_dropped_total{ {{- $s -}} }[15m])) > 0
  summary: Requests to the API server were not sent.
  description: >-
    Too many requests of the replica {{`{{ $labels.pod }}`}} to the API server were in flight, so it dropped others. Tokens may be
    stored late.
{{- if include "ecr-pull-secrets.injectsByWebhook" . }}
- alert: EcrPullSecretsAdmissionErrors
  severity: warning
  expr: |-
    sum(
      {{- include "ecr-pull-secrets.increased" (dict "window" "15m" "counter"
        (printf `ecr_pull_secrets_admission_requests_total{%s,outcome="error"}` $s)) | nindent 6 }}
    )
  summary: Requests to the webhook failed with an unexpected error.
  description: >-
    The pods were admitted, perhaps without the reference or without a token.
- alert: EcrPullSecretsAdmissionSlow
  severity: warning
  for: 10m
  # Buckets end at 10 s.
  expr: |-
    histogram_quantile(0.99, sum by (le) (rate(ecr_pull_secrets_admission_request_duration_seconds_bucket{ {{- $s -}} }[10m])))
      > {{ minf (divf .Values.webhook.timeoutSeconds 2) 5 }}
    and sum(increase(ecr_pull_secrets_admission_request_duration_seconds_count{ {{- $s -}} }[10m])) > 20
  summary: Admission requests take more than half of the webhook's timeout.
  description: >-
    The slowest 1% of the requests take {{`{{ $value | humanizeDuration }}`}} or longer. The API server waits at most
    {{ .Values.webhook.timeoutSeconds }}s, then
    {{- if eq .Values.webhook.failurePolicy "Fail" }} refuses the pod{{ else }} creates the pod without the webhook's change{{ end }}.
- alert: EcrPullSecretsWebhookFailing
  severity: critical
  for: 10m
  # Metrics of the API server. A single failure, for example when a node fails, stays in the window for 5 minutes.
  expr: |-
    sum(
      increase(apiserver_admission_webhook_fail_open_count{name="pods.ecr-pull-secrets.io"}[5m])
      or increase(apiserver_admission_webhook_rejection_count{name="pods.ecr-pull-secrets.io",error_type="calling_webhook_error"}[5m])
    ) > 0
  summary: The API server cannot call the webhook.
  description: >-
    For 10 minutes, calls of the API server to the webhook have failed. The pods
    {{- if eq .Values.webhook.failurePolicy "Fail" }} are not created{{ else }} are created without the webhook's change{{ end }}.
{{- end }}
{{- if or (include "ecr-pull-secrets.injectsByWebhook" .) (include "ecr-pull-secrets.managesCertificates" .) }}
- alert: EcrPullSecretsCertificateExpiring
  severity: warning
  for: 15m
  expr: |-
    min by (pod) (ecr_pull_secrets_certificate_expiration_timestamp_seconds{ {{- $s -}} }) - time()
      < {{ include "ecr-pull-secrets.certificateAlertSeconds" . }}
  summary: The serving certificate expires soon and is not renewed.
  description: >-
    The certificate of the replica {{`{{ $labels.pod }}`}} expires in {{`{{ $value | humanizeDuration }}`}}. Then the API server can no
    longer call the webhook.
{{- end }}
{{- if include "ecr-pull-secrets.separatesCertificates" . }}
- alert: EcrPullSecretsCertificateControllerDown
  severity: warning
  for: 1h
  # A metric of kube-state-metrics.
  expr: max(kube_deployment_status_replicas_available{namespace="{{ $ns }}",deployment="{{ include "ecr-pull-secrets.certificatesName" . }}"}) == 0
  summary: The certificate controller is down.
  description: >-
    The serving certificate is not renewed. When it expires, the API server can no longer call the webhook.
{{- end }}
{{- if include "ecr-pull-secrets.catchesUp" . }}
{{- $window := include "ecr-pull-secrets.catchUpWindow" . }}
- alert: EcrPullSecretsUninjectedPods
  severity: warning
  for: 15m
  expr: max(ecr_pull_secrets_uninjected_pods{ {{- $s -}} }) > 0
  summary: Pods with ECR images have no reference to the pull Secret.
  description: >-
    {{`{{ $value }}`}} pending pods cannot pull until they are created again.
- alert: EcrPullSecretsCatchUpFailing
  severity: warning
  for: 10m
  expr: |-
    max(ecr_pull_secrets_in_sync{ {{- $s -}} }) == 1
    unless sum(
      {{- include "ecr-pull-secrets.increased" (dict "window" $window "counter"
        (printf `ecr_pull_secrets_catch_up_rounds_total{%s,outcome="completed"}` $s)) | nindent 6 }}
    )
  summary: Pods without the reference are not found.
  description: >-
    No check of the pending pods has completed for {{ $window }}, so pods that the webhook missed are not reported.
{{- end }}
{{- end }}
{{- if and .Values.cronJob.enabled (not .Values.cronJob.suspend) }}
- alert: EcrPullSecretsSyncOverdue
  severity: critical
  # Metrics of kube-state-metrics. A token is valid for 12 hours.
  expr: |-
    time() - max(
      kube_cronjob_status_last_successful_time{namespace="{{ $ns }}",cronjob="{{ include "ecr-pull-secrets.syncName" . }}"}
      or kube_cronjob_created{namespace="{{ $ns }}",cronjob="{{ include "ecr-pull-secrets.syncName" . }}"}
    ) > {{ include "ecr-pull-secrets.seconds" .Values.metrics.prometheusRule.syncOverdueAfter }}
  summary: The CronJob has not updated the pull Secrets.
  description: >-
    The last successful run was {{`{{ $value | humanizeDuration }}`}} ago. Tokens that it stored are valid for 12 hours.
{{- end }}
{{- end -}}
