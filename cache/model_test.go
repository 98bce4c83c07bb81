package cache_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// TestModel_NeverAnOldValueAfterAnInvalidation runs two pods with caches, one tier, a database and its standby through
// random schedules: transactions that overlap and commit in any order, events that reach each pod whenever, positions that
// follow, resets, and loads, tier reads and tier writes that are held up in the middle. A reader must never get a
// version from before an event that its pod was told of before it asked.
func TestModel_NeverAnOldValueAfterAnInvalidation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for range 20 { // what it found came up once in some thousand schedules
			rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) { // a bubble has no deadline to be asked for
				w := newWorld(rt)
				defer w.close()

				for range rapid.IntRange(5, 80).Draw(rt, "steps") {
					w.step(rt)
					synctest.Wait()
					w.check(rt)
				}

				w.drain(rt)
				w.check(rt)
			})
		}
	})
}

var modelKeys = []string{"a", "b", "c"}

// modelTags are fixed for each key.
var modelTags = map[string][]string{"a": {"x"}, "b": {"x", "y"}, "c": nil}

// covers says which keys an event makes invalid.
func covers(e bus.Event, key string) bool {
	if e.All || slices.Contains(e.Keys, key) {
		return true
	}
	return slices.ContainsFunc(modelTags[key], func(tag string) bool { return slices.Contains(e.Keys, cache.TagKey(tag)) })
}

// commit is what a transaction did, and the database right after it.
type commit struct {
	xid      uint64
	event    bus.Event
	versions map[string]int
	at       position.Snapshot
}

type transaction struct {
	xid   uint64
	event bus.Event
}

type world struct {
	next    uint64
	open    []transaction
	commits []commit
	pods    []*modelPod
	tier    *modelTier
	gate    *gate
	readers []*reader
	standby int // commits that the standby has replayed
}

// modelPod is one pod: its bus, its cache, and what it was told.
type modelPod struct {
	w     *world
	bus   *fake
	cache *cache.Cache[string, int]
	told  []bool         // by commit
	floor map[string]int // the version that a reader from now on gets at least
}

// reader is a Get that is under way.
type reader struct {
	pod    *modelPod
	key    string
	floor  int
	what   string
	cancel context.CancelFunc
	done   chan answer
}

// gate holds up what passes.
type gate struct {
	mu      sync.Mutex
	waiting []chan struct{}
}

func (g *gate) pass(ctx context.Context) error {
	ch := make(chan struct{})
	g.mu.Lock()
	g.waiting = append(g.waiting, ch)
	g.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// open lets one through; it may be gone already.
func (g *gate) open(i int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.waiting[i])
	g.waiting = slices.Delete(g.waiting, i, i+1)
}

func (g *gate) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// modelTier is a map whose calls take as long as the schedule likes.
type modelTier struct {
	gate *gate
	mu   sync.Mutex
	data map[string][]byte
}

func (m *modelTier) Get(ctx context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	v, ok := m.data[key]
	m.mu.Unlock()
	if err := m.gate.pass(ctx); err != nil {
		return nil, err
	}
	if !ok {
		return nil, cache.ErrTierMiss
	}
	return v, nil
}

