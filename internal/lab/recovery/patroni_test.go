package recovery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

// idleTimeout is HAProxy's, for clients and servers, and idleFor how long the pods' application does nothing.
const (
	idleTimeout = 10 * time.Second
	idleFor     = 32 * time.Second
)

// TestPatroni: a cluster of two servers that Patroni manages, with HAProxy in front. Two of three pods go through HAProxy,
// one names both servers in its DSN. First nothing is asked of the pods for longer than HAProxy keeps an idle connection,
// then comes a switchover, and then the primary is killed, with its Patroni.
func TestPatroni(t *testing.T) {
	asked(t)
	c := startPatroni(t)
	proxy := c.startProxy(t)
	migrate(t, proxy)

	n := 0
	w := newWorld(t, func(name string) *pod {
		dsn := proxy
		if n++; n%3 == 0 {
			dsn = c.dsn()
		}
		return startPod(t, name, dsn, nil, guards{})
	})

	idle(t, w, proxy)
	switchover(t, w, c)
	failover(t, w, c)
}

// idle leaves the pods alone for longer than HAProxy keeps an idle connection: nothing is reset and no lease is lost.
func idle(t *testing.T, w *world, proxy string) {
	t.Helper()
	ctx := t.Context()
	w.work()
	w.revoke()
	require.NoError(t, w.before.Release(ctx))
	w.note()

	// It is renewed less often than HAProxy allows: the connection that renews is cut in between.
	seldom, err := w.pods[0].locks.With(lock.Options{TTL: 45 * time.Second})
	require.NoError(t, err)
	lease, err := seldom.TryAcquire(ctx, "held while idle")
	require.NoError(t, err)
	plain, err := pgx.Connect(ctx, proxy)
	require.NoError(t, err)

	resets, reconnects := w.counts()
	sleep(ctx, idleFor)
	_, err = plain.Exec(ctx, "SELECT 1")
	require.Error(t, err, "HAProxy cut a connection that nothing was sent on")
	_ = plain.Close(ctx)

	require.NoError(t, lease.Err())
	require.NoError(t, w.guard(lease))
	require.NoError(t, lease.Release(ctx))
	w.eventually(w.allLive, "all pods in sync")
	resetsAfter, reconnectsAfter := w.counts()
	require.Equal(t, resets, resetsAfter, "nothing was reset")
	for _, p := range w.pods {
		require.Equal(t, w.known[p.name], p.bus.Stats().Epoch)
	}

	stop := w.reading()
	defer stop()
	w.delivered("idle")
	for _, p := range w.pods {
		w.take(p)
	}
	w.write()
	w.restOfReads()
	stop()
	w.conclude("haproxy idle", fmt.Sprintf("%v of nothing with a time-out of %v: a plain connection was cut, %d reconnects of the buses, no reset, a lease of 45s kept",
		idleFor, idleTimeout, reconnectsAfter-reconnects), stale, back, refused, went, missing)
}

// counts are the resets and the reconnects of all pods.
func (w *world) counts() (resets, reconnects int64) {
	for _, p := range w.pods {
		s := p.bus.Stats()
		resets, reconnects = resets+s.Resets, reconnects+s.Reconnects
	}
	return resets, reconnects
}

// switchover has Patroni make the replica the primary, in order, under writers. No commit is undone.
func switchover(t *testing.T, w *world, c *patroni) {
	t.Helper()
	from, to := c.primary(t), c.replica(t)
	w.before = w.hold("held before")
	w.note()
	stop, halt := w.reading(), w.writers()
	defer stop()
	defer halt()

	body := fmt.Sprintf(`{"leader": %q, "candidate": %q}`, from.name, to.name)
	at := time.Now()
	answer := c.post(t, from, "/switchover", body)
	w.eventually(func() bool { return to.is("primary") }, "%s is the primary: %s", to.name, answer)
	w.settled()
	took := time.Since(at)
	halt()

	lost := w.truth(to.dsn(), at)
	w.ledger.look(undone, lost != 0, "%d keys lost commits that were answered", lost)
	w.leases(w.after("switchover"))
	w.restOfReads()
	stop()
	w.conclude("patroni switchover, two pods through haproxy", fmt.Sprintf("%s to %s, all pods in sync after %v, no commit undone", from.name, to.name, took.Round(100*time.Millisecond)),
		slices.DeleteFunc(slices.Clone(allKinds), func(k kind) bool { return k == kept })...)
}

