{{/*
Whether the pods of `helm test` are rendered. They are for Helm only, which knows what the API server offers. Other tools that render
the chart without a cluster would create them as ordinary pods.
*/}}
{{- define "ecr-pull-secrets.rendersTests" -}}
{{- if and (include "ecr-pull-secrets.serves" .) (.Capabilities.APIVersions.Has "v1/Pod") }}yes{{ end -}}
{{- end -}}

{{/* The labels and annotations of a pod of `helm test`. */}}
{{- define "ecr-pull-secrets.testMetadata" -}}
{{- $hook := dict "helm.sh/hook" "test" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" -}}
{{- $annotations := mergeOverwrite (dict) (.Values.podAnnotations | default dict) $hook -}}
{{- include "ecr-pull-secrets.metadata" (dict "root" . "component" "test" "labels" .Values.podLabels "annotations" $annotations) -}}
{{- end -}}
