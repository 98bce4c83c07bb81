package browsertest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/status"
)

// scene is a bus in a situation that a test chooses. What is shown of it goes the way that a real one's goes.
type scene struct {
	*bus.Local
	ready chan struct{}

	mu      sync.Mutex
	stats   bus.Stats
	fresh   bool
	cluster bus.Cluster
	err     error
	resets  []bus.ResetRecord
	topics  []bus.TopicStats
}

const prefix = "storefront-api-6d8f7c9b54-"

func pod(name string, up, age time.Duration) bus.Pod {
	return bus.Pod{ID: "id-" + name, Name: prefix + name, Version: "v1.4.2", State: "live", Synced: true, Up: up, Age: age, Started: time.Now().Add(-up)}
}

func newScene() *scene {
	s := &scene{Local: bus.NewLocal(), ready: make(chan struct{}), fresh: true}
	close(s.ready)
	s.stats = bus.Stats{State: bus.Live, FreshAge: 300 * time.Millisecond, Epoch: "4f1c2a9e", Published: 1204, Received: 3310}
	s.cluster.Pods = []bus.Pod{pod("x2k4q", 3*time.Hour, 200*time.Millisecond), pod("m9wzt", 3*time.Hour, 0), pod("p7dlr", 26*time.Hour, 0)}
	s.topics = []bus.TopicStats{{Topic: "users", Events: 100}, {Topic: "settings-of-the-organisation-and-its-members-and-guests", Events: 20}}
	return s
}

func (s *scene) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *scene) ID() string             { return "id-x2k4q" }
func (s *scene) Ready() <-chan struct{} { return s.ready }

func (s *scene) Fresh() (fresh bool) {
	s.locked(func() { fresh = s.fresh })
	return fresh
}

func (s *scene) State() (state bus.State) {
	s.locked(func() { state = s.stats.State })
	return state
}

func (s *scene) Stats() (stats bus.Stats) {
	s.locked(func() { stats = s.stats })
	return stats
}

func (s *scene) Resets() (all []bus.ResetRecord) {
	s.locked(func() { all = s.resets })
	return all
}

// Topics count on, so that there is something to see.
func (s *scene) Topics() (all []bus.TopicStats) {
	s.locked(func() {
		for i := range s.topics {
			s.topics[i].Events += int64(rand.N(20))
		}
		all = append(all, s.topics...)
	})
	return all
}

func (s *scene) Cluster(context.Context, time.Duration) (c bus.Cluster, err error) {
	s.locked(func() { c, err = s.cluster, s.err })
	return c, err
}

type pinged struct{ err error }

func (p pinged) Ping(context.Context) error { return p.err }

// situation is one row of the table of what a person on call can meet.
type situation struct {
	name   string
	set    func(*scene)
	tier   error
	tone   string
	text   string
	shown  string // a condition on the page, in JavaScript
	colour string // of the verdict
}

const (
	red   = "rgb(179, 38, 30)"
	amber = "rgb(253, 240, 216)"
	white = "rgb(255, 255, 255)"
)

