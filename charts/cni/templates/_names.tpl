{{- /* Puts `cni` over the top of .Values, in place; doing so twice changes nothing. Every template
starts with it. */}}
{{- define "cni.merge" -}}
{{- $_ := mergeOverwrite .Values (deepCopy (default dict .Values.cni)) }}
{{- end }}

{{- /* ServiceAccount and roles. */}}
{{- define "cni.name" -}}
istio-cni
{{- end }}

{{- /* The DaemonSet. The plugin knows its pods by it. */}}
{{- define "cni.node" -}}
istio-cni-node
{{- end }}

{{- define "cni.image" -}}
{{- $v := .Values }}
{{- if contains "/" $v.image -}}
{{ $v.image }}
{{- else -}}
{{- $tag := $v.tag | default $v.global.tag | default .Chart.AppVersion | toString }}
{{- $variant := $v.variant | default $v.global.variant }}
{{- $v.hub | default $v.global.hub }}/{{ $v.image }}:{{ $tag }}{{ with $variant }}-{{ . }}{{ end }}
{{- end }}
{{- end }}

{{- define "cni.level" -}}
{{- $level := .Values.logging.level }}
{{- eq $level "none" | ternary "off" $level }}
{{- end }}

{{- define "cni.selector" -}}
k8s-app: {{ include "cni.node" . }}
{{- end }}

{{- define "cni.labels" -}}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/name: meltemi
app.kubernetes.io/part-of: meltemi
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
k8s-app: {{ include "cni.node" . }}
release: {{ .Release.Name | quote }}
{{- end }}
