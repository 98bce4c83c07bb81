package kubernetes_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// manifest is what an overlay renders, decoded strictly.
type manifest struct {
	objects map[string]any // by kind/name
}

// serviceMonitor and prometheusRule are those fields of the Prometheus operator's types that the manifests use.
type serviceMonitor struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   any    `json:"metadata"`
	Spec       struct {
		Selector  any `json:"selector"`
		Endpoints []struct {
			Port, Path, Interval string
		} `json:"endpoints"`
	} `json:"spec"`
}

type prometheusRule struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   any    `json:"metadata"`
	Spec       struct {
		Groups any `json:"groups"`
	} `json:"spec"`
}

var kinds = map[string]func() any{
	"Namespace":               func() any { return &corev1.Namespace{} },
	"Service":                 func() any { return &corev1.Service{} },
	"ServiceAccount":          func() any { return &corev1.ServiceAccount{} },
	"ConfigMap":               func() any { return &corev1.ConfigMap{} },
	"Secret":                  func() any { return &corev1.Secret{} },
	"Deployment":              func() any { return &appsv1.Deployment{} },
	"StatefulSet":             func() any { return &appsv1.StatefulSet{} },
	"Job":                     func() any { return &batchv1.Job{} },
	"PodDisruptionBudget":     func() any { return &policyv1.PodDisruptionBudget{} },
	"HorizontalPodAutoscaler": func() any { return &autoscalingv2.HorizontalPodAutoscaler{} },
	"NetworkPolicy":           func() any { return &networkingv1.NetworkPolicy{} },
	"ServiceMonitor":          func() any { return &serviceMonitor{} },
	"PrometheusRule":          func() any { return &prometheusRule{} },
}

// render is kustomize build, and decodes every object into its API type: an unknown field is an error.
func render(t *testing.T, folder string) manifest {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	require.NoError(t, err)

	m := manifest{map[string]any{}}
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		require.NoError(t, err)
		make, known := kinds[r.GetKind()]
		require.True(t, known, "%s has no type here", r.GetKind())
		object := make()
		require.NoError(t, yaml.UnmarshalStrict(text, object), "%s", text)
		m.objects[r.GetKind()+"/"+r.GetName()] = object
	}

	return m
}

func get[T any](t *testing.T, m manifest, name string) T {
	t.Helper()
	object, ok := m.objects[name].(T)
	require.True(t, ok, "%s is rendered", name)
	return object
}

// withRedis is the production overlay with the optional component.
func withRedis(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp(".", "tmp-redis-") //nolint:usetesting // kustomize reads what lies below the overlay
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../overlays/production]\ncomponents: [../components/redis]\n"
	require.NoError(t, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600))
	return folder
}

// TestManifests renders every overlay and holds it against what a pod of this kind has to have.
func TestManifests(t *testing.T) {
	for _, overlay := range []string{"base", "overlays/development", "overlays/production", withRedis(t)} {
		t.Run(overlay, func(t *testing.T) {
			m := render(t, overlay)
			d := get[*appsv1.Deployment](t, m, "Deployment/notes")
			require.Zero(t, d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue())
			pod := d.Spec.Template.Spec
			require.True(t, *pod.SecurityContext.RunAsNonRoot)
			c := pod.Containers[0]
			require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
			require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
			require.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
			require.NotEmpty(t, c.Resources.Requests)
			for _, probe := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
				require.NotNil(t, probe)
			}
			require.Equal(t, "/_status/livez", c.LivenessProbe.HTTPGet.Path, "liveness needs no database")

			// Whatever is referred to is rendered, or made beside it.
			secrets := map[string]bool{"notes-database": true, "notes-secrets": true, "notes-redis": true}
			for _, e := range c.Env {
				if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
					name := e.ValueFrom.SecretKeyRef.Name
					require.True(t, secrets[name] || m.objects["Secret/"+name] != nil, name)
				}
			}
			for _, from := range c.EnvFrom {
				require.Contains(t, m.objects, "ConfigMap/"+from.ConfigMapRef.Name)
			}
			s := get[*corev1.Service](t, m, "Service/notes")
			for key, value := range s.Spec.Selector {
				require.Equal(t, value, d.Spec.Template.Labels[key], "the service finds the pods")
			}
			b := get[*policyv1.PodDisruptionBudget](t, m, "PodDisruptionBudget/notes")
			require.Equal(t, d.Spec.Selector.MatchLabels, b.Spec.Selector.MatchLabels)
			grace := c.Lifecycle.PreStop.Sleep.Seconds
			require.Greater(t, *pod.TerminationGracePeriodSeconds, grace+3+20, "preStop, drain and shutdown fit in")
		})
	}
}

// TestOverlays: what each is for.
func TestOverlays(t *testing.T) {
	development := render(t, "overlays/development")
	require.EqualValues(t, 3, *get[*appsv1.Deployment](t, development, "Deployment/notes").Spec.Replicas)
	get[*appsv1.StatefulSet](t, development, "StatefulSet/postgres")

	production := render(t, "overlays/production")
	require.Nil(t, get[*appsv1.Deployment](t, production, "Deployment/notes").Spec.Replicas, "the autoscaler's")
	scaler := get[*autoscalingv2.HorizontalPodAutoscaler](t, production, "HorizontalPodAutoscaler/notes")
	require.Len(t, scaler.Spec.Metrics, 2)
	get[*networkingv1.NetworkPolicy](t, production, "NetworkPolicy/default-deny")
	get[*batchv1.Job](t, production, "Job/notes-migrate")
	for name := range production.objects {
		require.False(t, strings.HasPrefix(name, "Secret/"), "no secret in the repository: %s", name)
	}
	rules := get[*prometheusRule](t, production, "PrometheusRule/notes")
	text, err := os.ReadFile("../monitoring/alerts.yml")
	require.NoError(t, err)
	var alerts struct {
		Groups any `json:"groups"`
	}
	require.NoError(t, yaml.UnmarshalStrict(text, &alerts))
	require.Equal(t, alerts.Groups, rules.Spec.Groups, "the alerts that are tested")
}

// TestStrict: the checks themselves can fail.
func TestStrict(t *testing.T) {
	require.Error(t, yaml.UnmarshalStrict([]byte("spec: {replicaz: 3}"), &appsv1.Deployment{}))
}
