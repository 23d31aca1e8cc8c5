{{- define "gate.name" -}}
{{ .Values.nameOverride | default .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "gate.selector" -}}
app.kubernetes.io/name: bulla-gate
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "gate.labels" -}}
{{ include "gate.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* The Secret with the certificate. */ -}}
{{- define "gate.tlsSecret" -}}
{{ .Values.certificates.secretName | default (printf "%s-tls" (include "gate.name" .)) }}
{{- end }}

{{- define "gate.policyMap" -}}
{{ .Values.policy.configMap | default (printf "%s-policy" (include "gate.name" .)) }}
{{- end }}

{{- define "gate.isSelfSigned" -}}
{{- if eq .Values.certificates.mode "selfSigned" }}true{{ end }}
{{- end }}
