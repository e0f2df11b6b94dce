{{/* Namespaces that are excluded from admission and provisioning, names and patterns, as JSON. */}}
{{- define "ecr-pull-secrets.excludedNamespaces" -}}
{{- $configured := ((.Values.config).exclude | default dict).namespaces | default list -}}
{{- concat .Values.namespaces.exclude $configured | uniq | toJson -}}
{{- end -}}

{{/*
Namespaces that are excluded from admission, and that config.provisioning serves only if it names them without `*`: names and
patterns, as JSON.
*/}}
{{- define "ecr-pull-secrets.admissionExcludedNamespaces" -}}
{{- $configured := ((.Values.config).exclude | default dict).admissionNamespaces | default list -}}
{{- concat (list "kube-system" .Release.Namespace) $configured | uniq | toJson -}}
{{- end -}}

{{/* Both. */}}
{{- define "ecr-pull-secrets.notAdmittedNamespaces" -}}
{{- $onlyAdmission := include "ecr-pull-secrets.admissionExcludedNamespaces" . | fromJsonArray -}}
{{- concat $onlyAdmission (include "ecr-pull-secrets.excludedNamespaces" . | fromJsonArray) | uniq | toJson -}}
{{- end -}}

{{/* Names in config.provisioning.namespaces.names without `*`, as JSON. */}}
{{- define "ecr-pull-secrets.namedNamespaces" -}}
{{- $names := list -}}
{{- range (((.Values.config).provisioning | default dict).namespaces | default dict).names -}}
{{- if not (contains "*" .) -}}{{- $names = append $names . -}}{{- end -}}
{{- end -}}
{{- $names | toJson -}}
{{- end -}}

{{/* Whether config.provisioning serves the chart's own namespace. */}}
{{- define "ecr-pull-secrets.provisionsItself" -}}
{{- $names := include "ecr-pull-secrets.namedNamespaces" . | fromJsonArray -}}
{{- if and (include "ecr-pull-secrets.provisions" .) (has .Release.Namespace $names) }}yes{{ end -}}
{{- end -}}

{{/* The program's settings: those of the values, and what the chart decides. */}}
{{- define "ecr-pull-secrets.config" -}}
{{- $config := deepCopy (.Values.config | default dict) -}}
{{- $exclude := dict
      "namespaces" (include "ecr-pull-secrets.excludedNamespaces" . | fromJsonArray)
      "admissionNamespaces" (include "ecr-pull-secrets.admissionExcludedNamespaces" . | fromJsonArray) -}}
{{- $_ := set $config "exclude" (mergeOverwrite ($config.exclude | default dict) $exclude) -}}
{{- if include "ecr-pull-secrets.provisions" . -}}
{{- $_ := set $config.provisioning "serviceAccounts" (include "ecr-pull-secrets.referringAccounts" . | fromJsonArray) -}}
{{- end -}}
{{- if include "ecr-pull-secrets.managesCertificates" . -}}
{{- $certificates := dict
      "source" (ternary "managed" "files" (not (empty (include "ecr-pull-secrets.servesManaging" .))))
      "secretName" (include "ecr-pull-secrets.tlsSecretName" .)
      "service" (include "ecr-pull-secrets.fullname" .)
      "webhookConfiguration" (include "ecr-pull-secrets.webhookName" .)
      "dnsNames" .Values.certificates.managed.dnsNames
      "ipAddresses" .Values.certificates.managed.ipAddresses
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
{{- toYaml $config -}}
{{- end -}}

{{/* Where the CA of client certificates is mounted. */}}
{{- define "ecr-pull-secrets.clientCaFolder" -}}
/etc/ecr-pull-secrets/client-ca
{{- end -}}

{{- define "ecr-pull-secrets.webhookPort" -}}
{{- ((.Values.config).webhook | default dict).port | default 8443 | int -}}
{{- end -}}

{{- define "ecr-pull-secrets.statusPort" -}}
{{- ((.Values.config).status | default dict).port | default 8080 | int -}}
{{- end -}}

{{/* Whole seconds of a duration such as 500ms, 10s, 5m or 1h, rounded up. */}}
{{- define "ecr-pull-secrets.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int -}}
{{- $unit := regexReplaceAll "^[0-9]+" . "" -}}
{{- if eq $unit "ms" -}}
{{- div (add $number 999) 1000 -}}
{{- else -}}
{{- mul $number (get (dict "s" 1 "m" 60 "h" 3600) $unit) -}}
{{- end -}}
{{- end -}}

{{/* After SIGTERM the program takes calls for shutdownDelay, ends those in flight within drainTimeout, and writes within writeTimeout. */}}
{{- define "ecr-pull-secrets.graceSeconds" -}}
{{- $webhook := (.Values.config).webhook | default dict -}}
{{- $delay := include "ecr-pull-secrets.seconds" ($webhook.shutdownDelay | default "5s") | int -}}
{{- $drain := include "ecr-pull-secrets.seconds" ($webhook.drainTimeout | default "20s") | int -}}
{{- add $delay $drain (include "ecr-pull-secrets.writeSeconds" .) 5 -}}
{{- end -}}

{{/* The certificate controller ends its last write within writeTimeout, and itself within 5 s more. */}}
{{- define "ecr-pull-secrets.certificatesGraceSeconds" -}}
{{- add (include "ecr-pull-secrets.writeSeconds" .) 10 -}}
{{- end -}}

{{- define "ecr-pull-secrets.writeSeconds" -}}
{{- include "ecr-pull-secrets.seconds" (((.Values.config).kubernetes | default dict).writeTimeout | default "40s") -}}
{{- end -}}