// failover kills the primary and its Patroni. What the replica has not received is lost.
func failover(t *testing.T, w *world, c *patroni) {
	t.Helper()
	from, to := c.primary(t), c.replica(t)
	w.revoked = nil // others than in the switchover
	w.work()
	w.revoke()
	w.eventually(func() bool {
		return queryOn[bool](t, from.dsn(), "SELECT coalesce(bool_and(replay_lsn >= pg_current_wal_lsn()), false) FROM pg_stat_replication")
	}, "replicated: the recovery point")
	w.beyond()
	w.note()
	stop, halt := w.reading(), w.writers()
	defer stop()
	defer halt()
	sleep(t.Context(), time.Second)

	require.NoError(t, from.process.Kill())
	require.NoError(t, pgtest.KillServerIn(t.Context(), from.data))
	at := time.Now()
	w.eventually(func() bool { return to.is("primary") }, "%s is the primary", to.name)
	w.settled()
	took := time.Since(at)
	halt()

	keys := w.truth(to.dsn(), at)
	fresh := w.after("failover")
	sessions := w.fate(fresh, at)
	w.leases(fresh)
	w.restOfReads()
	stop()
	w.conclude("patroni failover, two pods through haproxy", fmt.Sprintf("SIGKILL of %s and its Patroni, all pods in sync after %v, %d keys and %d sessions lost",
		from.name, took.Round(100*time.Millisecond), keys, sessions), everyKind...)
}

// writers write all keys by chance until the returned function is called. A write that fails may have happened.
func (w *world) writers() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	pods := slices.Clone(w.pods)
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			w.writing.Lock()
			key, n := w.keys[rand.N(len(w.keys))], w.last.Add(1)
			bounded, done := context.WithTimeout(ctx, 2*time.Second)
			if pods[rand.N(len(pods))].write(bounded, key, n) == nil {
				w.ledger.committed(key, n, time.Now())
			}
			done()
			w.writing.Unlock()
			sleep(ctx, 20*time.Millisecond)
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// patroni is a cluster.
type patroni struct {
	etcd  int // its port
	nodes []*node
}

// node is a server with its Patroni.
type node struct {
	name       string
	process    *pgtest.Process
	data       string
	port, rest int
}

func program(t *testing.T, name, debian string) string {
	t.Helper()
	for _, path := range []string{name, filepath.Join("/usr/sbin", name)} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	pgtest.Missing(t, "%s is not on this machine (Debian: apt-get install %s)", name, debian)
	return ""
}

func newProcess(t *testing.T) *pgtest.Process {
	t.Helper()
	p, err := pgtest.NewProcess()
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", p.Log())
		}
		require.NoError(t, p.Close())
	})
	return p
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := pgtest.FreePort()
	require.NoError(t, err)
	return port
}

