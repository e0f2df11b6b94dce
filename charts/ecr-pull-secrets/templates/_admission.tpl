{{/* The start of every ECR host; the program itself looks at all of it. */}}
{{- define "ecr-pull-secrets.ecrImage" -}}
^[0-9]{12}[.]dkr[.-]ecr(-fips)?[.][a-z]{2,8}(-[a-z]+)+-[0-9]+[.]
{{- end -}}

{{/*
CEL: whether a pod has an ECR image, in a container of any kind or in an image volume. Images of `accounts` do not count; the
schema allows nothing but digits and `*` in them. An error here would hide what the API server says of a pod without containers (`null`).
*/}}
{{- define "ecr-pull-secrets.hasEcrImage" -}}
{{- $isEcr := printf "%%s.matches('%s')" (include "ecr-pull-secrets.ecrImage" .) -}}
{{- with .accounts -}}
{{- $isEcr = printf "%s && !%%[1]s.matches('^(%s)[.]')" (replace "%s" "%[1]s" $isEcr) (join "|" . | replace "*" "[0-9]*") -}}
{{- end -}}
((dyn(object.spec.containers) == null ? [] : object.spec.containers)
+ (has(object.spec.initContainers) ? object.spec.initContainers : [])
+ (has(object.spec.ephemeralContainers) ? object.spec.ephemeralContainers : [])
).exists(c, has(c.image) && {{ printf $isEcr "c.image" }})
|| (has(object.spec.volumes) && object.spec.volumes.exists(v,
has(v.image) && has(v.image.reference) && {{ printf $isEcr "v.image.reference" }}))
{{- end -}}

{{/*
CEL: a mirror pod must not refer to Secrets. No webhook makes an ordinary pod one or the reverse, so this may be a match
condition.
*/}}
{{- define "ecr-pull-secrets.isNoMirrorPod" -}}
!has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)
{{- end -}}

{{/*
Which namespaces, as requirements (key, operator, values) in JSON. By their name and labels and not by labels of pods:
whoever makes pods could label past those. The own namespace is always out, so that the program's pods never wait for the
program.
*/}}
{{- define "ecr-pull-secrets.namespaceRequirements" -}}
{{- $names := list -}}
{{- range include "ecr-pull-secrets.notAdmittedNamespaces" . | fromJsonArray -}}
{{- if not (contains "*" .) -}}{{- $names = append $names . -}}{{- end -}}
{{- end -}}
{{- $requirements := list (dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" $names) -}}
{{- if eq .Values.namespaces.select "optIn" -}}
{{- $requirements = append $requirements (dict "key" .Values.namespaces.label "operator" "In" "values" (list "true")) -}}
{{- else -}}
{{- $requirements = append $requirements (dict "key" .Values.namespaces.label "operator" "NotIn" "values" (list "false")) -}}
{{- end -}}
{{- range $key, $value := (.Values.namespaces.selector).matchLabels -}}
{{- $requirements = append $requirements (dict "key" $key "operator" "In" "values" (list $value)) -}}
{{- end -}}
{{- concat $requirements ((.Values.namespaces.selector).matchExpressions | default list) | toJson -}}
{{- end -}}

{{/* The same as a label selector. */}}
{{- define "ecr-pull-secrets.namespaceSelector" -}}
matchExpressions:
  {{- include "ecr-pull-secrets.namespaceRequirements" . | fromJsonArray | toYaml | nindent 2 }}
{{- end -}}

{{/* PEM in base64, whichever of the two was given. */}}
{{- define "ecr-pull-secrets.caBundle" -}}
{{- $bundle := .Values.certificates.caBundle -}}
{{- if contains "-----BEGIN" $bundle }}{{ $bundle | b64enc }}{{ else }}{{ $bundle | nospace }}{{ end -}}
{{- end -}}
