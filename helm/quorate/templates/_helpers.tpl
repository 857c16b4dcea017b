{{/* SPDX-License-Identifier: Apache-2.0 */}}
{{- define "quorate.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "quorate.selector" -}}
app.kubernetes.io/name: quorate-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "quorate.labels" -}}
{{ include "quorate.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "quorate.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "quorate.name" .) "default" .Values.serviceAccount.create) }}
{{- end -}}

{{/* The watched namespaces, comma-separated; empty when cluster-wide. */}}
{{- define "quorate.namespaces" -}}
{{- if not .Values.clusterWide -}}
{{ .Values.watchNamespaces | default (list .Release.Namespace) | join "," }}
{{- end -}}
{{- end -}}

{{- define "quorate.subject" -}}
- kind: ServiceAccount
  name: {{ include "quorate.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
