{{/*
Refuses names of values in other charts and in earlier versions of this chart (files/known-names.yaml), and says the right ones.
All other unknown names are refused by the schema, except in `global`, which a parent chart and other charts use too. A value that
is null is not set.
*/}}
{{- define "ecr-pull-secrets.refuseKnownNames" -}}
{{- $found := dict -}}
{{- range $path, $answer := .Files.Get "files/known-names.yaml" | fromYaml -}}
{{- $value := $.Values -}}
{{- $exists := true -}}
{{- range $key := splitList "." $path -}}
{{- if and $exists (kindIs "map" $value) (hasKey $value $key) -}}
{{- $value = get $value $key -}}
{{- else -}}
{{- $exists = false -}}
{{- end -}}
{{- end -}}
{{- $forOthers := and (hasPrefix "global." $path) (not $.Chart.IsRoot) -}}
{{- if and $exists (not $forOthers) (not (kindIs "invalid" $value)) -}}{{- $_ := set $found $path (regexMatch "[.]$" $answer | ternary $answer (printf "did you mean %s?" $answer)) -}}{{- end -}}
{{- end -}}
{{- if kindIs "string" .Values.aws.credentials.rolesAnywhere.image -}}
{{- $_ := set $found "aws.credentials.rolesAnywhere.image" "did you mean aws.credentials.rolesAnywhere.image.repository and .tag?" -}}
{{- end -}}
{{- if .Chart.IsRoot -}}
{{- range $key := keys (.Values.global | default dict) -}}
{{- $known := false -}}
{{- range keys $found -}}{{- if hasPrefix (printf "global.%s" $key) . -}}{{- $known = true -}}{{- end -}}{{- end -}}
{{- if not (or $known (has $key (list "imageRegistry" "imagePullSecrets"))) -}}
{{- $_ := set $found (printf "global.%s" $key) "The chart reads only global.imageRegistry and global.imagePullSecrets." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $lines := list -}}
{{- range $path := keys $found | sortAlpha -}}
{{- /* A path that continues another one has the better answer. */ -}}
{{- $continued := false -}}
{{- range keys $found -}}{{- if hasPrefix (printf "%s." $path) . -}}{{- $continued = true -}}{{- end -}}{{- end -}}
{{- if not $continued -}}{{- $lines = append $lines (printf "  %s: %s" $path (get $found $path)) -}}{{- end -}}
{{- end -}}
{{- if $lines -}}
{{- fail (printf "this chart does not have these values:\n%s" (join "\n" $lines)) -}}
{{- end -}}
{{- end -}}