var situations = []situation{
	{
		name: "in-sync", set: func(*scene) {}, tone: "ok", text: "All 3 pods are in sync", colour: white,
		shown: `document.querySelectorAll('.tag').length === 1 && document.querySelector('.tag').textContent === "this pod"`,
	},
	{name: "lost", set: func(s *scene) {
		s.cluster.Pods = s.cluster.Pods[:2]
		s.cluster.Departed = []bus.DepartedPod{{Pod: pod("p7dlr", 26*time.Hour, 40*time.Second), Lost: true}}
	}, tone: "bad", text: "1 of 3 pods is lost, and nothing took its place", colour: red, shown: `document.querySelectorAll('.pod[data-condition="lost"]').length === 1`},
	{
		name: "replaced", set: func(s *scene) {
			s.cluster.Departed = []bus.DepartedPod{{Pod: pod("p7dlr", 26*time.Hour, 15*time.Second), Lost: true}}
			s.cluster.Pods[2] = pod("t5vbn", 9*time.Second, 0)
		}, tone: "warn", text: "1 pod crashed and was replaced, the last one 15s ago", colour: amber,
		shown: `document.querySelector('.pod[data-condition="replaced"] .pod-facts').textContent.includes("t5vbn took its place")`,
	},
	{name: "left", set: func(s *scene) {
		s.cluster.Departed = []bus.DepartedPod{{Pod: pod("p7dlr", 26*time.Hour, 15*time.Second)}}
		s.cluster.Pods = s.cluster.Pods[:2]
	}, tone: "ok", text: "All 2 pods are in sync", colour: white, shown: `document.querySelectorAll('.pod[data-condition="left"]').length === 1`},
	{
		name: "another-is-stale", set: func(s *scene) { s.cluster.Pods[1].State = "stale" }, tone: "bad", text: "1 of 3 pods is not trusting its caches", colour: red,
		shown: `document.querySelectorAll('.pod[data-condition="stale"]').length === 1`,
	},
	{
		name: "polling", set: func(s *scene) { s.cluster.Pods[1].State = "polling" }, tone: "warn", text: "1 of 3 pods is catching up or polling", colour: amber,
		shown: `document.querySelectorAll('.pod[data-condition="degraded"]').length === 1`,
	},
	{name: "stale", set: func(s *scene) {
		s.fresh, s.stats.State, s.stats.FreshAge = false, bus.Stale, 8*time.Second
		s.cluster.Pods[0].State = "stale"
	}, tone: "bad", text: "This pod does not trust its caches", colour: red, shown: `document.getElementById("tile-fresh").parentElement.dataset.tone === "bad"`},
	{name: "outage", set: func(s *scene) {
		s.fresh, s.stats.State, s.stats.FreshAge, s.err = false, bus.Stale, 20*time.Second, errors.New("bus: pods: connection refused")
		s.stats.LastError = "dial tcp 10.1.2.3:5432: connect: connection refused"
	}, tone: "bad", text: "The database does not respond, and this pod does not trust its caches", colour: red, shown: `document.getElementById("pods-empty").textContent === "The list of pods could not be read yet."`},
	{name: "closed", set: func(s *scene) {
		s.fresh, s.stats.State, s.stats.FreshAge = false, bus.Closed, -1
		s.stats.LastError = "bus: start: password authentication failed for user \"app\""
		s.cluster.Pods = s.cluster.Pods[1:]
	}, tone: "bad", text: "This pod's bus has ended", colour: red, shown: `document.getElementById("verdict-more").textContent.includes("password authentication failed")`},
	{name: "reset-loop", set: func(s *scene) {
		for range 7 {
			s.resets = append(s.resets, bus.ResetRecord{At: time.Now().Add(-2 * time.Second), Reason: bus.ReasonPruned})
		}
		s.stats.Resets = 7
	}, tone: "bad", text: "This pod was reset 7 times in a minute", colour: red, shown: `document.querySelectorAll("#resets li").length > 0`},
	{
		name: "queue", set: func(s *scene) { s.stats.QueueUsage = 0.31 }, tone: "warn", text: "The server's notification queue is 31.00 % full", colour: amber,
		shown: `document.getElementById("tile-queue").parentElement.dataset.tone === "warn"`,
	},
	{
		name: "redis-away", set: func(*scene) {}, tier: errors.New("refused"), tone: "warn", text: "The second level of the cache users does not respond", colour: amber,
		shown: `document.querySelector('#caches .state[data-tone="bad"]').textContent.includes("away")`,
	},
}

