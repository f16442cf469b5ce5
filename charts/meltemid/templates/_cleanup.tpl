{{- define "meltemid.cleanup.metadata" -}}
name: {{ include "meltemid.cleanup" . }}
labels:
  {{- omit (include "meltemid.labels" . | fromYaml) "app" "istio" | toYaml | nindent 2 }}
  app: istiod-cleanup
annotations:
  helm.sh/hook: pre-delete
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
