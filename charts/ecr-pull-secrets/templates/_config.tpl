{{/* Names and patterns of the namespaces that are excluded from admission and provisioning, as JSON. */}}
{{- define "ecr-pull-secrets.excludedNamespaces" -}}
{{- $configured := ((.Values.config).exclude | default dict).namespaces | default list -}}
{{- concat (.Values.namespaces.exclude | default list) $configured | uniq | toJson -}}
{{- end -}}

{{/*
Names and patterns of the namespaces that are excluded from admission, and from provisioning unless config.provisioning names them
without `*`, as JSON.
*/}}
{{- define "ecr-pull-secrets.admissionExcludedNamespaces" -}}
{{- $configured := ((.Values.config).exclude | default dict).admissionNamespaces | default list -}}
{{- concat (list "kube-system" .Release.Namespace) $configured | uniq | toJson -}}
{{- end -}}

{{/* Names and patterns of all namespaces that are excluded from admission, as JSON. */}}
{{- define "ecr-pull-secrets.notAdmittedNamespaces" -}}
{{- $onlyAdmission := include "ecr-pull-secrets.admissionExcludedNamespaces" . | fromJsonArray -}}
{{- concat $onlyAdmission (include "ecr-pull-secrets.excludedNamespaces" . | fromJsonArray) | uniq | toJson -}}
{{- end -}}

{{/* The entries of config.provisioning.namespaces.names without `*`, as JSON. */}}
{{- define "ecr-pull-secrets.namedNamespaces" -}}
{{- $names := list -}}
{{- range (((.Values.config).provisioning | default dict).namespaces | default dict).names -}}
{{- if not (contains "*" .) -}}{{- $names = append $names . -}}{{- end -}}
{{- end -}}
{{- $names | toJson -}}
{{- end -}}

{{/* Whether config.provisioning selects the chart's own namespace. */}}
{{- define "ecr-pull-secrets.provisionsItself" -}}
{{- $names := include "ecr-pull-secrets.namedNamespaces" . | fromJsonArray -}}
{{- if and (include "ecr-pull-secrets.provisions" .) (has .Release.Namespace $names) }}yes{{ end -}}
{{- end -}}

{{/* The configuration of the program: `config` of the values, and the settings that the chart derives. */}}
{{- define "ecr-pull-secrets.config" -}}
{{- $config := deepCopy (.Values.config | default dict) -}}
{{- $exclude := dict
      "namespaces" (include "ecr-pull-secrets.excludedNamespaces" . | fromJsonArray)
      "admissionNamespaces" (include "ecr-pull-secrets.admissionExcludedNamespaces" . | fromJsonArray) -}}
{{- $_ := set $config "exclude" (mergeOverwrite ($config.exclude | default dict) $exclude) -}}
{{- if include "ecr-pull-secrets.provisions" . -}}
{{- $_ := set $config.provisioning "serviceAccounts" (include "ecr-pull-secrets.referringAccounts" . | fromJsonArray) -}}
{{- end -}}
{{- if include "ecr-pull-secrets.catchesUp" . -}}
{{- $selector := dict "selector" (include "ecr-pull-secrets.namespaceSelectorLine" .) -}}
{{- $_ := set $config "catchUp" (set ($config.catchUp | default dict) "namespaces" $selector) -}}
{{- else if include "ecr-pull-secrets.serves" . -}}
{{- $_ := set $config "catchUp" (dict "enabled" false) -}}
{{- end -}}
{{- if include "ecr-pull-secrets.managesCertificates" . -}}
{{- $certificates := dict
      "source" (ternary "managed" "files" (not (empty (include "ecr-pull-secrets.servesManaging" .))))
      "secretName" (include "ecr-pull-secrets.tlsSecretName" .)
      "service" (include "ecr-pull-secrets.fullname" .)
      "webhookConfiguration" (include "ecr-pull-secrets.webhookName" .)
      "dnsNames" (.Values.certificates.managed.dnsNames | default list)
      "ipAddresses" (.Values.certificates.managed.ipAddresses | default list)
      "authorityLife" .Values.certificates.managed.authorityLife
      "leafLife" .Values.certificates.managed.leafLife -}}
{{- $_ := set $config "certificates" $certificates -}}
{{- end -}}
{{- with .Values.webhook.clientAuth -}}
{{- if .enabled -}}
{{- $clientAuth := dict "caFile" (printf "%s/%s" (include "ecr-pull-secrets.clientCaFolder" $) .key) "allowedNames" .allowedNames -}}
{{- $_ := set $config "webhook" (set ($config.webhook | default dict) "clientAuth" $clientAuth) -}}
{{- end -}}
{{- end -}}
{{- $port := include "ecr-pull-secrets.webhookPort" . | int -}}
{{- if ne $port 8443 -}}
{{- $_ := set $config "webhook" (set ($config.webhook | default dict) "port" $port) -}}
{{- end -}}
{{- range $key, $entries := dict "labels" .Values.secretLabels "annotations" .Values.secretAnnotations -}}
{{- with $entries -}}
{{- $_ := set $config "secrets" (set ($config.secrets | default dict) $key .) -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The mount path of the CA of client certificates. */}}
{{- define "ecr-pull-secrets.clientCaFolder" -}}
/etc/ecr-pull-secrets/client-ca
{{- end -}}

{{- define "ecr-pull-secrets.webhookPort" -}}
{{- .Values.webhook.port | default 8443 | int -}}
{{- end -}}

{{- define "ecr-pull-secrets.statusPort" -}}
{{- ((.Values.config).status | default dict).port | default 8080 | int -}}
{{- end -}}

{{/* A duration such as 500ms, 10s, 5m or 1h in whole seconds, rounded up. */}}
{{- define "ecr-pull-secrets.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int -}}
{{- $unit := regexReplaceAll "^[0-9]+" . "" -}}
{{- if eq $unit "ms" -}}
{{- div (add $number 999) 1000 -}}
{{- else -}}
{{- mul $number (get (dict "s" 1 "m" 60 "h" 3600) $unit) -}}
{{- end -}}
{{- end -}}

{{- define "ecr-pull-secrets.terminationGracePeriodSeconds" -}}
{{- if has (toString .Values.terminationGracePeriodSeconds) (list "" "<nil>") -}}
{{ include "ecr-pull-secrets.graceSeconds" . }}
{{- else -}}
{{ int .Values.terminationGracePeriodSeconds }}
{{- end -}}
{{- end -}}

{{/*
After SIGTERM, the program accepts requests for shutdownDelay, finishes those in flight within drainTimeout, and finishes its writes
within writeTimeout.
*/}}
{{- define "ecr-pull-secrets.graceSeconds" -}}
{{- $webhook := (.Values.config).webhook | default dict -}}
{{- $delay := include "ecr-pull-secrets.seconds" ($webhook.shutdownDelay | default "5s") | int -}}
{{- $drain := include "ecr-pull-secrets.seconds" ($webhook.drainTimeout | default "20s") | int -}}
{{- add $delay $drain (include "ecr-pull-secrets.writeSeconds" .) 5 -}}
{{- end -}}

{{/* The certificate controller finishes its last write within writeTimeout, and exits within another 5 s. */}}
{{- define "ecr-pull-secrets.certificatesGraceSeconds" -}}
{{- add (include "ecr-pull-secrets.writeSeconds" .) 10 -}}
{{- end -}}

{{- define "ecr-pull-secrets.writeSeconds" -}}
{{- include "ecr-pull-secrets.seconds" (((.Values.config).kubernetes | default dict).writeTimeout | default "40s") -}}
{{- end -}}