// TestSituations shows each situation to a browser: the sentence and the colour of the table, on a desktop and a phone,
// in light and in dark, with no word that is hard to read and nothing that sticks out.
func TestSituations(t *testing.T) {
	dir := pictures(t)
	b := startBrowser(t)
	for _, tc := range situations {
		t.Run(tc.name, func(t *testing.T) {
			s := newScene()
			tc.set(s)
			url := serve(t, s, tc.tier, 64)
			b.enter(t, url)
			_ = b.taken(t) // the form instead of the page
			b.await(t, fmt.Sprintf(`document.getElementById("verdict-text").textContent === %q`, tc.text), patience)
			b.await(t, tc.shown, patience)
			require.True(t, b.has(t, fmt.Sprintf(`document.getElementById("verdict").dataset.tone === %q`, tc.tone)))
			require.True(t, b.has(t, fmt.Sprintf(`document.title.startsWith("(!)") === %t`, tc.tone != "ok")))
			b.picture(t, dir, "situation-"+tc.name, 1280, 800, "light")
			require.Equal(t, tc.colour, ask(t, b, chromedp.Evaluate[string](`getComputedStyle(document.getElementById("verdict")).backgroundColor`)))
			require.True(t, b.has(t, `document.querySelector(".facts").hidden`), "neither locks nor sessions are in use")
			require.True(t, b.has(t, `[...document.querySelectorAll(".pod-name")].every((e) => e.scrollWidth <= e.clientWidth + 1)`), "names fit, with their ends")
			b.picture(t, dir, "situation-"+tc.name+"-phone", 390, 844, "light")
			b.picture(t, dir, "situation-"+tc.name+"-dark", 1280, 800, "dark")
			require.Empty(t, b.taken(t))
		})
	}
}

// TestRefusedWatcher: too many watchers are a message, and a reload after a wrong token is the form again.
func TestRefusedWatcher(t *testing.T) {
	b := startBrowser(t)
	url := serve(t, newScene(), nil, 1)
	other, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"events", http.NoBody)
	require.NoError(t, err)
	other.Header.Set("Authorization", "Bearer "+token)
	watching, err := http.DefaultClient.Do(other)
	require.NoError(t, err)
	defer func() {
		_ = watching.Body.Close()
		http.DefaultClient.CloseIdleConnections()
	}()
	require.Equal(t, http.StatusOK, watching.StatusCode)

	b.do(t, chromedp.Navigate(url), chromedp.WaitVisible("#token"), chromedp.SendKeys("#token", "a wrong token indeed\r"), chromedp.WaitVisible("#wrong"))
	b.do(t, chromedp.Navigate(url+"login"), chromedp.WaitVisible("#token"))
	b.do(t, chromedp.SendKeys("#token", token+"\r"), chromedp.WaitVisible("#verdict"))
	b.await(t, `document.getElementById("verdict-text").textContent === "Too many people watch this pod"`, patience)
	require.NoError(t, watching.Body.Close())
	b.await(t, `document.getElementById("verdict-text").textContent === "All 3 pods are in sync"`, patience)
}

// enter opens the page, through the form the first time: a cookie is good for all ports of a host.
func (b *browser) enter(t *testing.T, url string) {
	t.Helper()
	b.do(t, chromedp.Navigate(url), chromedp.WaitReady("main"))
	if b.has(t, `document.getElementById("token")`) {
		b.do(t, chromedp.SendKeys("#token", token+"\r"))
	}
	b.do(t, chromedp.WaitVisible("#verdict"))
}

func serve(t *testing.T, s *scene, tier error, watchers int) string {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	conf := &status.Config{Name: prefix + "x2k4q", Token: token, Logger: quiet, MaxWatchers: watchers, Interval: 200 * time.Millisecond, Tiers: map[string]status.Tier{"users": pinged{tier}}}
	for _, topic := range []string{"users", "settings-of-the-organisation-and-its-members-and-guests"} {
		c, err := cache.New(s, topic, cache.Func(func(_ context.Context, key string) (string, error) { return key, nil }), &cache.Config[string, string]{Logger: quiet})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Close()) })

		for range 9 {
			_, err = c.Get(t.Context(), strings.Repeat("k", rand.N(3)+1))
			require.NoError(t, err)
		}

		conf.Caches = append(conf.Caches, c)
	}

	h, err := status.New(s, conf)
	require.NoError(t, err)
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		h.Drain()
		server.Close()
	})
	return server.URL + "/"
}