func (m *modelTier) Set(ctx context.Context, key string, value []byte, _ time.Duration) error {
	if err := m.gate.pass(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data[key] = value
	return nil
}

func (m *modelTier) Delete(ctx context.Context, keys ...string) error {
	if err := m.gate.pass(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		delete(m.data, k)
	}
	return nil
}

func newWorld(rt *rapid.T) *world {
	w := &world{next: 100, gate: &gate{}}
	w.tier = &modelTier{gate: w.gate, data: map[string][]byte{}}
	w.commits = []commit{{versions: map[string]int{"a": 0, "b": 0, "c": 0}, at: position.Snapshot{Xmin: 100, Xmax: 100}}}
	replicas, tiered := rapid.Bool().Draw(rt, "replicas"), rapid.Bool().Draw(rt, "tiered")
	for range 2 {
		p := &modelPod{w: w, bus: newFake(), floor: map[string]int{}, told: []bool{true}}
		cfg := config()
		cfg.LoadTimeout, cfg.TierTimeout = cache.Forever, time.Hour
		cfg.InvalidationHistory = rapid.SampledFrom([]int{1, 3, 1000}).Draw(rt, "memory")
		if tiered {
			cfg.Tier = w.tier
		}

		var err error
		p.cache, err = cache.New(p.bus, "item", cache.LoaderFunc[string, int](func(ctx context.Context, key string) (cache.Loaded[int], error) {
			return w.load(ctx, key, replicas)
		}), cfg)
		require.NoError(rt, err)
		w.pods = append(w.pods, p)
	}

	return w
}

// load reads, and then takes as long as the schedule likes.
func (w *world) load(ctx context.Context, key string, replicas bool) (cache.Loaded[int], error) {
	c := w.commits[len(w.commits)-1]
	l := cache.Loaded[int]{Tags: modelTags[key]}
	if replicas && !cache.WantPrimary(ctx) {
		c = w.commits[w.standby]
		var err error
		if l.Snapshot, err = cache.ParseSnapshot(position.Snapshot{Xmin: c.at.Xmin, Xmax: c.at.Xmax}.String(), true); err != nil {
			return l, err
		}
	}
	l.Value = c.versions[key]
	return l, w.gate.pass(ctx)
}

func (w *world) step(rt *rapid.T) {
	p := w.pods[rapid.IntRange(0, 1).Draw(rt, "pod")]
	switch op := rapid.SampledFrom([]string{
		"get", "get", "get", "fresh", "begin", "commit", "commit", "tell", "tell", "tell", "position", "open", "open", "open", "leave", "reset",
		"replay", "history",
	}).Draw(rt, "op"); op {
	case "get", "fresh":
		w.ask(p, rapid.SampledFrom(modelKeys).Draw(rt, "key"), op)
	case "begin":
		e := bus.Event{Topic: "item"}
		switch n := rapid.IntRange(0, 6).Draw(rt, "event"); n {
		case 0:
			e.All = true
		case 1, 2:
			e.Keys = []string{cache.TagKey(string(rune('w' + n)))}
		default:
			e.Keys = []string{modelKeys[n%3]}
		}

		w.open = append(w.open, transaction{w.next, e})
		w.next++
	case "commit":
		if n := len(w.open); n > 0 {
			w.commit(rapid.IntRange(0, n-1).Draw(rt, "which"))
		}
	case "tell":
		p.loadFromLog(rapid.IntRange(0, 3).Draw(rt, "which"))
	case "position":
		p.advance()
	case "open":
		if n := w.gate.len(); n > 0 {
			w.gate.open(rapid.IntRange(0, n-1).Draw(rt, "which"))
		}
	case "leave":
		if n := len(w.readers); n > 0 {
			w.readers[rapid.IntRange(0, n-1).Draw(rt, "which")].cancel()
		}
	case "reset":
		if rapid.IntRange(0, 4).Draw(rt, "really") == 0 {
			p.reset()
		}
	case "history":
		p.history(rt)
	case "replay":
		w.standby = rapid.IntRange(w.standby, len(w.commits)-1).Draw(rt, "replayed")
	}
}

func (w *world) ask(p *modelPod, key, what string) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &reader{pod: p, key: key, floor: p.floor[key], what: what, cancel: cancel, done: make(chan answer, 1)}
	if what == "fresh" {
		r.floor = w.commits[len(w.commits)-1].versions[key]
	}

	w.readers = append(w.readers, r)

	go func() {
		get := p.cache.Get
		if what == "fresh" {
			get = p.cache.GetFresh
		}
		v, err := get(ctx, key)
		r.done <- answer{v, err}
	}()
}

// commit ends a transaction: each key it names gets a new version.
func (w *world) commit(i int) {
	tx := w.open[i]
	w.open = slices.Delete(w.open, i, i+1)
	c := commit{xid: tx.xid, event: tx.event, versions: maps.Clone(w.commits[len(w.commits)-1].versions)}
	for key := range c.versions {
		if covers(tx.event, key) {
			c.versions[key] = len(w.commits)
		}
	}
	c.at = w.snapshot()
	w.commits = append(w.commits, c)
	for _, p := range w.pods {
		p.told = append(p.told, false)
	}
}

func (w *world) snapshot() position.Snapshot {
	s := position.Snapshot{Xmin: w.next, Xmax: w.next}
	for _, tx := range w.open {
		s.Xip = append(s.Xip, tx.xid)
	}
	if slices.Sort(s.Xip); len(s.Xip) > 0 {
		s.Xmin = s.Xip[0]
	}
	return s
}

