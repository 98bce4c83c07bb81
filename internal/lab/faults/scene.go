package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// plan is what a row needs.
type plan struct {
	pods     int // default 3
	keys     int // default 48
	reserved int // so many keys at the end are left to the fault
	inside   bool
	proxied  bool
	timing   timing
	settings map[string]string // of the server
	tune     func(i int, c *podConfig)
	clock    bool                                // the server's clock can be stepped
	before   func(context.Context, *scene) error // runs before the pods start
	state    bus.State                           // where the pods belong; default Live
	writing  time.Duration                       // pause of a writer between two writes; default 15 ms
	slow     time.Duration                       // how long slow writes take; default 20 ms
	paths    []string                            // of the writers; default all
	reading  time.Duration                       // pause of a pod's reader between two reads; default readEvery
	loads    loadTimes                           // how long loads take; default lateLoads
	patience time.Duration                       // with pods that are not in sync, or hold what the database does not; 0: as a row has it
	tier     tierKind                            // what stands behind the caches; default nothing, or what -tier says
}

func (p plan) withDefaults() plan {
	if p.pods == 0 {
		p.pods = 3
	}
	if p.keys == 0 {
		p.keys = 48
	}
	if p.state == bus.Starting {
		p.state = bus.Live
	}
	if p.timing == (timing{}) {
		p.timing = quick
	}
	if p.writing == 0 {
		p.writing = 15 * time.Millisecond
	}
	if p.slow == 0 {
		p.slow = 20 * time.Millisecond
	}
	if p.paths == nil {
		p.paths = paths
	}
	if p.reading == 0 {
		p.reading = readEvery
	}
	if p.loads == (loadTimes{}) {
		p.loads = lateLoads
	}

	return p
}

// database is the application's.
const database = "app"

// scene is one row under way: a server, pods, and the load on them.
type scene struct {
	plan
	options options
	server  *pgtest.Server
	dsn     string       // of the database at the start
	podDSN  string       // of the same, as the pods are told
	direct  bool         // the bus' own connections go past podDSN
	disk    string       // where a small disk is mounted; empty: none
	stepped *serverClock // the server's; nil: this machine's
	oracle  *oracle
	version atomic.Int64 // the last version given to a write
	load    *load
	notes   []string      // what a row has to say besides its figures
	joined  func(*member) // is told of each pod that starts while the load goes on; nil: nobody is
	locks   *lockLoad
	keeping *sessionLoad
	redis   *redis // nil: none
	// When a failover may have lost commits: from when the standby was cut off until the pods spoke to it.
	lossyFrom, lostFrom time.Duration

	mu       sync.Mutex
	members  []*member
	links    []*link
	truth    string    // DSN that the oracle reads from; changes with a failover
	healedAt time.Time // zero: not yet
	atEnd    []func() error
}

