package kubernetes_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

// process is a pod of the rendered Deployment: a process with an address of its own, started and probed as a kubelet does.
type process struct {
	node  *node
	name  string
	ip    string
	spec  *corev1.PodSpec
	cmd   *exec.Cmd
	exit  chan struct{}
	stop  context.CancelFunc // ends the probes
	probe context.Context

	started     atomic.Bool
	ready       atomic.Bool
	terminating atomic.Bool
}

// node starts processes.
type node struct {
	t       *testing.T
	objects manifest
	secrets map[string]map[string]string // made beside the manifests
	client  *http.Client

	mu     sync.Mutex
	pods   []*process
	number int
	killed []string // by the kubelet: never in a planned change
}

func newNode(t *testing.T, m manifest, secrets map[string]map[string]string) *node {
	t.Helper()
	n := &node{t: t, objects: m, secrets: secrets, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	t.Cleanup(func() {
		for _, p := range n.list() {
			p.stop()
			_ = p.cmd.Process.Kill()
			<-p.exit
		}
	})
	return n
}

// list returns the pods that have not ended.
func (n *node) list() []*process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]*process(nil), n.pods...)
}

var reference = regexp.MustCompile(`\$\(([A-Z_]+)\)`)

// environment is what a kubelet gives to a container: envFrom first, then env, with references to earlier variables.
func (n *node) environment(c *corev1.Container, name, ip string) []string {
	n.t.Helper()
	values := map[string]string{}
	for _, from := range c.EnvFrom {
		settings, ok := n.objects.objects["ConfigMap/"+from.ConfigMapRef.Name].(*corev1.ConfigMap)
		require.True(n.t, ok)
		for key, value := range settings.Data {
			values[key] = value
		}
	}

	for _, e := range c.Env {
		value := reference.ReplaceAllStringFunc(e.Value, func(r string) string { return values[r[2:len(r)-1]] })
		switch from := e.ValueFrom; {
		case from == nil:
		case from.FieldRef != nil:
			value = map[string]string{"status.podIP": ip, "metadata.name": name}[from.FieldRef.FieldPath]
		case from.SecretKeyRef != nil:
			var ok bool
			value, ok = n.secrets[from.SecretKeyRef.Name][from.SecretKeyRef.Key]
			optional := from.SecretKeyRef.Optional != nil && *from.SecretKeyRef.Optional
			require.True(n.t, ok || optional, "secret %s has %s", from.SecretKeyRef.Name, from.SecretKeyRef.Key)
		}

		values[e.Name] = value
	}

	env := []string{"PATH=" + os.Getenv("PATH")}
	for key, value := range values {
		env = append(env, key+"="+value)
	}

	return env
}

// job runs a pod to its end.
func (n *node) job(binary string, spec *corev1.PodSpec) {
	n.t.Helper()
	c := &spec.Containers[0]
	cmd := exec.CommandContext(n.t.Context(), binary, c.Args...)
	cmd.Env = n.environment(c, "job", "127.0.0.1")
	out, err := cmd.CombinedOutput()
	require.NoError(n.t, err, "%s", out)
}

// start starts a pod. Its address is its own, so that all pods listen on the port of the manifest.
func (n *node) start(binary string, spec *corev1.PodSpec) *process {
	n.t.Helper()
	n.mu.Lock()
	n.number++
	number := n.number
	n.mu.Unlock()

	p := &process{node: n, name: fmt.Sprintf("notes-%d", number), ip: fmt.Sprintf("127.77.0.%d", number), spec: spec, exit: make(chan struct{})}
	c := &spec.Containers[0]
	p.cmd = exec.Command(binary, c.Args...) //nolint:noctx // it is ended as a kubelet does
	p.cmd.Env = n.environment(c, p.name, p.ip)
	p.cmd.Stderr = n.t.Output()
	require.NoError(n.t, p.cmd.Start())
	p.probe, p.stop = context.WithCancel(context.Background())
	n.mu.Lock()
	n.pods = append(n.pods, p)
	n.mu.Unlock()

	go func() {
		_ = p.cmd.Wait()
		p.ready.Store(false)
		p.stop()
		n.mu.Lock()
		for i, other := range n.pods {
			if other == p {
				n.pods = append(n.pods[:i:i], n.pods[i+1:]...)
				break
			}
		}
		n.mu.Unlock()
		close(p.exit)
	}()
	go p.runProbes(c)
	return p
}

// runProbes begins with the start-up probe; then liveness and readiness go on side by side.
func (p *process) runProbes(c *corev1.Container) {
	p.repeat(c, c.StartupProbe, func(ok bool, failures int32) bool {
		if failures >= c.StartupProbe.FailureThreshold {
			p.kill("did not start")
		}
		p.started.Store(ok)
		return ok
	})

	if !p.started.Load() {
		return
	}

	var both sync.WaitGroup
	both.Go(func() {
		p.repeat(c, c.ReadinessProbe, func(ok bool, failures int32) bool {
			if ok || failures >= c.ReadinessProbe.FailureThreshold {
				p.ready.Store(ok)
			}
			return false
		})
	})

	both.Go(func() {
		p.repeat(c, c.LivenessProbe, func(_ bool, failures int32) bool {
			if failures >= c.LivenessProbe.FailureThreshold {
				p.kill("not live")
				return true
			}
			return false
		})
	})

	both.Wait()
}

// repeat probes once per period until done returns true.
func (p *process) repeat(c *corev1.Container, probe *corev1.Probe, done func(ok bool, failures int32) bool) {
	port := probe.HTTPGet.Port.IntValue()
	for _, named := range c.Ports {
		if named.Name == probe.HTTPGet.Port.StrVal {
			port = int(named.ContainerPort)
		}
	}

	url := fmt.Sprintf("http://%s:%d%s", p.ip, port, probe.HTTPGet.Path)
	var failures int32
	for {
		ctx, cancel := context.WithTimeout(p.probe, time.Duration(max(probe.TimeoutSeconds, 1))*time.Second)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		ok := false
		if err == nil {
			if response, err := p.node.client.Do(r); err == nil {
				ok = response.StatusCode >= 200 && response.StatusCode < 400
				_ = response.Body.Close()
			}
		}

		cancel()

		if failures++; ok {
			failures = 0
		}
		if p.probe.Err() != nil || done(ok, failures) {
			return
		}

		select {
		case <-p.probe.Done():
			return
		case <-time.After(time.Duration(max(probe.PeriodSeconds, 1)) * time.Second):
		}
	}
}

// kill is what a kubelet does to a container whose probe fails.
func (p *process) kill(why string) {
	p.node.mu.Lock()
	p.node.killed = append(p.node.killed, p.name+" "+why)
	p.node.mu.Unlock()
	_ = p.cmd.Process.Kill()
}

// terminate ends a pod as an eviction or an update does: the pod leaves the service, preStop runs, SIGTERM, and SIGKILL
// when the grace is over. It returns when the process has ended.
func (p *process) terminate() {
	p.terminating.Store(true)
	begin := time.Now()
	c := &p.spec.Containers[0]
	if c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
		time.Sleep(time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second)
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exit:
	case <-time.After(time.Duration(*p.spec.TerminationGracePeriodSeconds)*time.Second - time.Since(begin)):
		p.kill("outlived its grace")
		<-p.exit
	}
}