// tell delivers one of the oldest events that the pod has not been told of.
func (p *modelPod) loadFromLog(skip int) {
	for i, told := range p.told {
		if told {
			continue
		}
		if skip--; skip >= 0 {
			continue
		}

		c := p.w.commits[i]
		p.told[i] = true
		p.bus.deliver(bus.Delivery{Event: c.event, XIDs: []uint64{c.xid}})

		for _, key := range modelKeys {
			if covers(c.event, key) {
				p.floor[key] = max(p.floor[key], c.versions[key])
			}
		}

		return
	}
}

// advance moves the position to the newest snapshot of which the pod has been told all.
func (p *modelPod) advance() {
	for i, told := range p.told {
		if !told {
			return
		}
		if at := p.w.commits[i].at; at.Stamp().AtLeast(p.bus.at.Stamp()) {
			p.bus.set(func(f *fake) { f.at = at })
		}
	}
}

// reset tells that all was missed that it was not told, and stands at the newest snapshot then.
func (p *modelPod) reset() {
	p.bus.set(func(f *fake) { f.noPosition, f.proven = true, time.Time{} })
	p.bus.reset(bus.ReasonCatchUp)
	for i := range p.told {
		p.told[i] = true
	}
	newest := p.w.commits[len(p.w.commits)-1]
	for _, key := range modelKeys {
		p.floor[key] = max(p.floor[key], newest.versions[key])
	}
	p.bus.set(func(f *fake) { f.noPosition, f.proven, f.at = false, time.Now().Add(time.Hour), p.w.snapshot() })
}

// history tells what a log holds that was pruned up to some snapshot, the newest if there are too many.
func (p *modelPod) history(rt *rapid.T) {
	from := p.w.commits[rapid.IntRange(0, len(p.w.commits)-1).Draw(rt, "pruned")].at
	var events []hook.Past
	for _, c := range p.w.commits[1:] {
		if !from.Sees(c.xid) {
			events = append(events, hook.Past{XID: c.xid, Keys: c.event.Keys, All: c.event.All})
		}
	}

	slices.SortFunc(events, func(a, b hook.Past) int { return cmp.Compare(b.XID, a.XID) })

	var floor uint64
	if limit := rapid.IntRange(1, 5).Draw(rt, "limit"); len(events) >= limit {
		events = events[:limit]
		floor = events[limit-1].XID
	}

	p.bus.each(func(s bus.Subscriber) {
		if h, ok := s.(hook.Historian); ok {
			h.History(hook.Token{}, events, from, floor)
		}
	})
}

// check looks at what has been answered, and at all that is held.
func (w *world) check(rt *rapid.T) {
	w.readers = slices.DeleteFunc(w.readers, func(r *reader) bool {
		select {
		case a := <-r.done:
			r.cancel()

			if a.err == nil && a.value < r.floor {
				rt.Fatalf("%s %q: got version %d, %d was known when it asked", r.what, r.key, a.value, r.floor)
			}
			if a.err != nil && !strings.Contains(a.err.Error(), "canceled") {
				rt.Fatalf("%s %q: %v", r.what, r.key, a.err)
			}

			return true
		default:
			return false
		}
	})
	for i, p := range w.pods {
		for _, key := range modelKeys {
			if v, ok := peek(p.cache, key); ok && v < p.floor[key] {
				rt.Fatalf("pod %d holds version %d of %q, but was told of %d", i, v, key, p.floor[key])
			}
		}
	}
}

// drain lets all through until nothing is under way: every reader gets an answer.
func (w *world) drain(rt *rapid.T) {
	for range 10_000 {
		synctest.Wait()
		if w.gate.len() == 0 {
			break
		}
		w.gate.open(0)
	}
	synctest.Wait()
	w.check(rt)
	if len(w.readers) > 0 {
		rt.Fatal(fmt.Sprintf("%d readers got no answer", len(w.readers)))
	}
}

func (w *world) close() {
	for _, r := range w.readers {
		r.cancel()
	}
	for _, p := range w.pods {
		_ = p.cache.Close()
	}
	for w.gate.len() > 0 {
		w.gate.open(0)
	}
	synctest.Wait()
}
