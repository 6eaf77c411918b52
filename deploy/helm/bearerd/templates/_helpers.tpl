{{/* The names of what the chart makes: the release's, with the chart's unless it has it already. */}}
{{- define "bearerd.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "bearerd.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "bearerd.labels" -}}
{{ include "bearerd.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "bearerd.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* What sidecar and shared proxy have in common. A user of its own, so that no process of the application can act as bearerd. */}}
{{- define "bearerd.container" -}}
name: bearerd
image: {{ include "bearerd.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: ["run", "--config", "/etc/bearerd/bearerd.toml"]
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities:
    drop: ["ALL"]
  seccompProfile:
    type: RuntimeDefault
resources: {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - name: bearerd-config
    mountPath: /etc/bearerd
    readOnly: true
  - name: bearerd-secrets
    mountPath: /run/secrets/bearerd
    readOnly: true
{{- end -}}

{{/* For initContainers: a native sidecar. It listens on the pod's loopback, port 8080. */}}
{{- define "bearerd.sidecar" -}}
- {{- include "bearerd.container" . | nindent 2 }}
  restartPolicy: Always
  {{- with .Values.extraEnv }}
  env: {{- toYaml . | nindent 4 }}
  {{- end }}
  # The application starts when this succeeds: listening, and the first token request settled either way.
  startupProbe:
    exec:
      command: ["/bearerd", "healthcheck", "--started"]
    periodSeconds: 1
    timeoutSeconds: 3
    failureThreshold: 60
  readinessProbe:
    exec:
      command: ["/bearerd", "healthcheck", "--ready"]
    periodSeconds: 5
    timeoutSeconds: 3
  livenessProbe:
    exec:
      command: ["/bearerd", "healthcheck", "--live"]
    periodSeconds: 20
    timeoutSeconds: 5
{{- end -}}

{{/* For volumes, beside the sidecar. */}}
{{- define "bearerd.volumes" -}}
- name: bearerd-config
  configMap:
    name: {{ include "bearerd.fullname" . }}
- name: bearerd-secrets
  secret:
    secretName: {{ .Values.secretName }}
    # In this container alone, whose only user is bearerd: no fsGroup of the pod is needed.
    defaultMode: 0444
{{- end -}}

{{/* For the pod's securityContext, if it has none: bearerd needs nothing of it, the restricted profile does. */}}
{{- define "bearerd.podSecurityContext" -}}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "bearerd.terminationGracePeriodSeconds" -}}
{{ .Values.terminationGracePeriodSeconds }}
{{- end -}}
