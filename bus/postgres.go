package bus

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus/watch"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// Postgres is the bus over Postgres. Make it with NewPostgres, run it with Run. All methods are safe for concurrent use
// by any goroutine.
type Postgres struct {
	cfg      Config
	pool     *pgxpool.Pool
	log      *slog.Logger
	sql      *queries
	prepares bool // the pool keeps prepared statements
	id       uuid.UUID
	stats    counters
	registry *registry
	applier  applier
	outbox   outbox
	confirms confirmations
	watchers watchers
	watches  *watch.Installer
	guards   hook.Guards   // zero but in fault tests
	staged   atomic.Uint32 // numbers events staged in transactions of others

	started  atomic.Bool
	ready    chan struct{}
	setReady func()
	state    atomic.Int32
	pods     atomic.Int64
	want     wanted
	window   struct {
		mu      sync.Mutex
		longest time.Duration // for which a cache goes on serving when the bus is no longer fresh
		lease   time.Duration // the cluster's pod lease, 0 while it is not known
	}
}

// wanted is what other goroutines ask of the control loop.
type wanted struct {
	wake      chan struct{} // one of the others was set
	gap       atomic.Bool   // read the difference
	ask       atomic.Bool   // beat at once
	listening atomic.Bool   // the listener is connected and has caught up
}

func (w *wanted) set(flag *atomic.Bool) {
	flag.Store(true)
	w.poke()
}

func (w *wanted) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

var _ Bus = (*Postgres)(nil)

