package kubernetes_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

const patience = time.Minute

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m).Run()) }

// deployment changes pods as the controllers of a cluster do.
type deployment struct {
	t      *testing.T
	node   *node
	spec   *corev1.PodSpec
	surge  int
	budget int // how many pods may be missing
	want   int
	ending sync.WaitGroup
}

// startReady starts a pod and waits until it is ready.
func (d *deployment) startReady(binary string) *process {
	d.t.Helper()
	p := d.node.start(binary, d.spec)
	require.Eventually(d.t, p.ready.Load, patience, 20*time.Millisecond, "%s is ready", p.name)
	return p
}

func (d *deployment) available() (pods []*process) {
	for _, p := range d.node.list() {
		if p.ready.Load() && !p.terminating.Load() {
			pods = append(pods, p)
		}
	}
	return pods
}

// scaleTo adds pods.
func (d *deployment) scaleTo(n int, binary string) {
	d.t.Helper()
	d.want = n
	var all sync.WaitGroup
	for range n - len(d.available()) {
		all.Go(func() { d.startReady(binary) })
	}
	all.Wait()
}

// update replaces all pods, as many at a time as maxSurge allows: a new one is ready before an old one goes.
func (d *deployment) update(binary string) {
	d.t.Helper()
	old := d.available()
	for len(old) > 0 {
		n := min(d.surge, len(old))
		for range n {
			d.startReady(binary)
		}
		for _, p := range old[:n] {
			d.ending.Go(p.terminate)
		}
		old = old[n:]
	}
	d.ending.Wait()
}

// evict asks for the end of a pod, as a drain of a node does. The budget may refuse.
func (d *deployment) evict(p *process, binary string) (allowed bool) {
	d.t.Helper()
	if len(d.available())-1 < d.want-d.budget {
		return false
	}
	d.ending.Go(p.terminate)
	require.Eventually(d.t, p.terminating.Load, patience, time.Millisecond)
	d.ending.Go(func() { d.startReady(binary) })
	return true
}

// build builds the application, of this tree or of another one.
func build(t *testing.T, tree, name string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	c := exec.CommandContext(t.Context(), "go", "build", "-C", filepath.Join(tree, "examples/notes"), "-o", out, ".")
	c.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
	text, err := c.CombinedOutput()
	require.NoError(t, err, "%s", text)
	return out
}

// buildPrevious builds the newest commit that is not this one and has the application. A clone without history has none:
// then the update is from this version to itself, and the result says so.
func buildPrevious(t *testing.T) (binary, version string) {
	t.Helper()

	git := func(args ...string) (string, error) {
		c := exec.CommandContext(t.Context(), "git", append([]string{"-c", "safe.directory=*", "-C", "../.."}, args...)...)
		out, err := c.Output()
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("rev-parse", "HEAD~1")
	if err == nil {
		_, err = git("cat-file", "-e", commit+":examples/notes/main.go")
	}

	if err != nil {
		t.Log("WARNING: no previous commit with the application; updating from this version to itself")
		return build(t, "../..", "previous"), "none"
	}

	tree := t.TempDir()
	archive := filepath.Join(tree, "tree.tar")
	_, err = git("archive", "--output="+archive, commit)
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), "tar", "-C", tree, "-xf", archive).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return build(t, tree, "previous"), commit[:12]
}

// peakMemory is the most that a process has had in memory, in MiB.
func peakMemory(t *testing.T, pid int) (mib int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "VmHWM:")
	require.True(t, found)
	_, err = fmt.Sscan(rest, &mib)
	require.NoError(t, err)
	return mib >> 10
}

// TestRollout runs the rendered Deployment without a cluster: processes from its spec, probed as a kubelet does, behind an
// address that follows readiness, under load. Planned changes fail no request and lose no session, and no read is older than
// the bound, not even when a pod is killed.
func TestRollout(t *testing.T) {
	m := render(t, "overlays/production")
	spec := get[*appsv1.Deployment](t, m, "Deployment/notes").Spec
	scaler := get[*autoscalingv2.HorizontalPodAutoscaler](t, m, "HorizontalPodAutoscaler/notes")
	budget := get[*policyv1.PodDisruptionBudget](t, m, "PodDisruptionBudget/notes")
	dsn := pgtest.New(t, nil).DSN
	n := newNode(t, m, map[string]map[string]string{
		"notes-database": {"url": dsn, "listen-url": dsn, "owner-url": dsn},
		"notes-secrets":  {"seal-key": "the same in all pods", "admin-token": "sixteen characters or more"},
	})
	this := build(t, "../..", "notes")
	previous, version := buildPrevious(t)

	// Schema first, then code: this version's migration, while the previous one's pods go on.
	job := get[*batchv1.Job](t, m, "Job/notes-migrate").Spec.Template.Spec
	n.job(previous, &job)
	d := &deployment{
		t: t, node: n, spec: &spec.Template.Spec,
		surge: spec.Strategy.RollingUpdate.MaxSurge.IntValue(), budget: budget.Spec.MaxUnavailable.IntValue(),
	}
	d.scaleTo(int(*scaler.Spec.MinReplicas), previous)
	f := newFront(t, n, spec.Template.Spec.Containers[0].Ports[0].ContainerPort)
	f.serves(t, d.want)

	l := &load{front: f}
	l.planned.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var users sync.WaitGroup
	for i := range 8 {
		u := newUser(t, l, i)
		users.Go(func() { u.run(ctx) })
	}

	step := func(what string, do func()) {
		t.Helper()
		before, begin := l.requests.Load(), time.Now()
		do()
		t.Logf("%-28s %5.1f s, %d requests, %d failed", what, time.Since(begin).Seconds(), l.requests.Load()-before, l.failed.Load())
	}
	step("migration by the new version", func() { n.job(this, &job) })
	step("update from "+version, func() { d.update(this) })
	step("scale up", func() { d.scaleTo(d.want+1, this) })
	step("eviction", func() {
		pods := d.available()
		require.True(t, d.evict(pods[0], this))
		require.False(t, d.evict(pods[1], this), "the budget refuses a second one")
		d.ending.Wait()
		require.Len(t, d.available(), d.want)
	})
	step("loss of a node", func() {
		l.planned.Store(false)
		lost := d.available()[0]
		require.NoError(t, lost.cmd.Process.Kill())
		<-lost.exit
		d.startReady(this)
		f.serves(t, d.want)
		time.Sleep(100 * time.Millisecond) // for requests that are under way
		l.planned.Store(true)
	})

	memory := int64(0)
	for _, p := range d.available() {
		memory = max(memory, peakMemory(t, p.cmd.Process.Pid))
	}
	cancel()
	users.Wait()
	for _, example := range l.examples {
		t.Log(example)
	}
	for name, value := range map[string]int64{
		"failed_requests": l.failed.Load(), "sessions_lost": l.lost.Load(), "stale_reads": l.stale.Load(), "requests": l.requests.Load(),
		"writes": l.writes.Load(), "requests_of_lost_node": l.accident.Load(),
		"pod_peak_mib": memory,
	} {
		fmt.Printf("RESULT rollout.%s %d\n", name, value)
	}
	require.Empty(t, n.killed, "no probe has failed and no grace was too short")
	require.Zero(t, l.failed.Load())
	require.Zero(t, l.lost.Load())
	require.Zero(t, l.stale.Load())
	require.Greater(t, l.requests.Load(), int64(500))
	require.Positive(t, l.writes.Load())
}
