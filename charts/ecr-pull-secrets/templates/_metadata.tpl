{{/* Labels and annotations. What the chart itself sets takes precedence over what the values add. */}}

{{/* The labels of an object or pod, as YAML. Arguments: root; optional: component, labels. */}}
{{- define "ecr-pull-secrets.labels" -}}
{{- $own := include "ecr-pull-secrets.selectorLabels" .root | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_")) -}}
{{- with .component -}}{{- $_ := set $own "app.kubernetes.io/component" . -}}{{- end -}}
{{- mergeOverwrite (dict) (.root.Values.commonLabels | default dict) (.labels | default dict) $own | toYaml -}}
{{- end -}}

{{/* The labels and annotations in the metadata of an object. Arguments: root; optional: component, labels, annotations. */}}
{{- define "ecr-pull-secrets.metadata" -}}
labels:
  {{- include "ecr-pull-secrets.labels" . | nindent 2 }}
{{- with mergeOverwrite (dict) (.root.Values.commonAnnotations | default dict) (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The labels and annotations in the metadata of a pod template. Arguments: root, component; optional: annotations. */}}
{{- define "ecr-pull-secrets.podMetadata" -}}
labels:
  {{- include "ecr-pull-secrets.labels" (dict "root" .root "component" .component "labels" .root.Values.podLabels) | nindent 2 }}
{{- with mergeOverwrite (dict) (.root.Values.podAnnotations | default dict) (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