// newScene starts a server and the pods, and returns when all are Live. On an error nothing is left.
func newScene(ctx context.Context, p plan, o options) (_ *scene, err error) {
	p = p.withDefaults()
	if o.tier && p.tier == noTier {
		p.tier = redisTier
	}

	s := &scene{plan: p, options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()

	cfg := &pgtest.Config{
		Crashable: true, Settings: p.settings, Binaries: o.binaries, Logger: slog.New(slog.DiscardHandler),
	}
	if p.clock {
		if s.stepped, err = newServerClock(); err != nil {
			return nil, err
		}
		s.finally(s.stepped.close)
		cfg.Environment = s.stepped.environment()
	}

	s.server, err = pgtest.Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := execOn(ctx, s.server.DSN(""), "CREATE DATABASE "+database); err != nil {
		return nil, err
	}

	s.dsn = s.server.DSN(database)
	s.truth, s.podDSN = s.dsn, s.dsn
	if err := s.makeTables(ctx); err != nil {
		return nil, err
	}

	if p.before != nil {
		if err := p.before(ctx, s); err != nil {
			return nil, err
		}
	}

	if p.tier != noTier {
		if s.redis, err = startRedis(ctx, p.tier); err != nil {
			return nil, err
		}
		s.finally(s.redis.close)
	}

	s.oracle = newOracle(p.timing.StaleAfter, p.keys, time.Now())
	for range p.pods {
		if _, err := s.startPod(); err != nil {
			return nil, err
		}
	}

	if err := s.awaitLive(ctx); err != nil {
		return nil, err
	}
	if err := s.checkPaths(ctx); err != nil {
		return nil, err
	}

	return s, nil
}

// checkPaths makes sure that there is something to be cut on each path: a black hole in which nothing falls proves nothing.
func (s *scene) checkPaths(ctx context.Context) error {
	if !s.proxied || s.state != bus.Live {
		return nil
	}

	for _, m := range s.pods() {
		status, err := m.status(ctx)
		if err != nil {
			return err
		}
		if status.Listens == 0 || status.Controls == 0 {
			return fmt.Errorf("%s: %d connections on the path %s, %d on %s: each must have one", m.cfg.Name,
				status.Listens, listenPath, status.Controls, controlPath)
		}
	}

	return nil
}

func (s *scene) makeTables(ctx context.Context) error {
	pool, err := pgxpool.New(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer pool.Close()

	if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	if err := s.setLease(ctx); err != nil {
		return err
	}

	for _, statement := range []string{
		"CREATE TABLE item (key integer PRIMARY KEY, version bigint NOT NULL DEFAULT 0)",
		// Every event of a committed transaction, written in that transaction.
		"CREATE TABLE done (event bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp())",
		fmt.Sprintf("INSERT INTO item SELECT generate_series(0, %d)", s.keys-1),
	} {
		if _, err := pool.Exec(ctx, statement); err != nil {
			return fmt.Errorf("make tables: %w", err)
		}
	}

	return nil
}

func (s *scene) setLease(ctx context.Context) error {
	return s.exec(ctx, fmt.Sprintf("UPDATE pgcoherence.setting SET pod_lease = '%d milliseconds'", s.timing.Lease.Milliseconds()))
}

// startPod starts one more pod.
func (s *scene) startPod() (*member, error) {
	s.mu.Lock()
	i := len(s.members)
	s.mu.Unlock()

	cfg := podConfig{
		Name: "pod-" + strconv.Itoa(i), DSN: s.podDSN, Keys: s.keys, Timing: s.timing, Conns: 6,
		Direct: true, Verbose: s.options.verbose, Mode: pgx.QueryExecModeCacheStatement, Loads: s.loads,
	}
	if s.redis != nil {
		cfg.Redis = s.redis.url
	}

	var l *link
	if s.proxied {
		host, err := hostOf(s.dsn)
		if err != nil {
			return nil, err
		}
		if l, err = newLink(cfg.Name, host); err != nil {
			return nil, err
		}

		for way, to := range map[path]*string{poolPath: &cfg.DSN, listenPath: &cfg.Listen, controlPath: &cfg.Control} {
			if *to, err = l.dsn(way, s.dsn); err != nil {
				l.close()
				return nil, err
			}
		}
	}

	if s.direct {
		cfg.Listen, cfg.Control = s.dsn, s.dsn
	}
	if s.tune != nil {
		s.tune(i, &cfg)
	}

	m := (*member)(nil)
	var err error
	if s.inside {
		m = startInside(cfg)
	} else {
		m, err = startProcess(cfg)
	}

	if err != nil {
		if l != nil {
			l.close()
		}
		return nil, fmt.Errorf("start pod: %w", err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.members, s.links = append(s.members, m), append(s.links, l)
	if s.load != nil {
		s.load.read(m)
	}
	if s.joined != nil {
		s.joined(m)
	}

	return m, nil
}

// pods are those that are meant to be alive.
func (s *scene) pods() []*member {
	s.mu.Lock()
	defer s.mu.Unlock()
	var alive []*member
	for _, m := range s.members {
		if !m.isDead() {
			alive = append(alive, m)
		}
	}
	return alive
}

const livePatience = 20 * time.Second

// awaitLive waits until all pods are where they belong.
func (s *scene) awaitLive(ctx context.Context) error { return s.awaitFresh(ctx, s.pods()) }

// awaitFresh waits until these pods are where they belong.
func (s *scene) awaitFresh(ctx context.Context, pods []*member) error {
	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(s.patience, livePatience), errors.New("not in sync"))
	defer cancel()

	for _, m := range pods {
		for {
			status, err := m.status(ctx)
			if err == nil && status.Fresh && status.State == s.state {
				break
			}

			select {
			case <-m.gone:
				return fmt.Errorf("%s ended: %s", m.cfg.Name, &m.words)
			case <-ctx.Done():
				return fmt.Errorf("%s: %w: %+v", m.cfg.Name, errors.Join(context.Cause(ctx), err), status.Stats)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}

	return nil
}

// healed notes that the fault is over: from here the time to Live counts.
func (s *scene) healed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.healedAt = time.Now()
}

// last lets the fault last for its time.
func (s *scene) last(ctx context.Context) error { return pause(ctx, s.options.duration) }

// exec runs a statement on the server itself, past all proxies.
func (s *scene) exec(ctx context.Context, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, s.truthDSN())
	if err != nil {
		return err
	}
	defer disconnect(conn)
	_, err = conn.Exec(ctx, sql, args...)
	return err
}

// query reads one value from the server itself, past all proxies.
func (s *scene) query(ctx context.Context, sql string, into any) error {
	conn, err := pgx.Connect(ctx, s.truthDSN())
	if err != nil {
		return err
	}
	defer disconnect(conn)
	return conn.QueryRow(ctx, sql).Scan(into)
}

func (s *scene) truthDSN() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.truth
}

func (s *scene) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// finally has something done when the scene ends, before the server does.
func (s *scene) finally(f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.atEnd = append(s.atEnd, f)
}

// close ends everything.
func (s *scene) close() error {
	if s.load != nil {
		s.load.stop()
	}

	var errs []error
	var wg sync.WaitGroup
	for _, m := range s.members {
		wg.Go(m.stop)
	}

	wg.Wait()

	for _, l := range s.links {
		if l != nil {
			l.close()
		}
	}

	for i := len(s.atEnd) - 1; i >= 0; i-- {
		errs = append(errs, s.atEnd[i]())
	}

	if s.server != nil {
		errs = append(errs, s.server.Close())
	}

	return errors.Join(errs...)
}

func disconnect(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // nothing is left to lose
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
