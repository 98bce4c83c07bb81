package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache/redistier"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/pgerr"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// sessionConfig is what a pod that keeps sessions is told besides.
type sessionConfig struct {
	Guards hook.SessionGuards // off
	Size   int                // of the store's memory
	Tells  bool               // it logs the tokens that it is asked about, which must show
}

// Sheet is the data of a session.
type Sheet struct {
	Secret   string // which only this session has
	Elements []int64
}

// keeper is a pod that keeps sessions: a store on the bus.
type keeper struct {
	Service
	store *sessionstore.Store[Sheet]
	tier  *redistier.Tier // nil: none
	log   *slog.Logger

	mu   sync.Mutex
	kept map[string]*sessionstore.Session[Sheet] // what was read some time ago, by token: for saves that come late
}

const (
	sessionQuery = 500 * time.Millisecond // for one lookup
	sessionConns = 12
	maxKept      = 200
	metricsEvery = 2 * time.Second
	sealKey      = "nobody knows this key"
)

func newKeeper(p *pod) (*keeper, error) {
	k := &keeper{Service: Service{p}, kept: map[string]*sessionstore.Session[Sheet]{}}

	// All that it has to say: none of it may give a token away. A pod that checks its reads has no time for that.
	level := slog.LevelDebug
	if p.cfg.Check != nil && !p.cfg.Verbose {
		level = slog.LevelError + 4
	}

	k.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	c := &sessionstore.Config[Sheet]{
		Size: p.cfg.Session.Size, Encrypt: true, SealKeys: [][]byte{[]byte(sealKey)}, MaxLookups: sessionConns / 2, LookupTimeout: sessionQuery,
		TouchInterval: 20 * time.Millisecond, TouchAge: 50 * time.Millisecond, SweepInterval: 300 * time.Millisecond, Logger: k.log,
	}
	if p.cfg.Redis != "" {
		var err error
		if k.tier, err = redistier.New(&redistier.Config{URL: p.cfg.Redis, Logger: k.log}); err != nil {
			return nil, err
		}
		c.Tier = k.tier
	}

	var err error
	if k.store, err = sessionstore.New(p.bus, p.pool, c); err != nil {
		k.close()
		return nil, err
	}

	k.store.Adapter(hook.Token{}).Weaken(p.cfg.Session.Guards, p.cfg.CacheGuards)

	if p.cfg.Session.Guards.CountGenerations {
		_, err = p.pool.Exec(p.ctx, `ALTER TABLE pgcoherence.session DISABLE TRIGGER USER; ALTER TABLE pgcoherence.session_user DISABLE TRIGGER USER`)
	}

	return k, err
}

func (k *keeper) close() {
	if k.store != nil {
		_ = k.store.Close() // a load that does not end is told by the process that does not
	}
	if k.tier != nil {
		k.tier.Close()
	}
}

// run runs the bus and the store until the pod's context ends.
func (k *keeper) run() error {
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = k.store.Run(k.p.ctx) })
	wg.Go(k.showMetrics)
	busErr := k.p.run()
	wg.Wait()
	k.close()
	return errors.Join(busErr, err)
}

// showMetrics writes what a scrape would get to where the logs go, now and then: none of it may give a token away.
func (k *keeper) showMetrics() {
	registry := prometheus.NewRegistry()
	registry.MustRegister(k.p.bus, k.store)
	for pause(k.p.ctx, metricsEvery) == nil {
		families, err := registry.Gather()
		if err != nil {
			k.log.Error("metrics", slog.Any("error", err))
		}
		for _, family := range families {
			_, _ = expfmt.MetricFamilyToText(os.Stderr, family) // whoever reads it may be gone
		}
	}
}

// Status answers how the bus stands, and the store's memory.
func (k *keeper) Status(_ int, out *Status) error { //nolint:unparam // net/rpc wants an error
	s := k.store.Stats()
	*out = Status{State: k.p.bus.State(), Fresh: k.p.bus.Fresh(), Stats: k.p.bus.Stats(), Touched: s.Touched, Conflicts: s.Conflicts}
	out.Listens, out.Controls = k.p.listens.Load(), k.p.controls.Load()
	c := s.Cache
	out.Cache = CacheStats{
		Hits: c.Hits, Misses: c.Misses, Bypassed: c.Bypassed, Loads: c.Loads,
		TierHits: c.TierHits, TierRefused: c.TierRefused, TierErrors: c.TierErrors, TierSkips: c.TierSkipped,
	}
	return nil
}

// outcome is what an error says of a write, or of who asked. What may have happened is Unknown.
func (k *keeper) outcome(err error) Outcome {
	if err == nil {
		return Done
	}

	k.log.Debug("refused", slog.Any("error", err))

	for _, no := range []error{
		sessionstore.ErrNoSession, sessionstore.ErrConflict, sessionstore.ErrLoginEnded, sessionstore.ErrInvalid, errSuperseded,
	} {
		if errors.Is(err, no) {
			return Refused
		}
	}

	if pgerr.IsConflict(err) && !errors.Is(err, bus.ErrOutcomeUnknown) {
		return Refused // rolled back
	}

	return Unknown
}

func (k *keeper) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(k.p.ctx, writeTimeout)
}
