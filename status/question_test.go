package status_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/tables"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/status"
)

var fullTemplate = tables.Template("status-full")

// member is one pod of a fleet, with all that a status.Config can have.
type member struct {
	bus      *bus.Postgres
	pool     *pgxpool.Pool
	sessions *sessionstore.Store[string]
	locker   *lock.Locker
	handler  *status.Handler
	stop     func()
}

// newMember starts a pod; its handler runs unless the config says otherwise.
func newMember(t *testing.T, db *pgtest.DB, name string, runs bool, cfg status.Config) *member {
	t.Helper()
	pool := db.Pool(t)
	m := &member{pool: pool, bus: startBus(t, pool, &bus.Config{Name: name, Version: "v1.2.3"})}
	var err error
	m.sessions, err = sessionstore.New(m.bus, pool, &sessionstore.Config[string]{Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.sessions.Close()) })
	m.locker, err = lock.New(m.bus, pool, &lock.Config{Owner: name, Logger: quiet})
	require.NoError(t, err)

	cfg.Name, cfg.Token = name, token
	cfg.Interval = 50 * time.Millisecond
	cfg.Caches = []status.Cache{newCache(t, m.bus, "users")}
	cfg.Sessions, cfg.Lockers = []status.Sessions{m.sessions}, []status.Locker{m.locker}
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	m.handler, err = status.New(m.bus, &cfg)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	if runs {
		wg.Go(func() { require.NoError(t, m.handler.Run(ctx)) })
	}
	m.stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(m.stop)
	return m
}

func (m *member) cache(t *testing.T) interface {
	Get(context.Context, string) (string, error)
} {
	t.Helper()
	c, ok := status.CacheOf(m.handler).(interface {
		Get(context.Context, string) (string, error)
	})
	require.True(t, ok)
	return c
}

// opened is what a page that shows another pod is told.
type opened struct {
	Pod     *status.Pod
	Replied bool
	Text    string
	Update  *struct {
		status.Report
		Sample map[string]any
	}
	History *struct{ Hour, Day []map[string]any }
}

func open(t *testing.T, m *member, path string) (o opened) {
	t.Helper()
	code, body, _ := get(t, m.handler, path, bearer(token)...)
	require.Equal(t, http.StatusOK, code, body)
	require.NoError(t, json.Unmarshal([]byte(body), &o))
	return o
}

// TestOpenPod: any pod's page shows any other pod's own figures, or says why not.
func TestOpenPod(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, fullTemplate)
	a, b, silent := newMember(t, db, "a", true, status.Config{}), newMember(t, db, "b", true, status.Config{}), newMember(t, db, "c", false, status.Config{})
	for _, key := range []string{"1", "2", "3"} {
		_, err := b.cache(t).Get(t.Context(), key)
		require.NoError(t, err)
	}

	var o opened
	eventually(t, func() bool {
		o = open(t, a, "/pods/"+b.bus.ID())
		return o.Replied && o.Update.Caches["users"].LocalSize == 3 && o.Update.Verdict.Tone == status.ToneOK
	}, "b replies: %+v", o)
	require.Equal(t, "b", o.Update.PodName)
	require.Equal(t, 0, status.CacheOf(a.handler).Stats().Entries, "these are the figures of the other pod")
	require.Len(t, o.Update.Pods, 1)
	require.True(t, o.Update.Pods[0].Self)
	for _, topic := range o.Update.Bus.Topics {
		require.NotContains(t, topic.Topic, "question", "the page's own events are not shown")
	}
	eventually(t, func() bool { return open(t, a, "/pods/"+b.bus.ID()+"/history").Replied }, "its past, too")

	require.True(t, open(t, a, "/pods/"+a.bus.ID()).Replied, "itself")
	require.True(t, open(t, silent, "/pods/"+b.bus.ID()).Replied, "by a pod that does not answer others")
	o = open(t, a, "/pods/"+silent.bus.ID())
	require.False(t, o.Replied)
	require.Contains(t, o.Text, "c did not reply within 3s")
	require.Contains(t, o.Text, "Handler.Run")
	require.Equal(t, "c", o.Pod.Name)
	o = open(t, a, "/pods/nobody")
	require.False(t, o.Replied)
	require.Contains(t, o.Text, "No pod of this id")

	_, err := a.pool.Exec(t.Context(), `INSERT INTO pgcoherence.pod (id, name, beat_at) VALUES ('00000000-0000-0000-0000-000000000007', 'dead', clock_timestamp() - interval '40 seconds')`)
	require.NoError(t, err)
	eventually(t, func() bool {
		o = open(t, a, "/pods/00000000-0000-0000-0000-000000000007")
		return strings.HasPrefix(o.Text, "dead is lost: its last beat was")
	}, "it is not asked: %+v", o)

	code, _, _ := get(t, a.handler, "/pods/"+b.bus.ID())
	require.Equal(t, http.StatusUnauthorized, code)
	require.ErrorIs(t, a.handler.Run(t.Context()), status.ErrRunning)
}

// TestOpenPodShared: however many look at a pod, it is asked once per interval.
func TestOpenPodShared(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, fullTemplate)
	a, b := newMember(t, db, "a", true, status.Config{}), newMember(t, db, "b", true, status.Config{})
	eventually(t, func() bool { return open(t, a, "/pods/"+b.bus.ID()).Replied }, "b replies")
	before := a.bus.Stats().Published
	begin := time.Now()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 10 {
				get(t, a.handler, "/pods/"+b.bus.ID(), bearer(token)...)
			}
		})
	}

	wg.Wait()
	asked := a.bus.Stats().Published - before
	require.LessOrEqual(t, asked, int64(time.Since(begin)/(45*time.Millisecond))+2)
}

// TestAnswerUnknown: a pod of another version asks what this one does not know, and hears so.
func TestAnswerUnknown(t *testing.T) {
	t.Parallel()
	h := newHandler(t, newFakeBus().live(), nil)
	for _, q := range []string{"", "{", `{"want":"what comes later"}`, `{"want":"find"}`} {
		require.Contains(t, status.Answer(h, q), "may be of another version", q)
	}
	require.Contains(t, status.Answer(h, `{"want":"update"}`), `"pod_name"`)
	require.Contains(t, status.Answer(h, `{"want":"find","find":{"kind":"session","key":"no id"}}`), "no id of a session")
}