// startPatroni starts etcd, a primary and a replica.
func startPatroni(t *testing.T) *patroni {
	t.Helper()
	c := &patroni{etcd: freePort(t)}
	manager := program(t, "patroni", "patroni")
	etcd := newProcess(t)
	client, peer := fmt.Sprint("http://127.0.0.1:", c.etcd), fmt.Sprint("http://127.0.0.1:", freePort(t))
	require.NoError(t, etcd.Start(program(t, "etcd", "etcd-server"), "--name", "recovery", "--data-dir", filepath.Join(etcd.Dir(), "data"),
		"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer, "--initial-cluster", "recovery="+peer))
	require.Eventually(t, func() bool { return status(client+"/health") == http.StatusOK }, patience, 20*time.Millisecond, "etcd")

	for i, name := range []string{"alpha", "beta"} {
		n := &node{name: name, process: newProcess(t), port: freePort(t), rest: freePort(t)}
		n.data = filepath.Join(n.process.Dir(), "data")
		config, err := n.process.WriteFile("patroni.yml", n.config(t, c.etcd))
		require.NoError(t, err)
		require.NoError(t, n.process.Start(manager, config))
		role := []string{"primary", "replica"}[i]
		require.Eventually(t, func() bool { return n.is(role) }, patience, 50*time.Millisecond, "%s: %s", name, role)
		c.nodes = append(c.nodes, n)
	}
	return c
}

func (n *node) config(t *testing.T, etcd int) string {
	t.Helper()
	bin, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if from := os.Getenv(pgtest.EnvBinaries); from != "" {
		bin = []string{from}
	}
	if len(bin) == 0 {
		pgtest.Missing(t, "Postgres with pg_basebackup and pg_rewind is not on this machine (Debian: apt-get install postgresql)")
	}
	return fmt.Sprintf(`scope: recovery
name: %[1]s
restapi: {listen: "127.0.0.1:%[2]d", connect_address: "127.0.0.1:%[2]d"}
etcd3: {host: "127.0.0.1:%[3]d"}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 5
    postgresql:
      use_pg_rewind: true
      parameters: {max_connections: 100, fsync: "off", wal_log_hints: "on", archive_mode: "off"}
  initdb: [{encoding: UTF8}, {locale: C}, no-sync]
postgresql:
  listen: "127.0.0.1:%[4]d"
  connect_address: "127.0.0.1:%[4]d"
  data_dir: %[5]q
  bin_dir: %[6]q
  pgpass: %[7]q
  pg_hba: ["host all all 127.0.0.1/32 scram-sha-256", "host replication all 127.0.0.1/32 scram-sha-256"]
  authentication:
    superuser: {username: postgres, password: %[8]q}
    replication: {username: replicator, password: %[8]q}
    rewind: {username: rewinder, password: %[8]q}
  parameters: {unix_socket_directories: %[9]q, password_encryption: scram-sha-256}
`, n.name, n.rest, etcd, n.port, n.data, bin[len(bin)-1], filepath.Join(n.process.Dir(), "pgpass"), password, n.process.Dir())
}

func (n *node) dsn() string {
	return fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/postgres?sslmode=disable", password, n.port)
}

// is reports whether Patroni says that the node has a role.
func (n *node) is(role string) bool {
	return status(fmt.Sprintf("http://127.0.0.1:%d/%s", n.rest, role)) == http.StatusOK
}

func status(url string) int {
	client := http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	response, err := client.Get(url) //nolint:noctx // bounded by the client
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode
}

// dsn names both servers, as a driver without a proxy is told.
func (c *patroni) dsn() string {
	hosts := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		hosts[i] = fmt.Sprint("127.0.0.1:", n.port)
	}
	return fmt.Sprintf("postgres://postgres:%s@%s/postgres?sslmode=disable&target_session_attrs=read-write", password, strings.Join(hosts, ","))
}

// primary waits for the primary.
func (c *patroni) primary(t *testing.T) *node { t.Helper(); return c.with(t, "primary") }

// replica waits for a replica that runs.
func (c *patroni) replica(t *testing.T) *node { t.Helper(); return c.with(t, "replica") }

func (c *patroni) with(t *testing.T, role string) (found *node) {
	t.Helper()
	require.Eventually(t, func() bool {
		i := slices.IndexFunc(c.nodes, func(n *node) bool { return n.is(role) })
		if i >= 0 {
			found = c.nodes[i]
		}
		return i >= 0
	}, patience, 50*time.Millisecond, "there is a %s", role)
	return found
}

// post asks a node's Patroni for something, and returns what it answers.
func (c *patroni) post(t *testing.T, n *node, path, body string) string {
	t.Helper()
	require.True(t, json.Valid([]byte(body)))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d%s", n.rest, path), strings.NewReader(body))
	require.NoError(t, err)
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Contains(t, []int{http.StatusOK, http.StatusAccepted}, response.StatusCode)
	return response.Status
}

// startProxy starts HAProxy in front of the primary, whichever it is, and returns the DSN through it.
func (c *patroni) startProxy(t *testing.T) string {
	t.Helper()
	p, port := newProcess(t), freePort(t)
	seconds := int(idleTimeout.Seconds())
	text := fmt.Sprintf(`global
    maxconn 500
defaults
    mode tcp
    timeout connect 2s
    timeout check 2s
    timeout client %[1]ds
    timeout server %[1]ds
listen primary
    bind 127.0.0.1:%[2]d
    option httpchk GET /primary
    http-check expect status 200
    default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
`, seconds, port)
	for _, n := range c.nodes {
		text += fmt.Sprintf("    server %s 127.0.0.1:%d check port %d\n", n.name, n.port, n.rest)
	}

	file, err := p.WriteFile("haproxy.cfg", text)
	require.NoError(t, err)
	require.NoError(t, p.Start(program(t, "haproxy", "haproxy"), "-db", "-f", file))
	dsn := fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/postgres?sslmode=disable", password, port)
	// Before its first checks HAProxy takes both servers for the primary, and connects to each in turn.
	row := 0
	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			return false
		}
		var replica bool
		err = conn.QueryRow(t.Context(), "SELECT pg_is_in_recovery()").Scan(&replica)
		if row++; err != nil || replica {
			row = 0
		}
		return conn.Close(t.Context()) == nil && row == 10
	}, patience, 50*time.Millisecond, "haproxy")
	return dsn
}