// NewPostgres makes a bus over the database of a pool. It starts nothing and does no I/O; cfg is copied, nil is fine.
// The bus never closes the pool, and takes from it only for Publish and Begin. The error is ErrConfig and names the
// field.
func NewPostgres(pool *pgxpool.Pool, cfg *Config) (*Postgres, error) {
	c := cfg.withDefaults()
	if pool == nil {
		return nil, fmt.Errorf("%w: pool is nil", ErrConfig)
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	watches, err := watch.New(pool, &watch.Config{Schema: c.Schema})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	p := &Postgres{cfg: c, pool: pool, watches: watches, sql: loadQueries(c.Schema), id: uuid.New(), ready: make(chan struct{})}
	p.log = c.Logger.With(slog.String("component", "pgcoherence"), slog.String("pod", c.Name))
	p.setReady = sync.OnceFunc(func() { close(p.ready) })
	p.prepares = pool.Config().ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement
	p.want.wake = make(chan struct{}, 1)
	p.registry = newRegistry(p.log, &p.stats, c.QueueSize, func() {
		p.applier.queuesMoved()
		if p.want.ask.Load() { // a beat on request waits for the position, which has moved
			p.want.poke()
		}
	})
	p.applier.log, p.applier.registry, p.applier.stats, p.applier.batch = p.log, p.registry, &p.stats, c.MaxKeys
	p.applier.pace = pace{announce: c.AnnounceInterval, sweep: c.SweepInterval}
	p.outbox.poke = p.want.poke
	p.staged.Store(binary.LittleEndian.Uint32(p.id[12:]))
	return p, nil
}

// Weaken switches guards of the protocol off, before Run, for tests that have to show that they are needed. Only this
// module can call it.
func (p *Postgres) Weaken(_ hook.Token, g hook.Guards) { p.guards, p.applier.guards = g, g }

// ID is the random id of this pod.
func (p *Postgres) ID() string { return p.id.String() }

// Ready is closed when the bus is for the first time proven to be in sync, and stays so: Live, or Polling.
func (p *Postgres) Ready() <-chan struct{} { return p.ready }

// Subscribe implements Bus. It works before, during and after Run; before and after, only what is published through
// this bus arrives.
func (p *Postgres) Subscribe(topic string, s Subscriber) (unsubscribe func()) {
	return p.registry.subscribe(topic, s)
}

// Fresh implements Bus: one atomic load and one reading of the clock.
func (p *Postgres) Fresh() bool {
	age := p.applier.freshAge()
	return age >= 0 && age < p.cfg.StaleAfter
}

// State implements Bus.
func (p *Postgres) State() State {
	state := State(p.state.Load())
	if state == Closed || state == Starting {
		return state
	}
	if !p.Fresh() {
		if p.applier.freshAge() < 0 {
			return CatchingUp
		}
		return Stale
	}
	return state
}

// Stats is a snapshot of counts and state.
func (p *Postgres) Stats() Stats {
	s := p.stats.snapshot()
	s.State = p.State()
	s.FreshAge = p.applier.freshAge()
	s.Epoch = p.applier.standing().epoch
	s.Pods = int(p.pods.Load())
	s.Pending = p.outbox.size()
	return s
}

// Run connects, keeps the caches coherent until ctx ends, and returns when all it started has ended; it waits at most a
// few seconds for subscribers that do not return. It rides over every outage of the database. It returns nil when ctx
// ends; an error only at the start, for what trying again cannot mend: a missing or old schema (ErrSchema), a refused
// password, a missing database or right. A second call is ErrRunning.
func (p *Postgres) Run(ctx context.Context) error {
	if !p.started.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer p.end()
	first, err := p.firstSession(ctx)
	if err != nil || first == nil {
		return err
	}
	p.state.Store(int32(CatchingUp))
	var wg sync.WaitGroup
	l := newListener(p)
	if p.cfg.Mode != Poll {
		wg.Go(func() { l.run(ctx) })
	}
	wg.Go(func() { newControl(p, l).run(ctx, first) })
	wg.Go(func() { p.watchState(ctx) })
	wg.Go(func() { p.tellHistories(ctx) })
	wg.Wait()
	return nil
}

// firstSession connects until it succeeds, ctx ends (nil, nil), or it is hopeless.
func (p *Postgres) firstSession(ctx context.Context) (*session, error) {
	d := newDialer(p, "control "+p.cfg.Name)
	for ctx.Err() == nil {
		s, err := d.dial(ctx)
		if err == nil {
			if err = p.checkStart(ctx, s); err == nil {
				return s, nil
			}
			s.close()
		}
		if hopeless(err) {
			p.stats.setError(err)
			return nil, fmt.Errorf("bus: start: %w", err)
		}
		d.failed(ctx, err)
	}
	return nil, nil
}

// checkStart checks what Run refuses to start without.
func (p *Postgres) checkStart(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := p.checkSchema(ctx, s.conn); err != nil {
		return err
	}
	var missing []string
	p.stats.statements.Add(1)
	if err := s.conn.QueryRow(ctx, p.sql.privileges).Scan(&missing); err != nil {
		return fmt.Errorf("bus: check privileges: %w", err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w in schema %s: %s", ErrPrivilege, sqltext.Quote(p.cfg.Schema), strings.Join(missing, ", "))
	}
	_, err := p.readLease(ctx, s.conn)
	return err
}

// end closes the bus for good: no trust, one last reset, and the subscribers get some time to finish.
func (p *Postgres) end() {
	p.state.Store(int32(Closed))
	p.confirms.close()
	p.applier.close()
	p.followState()
	if !p.registry.drain(p.cfg.StaleAfter) {
		p.log.Warn("subscriber still busy after the bus ended")
	}
}

// Publish implements Bus. It works whether or not Run does: the event is in the log when it returns nil, and if this
// bus does not announce it, the sweep of another pod does.
func (p *Postgres) Publish(ctx context.Context, events ...Event) (Receipt, error) {
	gathered, err := gather(events, p.cfg.MaxKeys)
	if err != nil || len(gathered) == 0 {
		return Receipt{}, err
	}
	return p.InTx(ctx, func(tx *Tx) error {
		tx.scope.events.events = gathered
		return nil
	})
}

// committed is what follows a commit, whoever made it: own subscribers first, then the announcement.
func (p *Postgres) committed(events []Event, xid uint64, firstN int32) {
	now := time.Now()
	p.stats.published.Add(int64(len(events)))
	p.applier.published(events, now, xid)
	ids := make([]position.EventID, len(events))
	wires := make([]wire.Event, len(events))
	at := p.applier.databaseTime(now)
	for i, e := range events {
		ids[i] = position.EventID{XID: xid, N: firstN + int32(i)}
		wires[i] = wire.Event{ID: ids[i], HasID: true, Topic: e.Topic, Keys: e.Keys, All: e.All, At: at}
	}
	p.applier.remember(ids)
	p.outbox.put(wires)
}

// uncertain is what follows a commit whose answer was lost: own subscribers drop the keys; if it did commit, the sweep
// finds the events.
func (p *Postgres) uncertain(events []Event) {
	p.stats.uncertain.Add(1)
	p.applier.published(events, time.Now(), 0)
}
