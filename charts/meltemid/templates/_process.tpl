{{- /* Image, log level and mesh configuration of the process. */}}

{{- /* Puts `pilot` over the top of .Values, in place; doing so twice changes nothing. Every template
starts with it. */}}
{{- define "meltemid.merge" -}}
{{- $_ := mergeOverwrite .Values (deepCopy (default dict .Values.pilot)) }}
{{- end }}

{{- define "meltemid.image" -}}
{{- $v := .Values }}
{{- if contains "/" $v.image -}}
{{ $v.image }}
{{- else -}}
{{- $tag := $v.tag | default $v.global.tag | default .Chart.AppVersion | toString }}
{{- $variant := $v.variant | default $v.global.variant }}
{{- $v.hub | default $v.global.hub }}/{{ $v.image }}:{{ $tag }}{{ with $variant }}-{{ . }}{{ end }}
{{- end }}
{{- end }}

{{- /* `default:LEVEL` among scopes, or a filter of our own. */}}
{{- define "meltemid.logLevel" -}}
{{- $level := .Values.global.logging.level }}
{{- if contains ":" $level }}
{{- $found := "" }}
{{- range splitList "," $level }}
{{- if hasPrefix "default:" . }}{{ $found = trimPrefix "default:" . }}{{ end }}
{{- end }}
{{- get (dict "none" "off" "fatal" "error" "error" "error" "warn" "warn" "debug" "debug" "trace" "trace") $found | default "info" }}
{{- else }}
{{- $level }}
{{- end }}
{{- end }}

{{- define "meltemid.clusterID" -}}
{{- .Values.global.multiCluster.clusterName | default "Kubernetes" }}
{{- end }}

{{- /* The least number of replicas. */}}
{{- define "meltemid.replicas" -}}
{{- $scaled := and .Values.autoscaleEnabled .Values.autoscaleMin .Values.autoscaleMax }}
{{- int (ternary .Values.autoscaleMin .Values.replicaCount (not (empty $scaled))) }}
{{- end }}

{{- /* MeshConfig: what this installation is, under what the user says. */}}
{{- define "meltemid.mesh" -}}
{{- $address := printf "%s.%s.svc:15012" (include "meltemid.name" .) .Release.Namespace }}
{{- $proxy := dict "discoveryAddress" $address }}
{{- with .Values.global.meshID }}{{ $_ := set $proxy "meshId" . }}{{ end }}
{{- $mesh := dict
  "defaultConfig" $proxy
  "defaultProviders" (dict "metrics" (list "prometheus"))
  "rootNamespace" .Release.Namespace
  "trustDomain" "cluster.local" }}
{{- mergeOverwrite $mesh (deepCopy .Values.meshConfig) | toYaml }}
{{- end }}
