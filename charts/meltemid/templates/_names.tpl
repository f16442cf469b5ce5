{{- /* Who is called how. Every name of this chart is made here. */}}

{{- define "meltemid.revision" -}}
{{- default "default" .Values.revision }}
{{- end }}

{{- /* "" for the default revision, "-REV" else. */}}
{{- define "meltemid.suffix" -}}
{{- if ne (include "meltemid.revision" .) "default" }}-{{ .Values.revision }}{{ end }}
{{- end }}

{{- /* Deployment, Service, ServiceAccount and what else bears the control plane's name. */}}
{{- define "meltemid.name" -}}
istiod{{ include "meltemid.suffix" . }}
{{- end }}

{{- define "meltemid.clusterRole" -}}
istiod-clusterrole{{ include "meltemid.suffix" . }}-{{ .Release.Namespace }}
{{- end }}

{{- define "meltemid.configMap" -}}
istio{{ include "meltemid.suffix" . }}
{{- end }}

{{- define "meltemid.cleanup" -}}
istiod-cleanup{{ include "meltemid.suffix" . }}
{{- end }}

{{- /* What replicas elect a leader with: Istio's names for work that both control planes do. */}}
{{- define "meltemid.locks" -}}
- istio-ip-autoallocate
- istio-leader
- istio-namespace-controller-election
- istio-status-leader
- meltemi-leader-{{ include "meltemid.revision" . }}
{{- end }}

{{- define "meltemid.selector" -}}
app: istiod
istio.io/rev: {{ include "meltemid.revision" . | quote }}
{{- end }}

{{- define "meltemid.labels" -}}
app: istiod
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/name: meltemi
app.kubernetes.io/part-of: meltemi
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
istio: {{ eq (include "meltemid.revision" .) "default" | ternary "pilot" "istiod" }}
istio.io/rev: {{ include "meltemid.revision" . | quote }}
release: {{ .Release.Name | quote }}
{{- end }}
