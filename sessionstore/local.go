package sessionstore

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
)

// LocalStore keeps the sessions of a program that runs as one process, with a *bus.Local, in memory or in an SQLite
// database. It has the tokens, generations, rotations and one-time values of [Store], and the same errors. Times are
// on this machine's clock. All methods are safe for concurrent use.
//
// All sessions are in memory, so their number is limited by it. With a database, every write is stored before it
// takes effect, except uses, which Run writes every TouchInterval. Two processes must not share one database: neither
// would notice the sessions that the other ends.
type LocalStore[T any] struct {
	form *Store[T] // checks, encodes and signs by the configuration; it has no database and no bus
	bus  *bus.Local
	db   *sql.DB // nil: memory only

	started atomic.Bool
	closed  atomic.Bool
	ready   chan struct{}

	writing sync.Mutex // one write at a time, over its statement
	base    int64      // the generation of users that have none yet
	last    int64      // the newest generation

	mu         sync.RWMutex // never held over a statement or a callback
	sessions   map[uuid.UUID]*record
	index      map[key]uuid.UUID // by the current token and by the one before
	byUser     map[string]map[uuid.UUID]struct{}
	users      map[digest]localUser
	logouts    map[digest]time.Time // sessions at identity providers that have ended, and when
	oneTime    map[digest]localValue
	remembered map[digest]time.Time // until when

	streams localStreams
}

// digest is a SHA-256, of what is compared and need not be kept in clear.
type digest [32]byte

// localUser is the generation of a user.
type localUser struct {
	Gen       int64
	Forgotten time.Time // by ForgetUser; zero: not
}

// NewLocal returns a store in memory: sessions end with the process. It takes the Config of [Store], or nil, and
// ignores Schema, Name, Size, Tier, WhenStale, MaxLookups and MaxWaiting. The error is [ErrConfig] and names the
// field.
func NewLocal[T any](b *bus.Local, cfg *Config[T]) (*LocalStore[T], error) {
	if b == nil {
		return nil, fmt.Errorf("%w: bus is nil", ErrConfig)
	}
	c := cfg.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}

	s := &LocalStore[T]{
		form: &Store[T]{
			cfg: c, share: shareNot, sealer: c.sealer(), log: c.logger(),
		},
		bus: b, ready: make(chan struct{}),
		sessions: map[uuid.UUID]*record{}, index: map[key]uuid.UUID{}, byUser: map[string]map[uuid.UUID]struct{}{},
		users: map[digest]localUser{}, logouts: map[digest]time.Time{}, oneTime: map[digest]localValue{}, remembered: map[digest]time.Time{},
	}
	s.base = time.Now().UnixNano() // a login that began before a restart does not end after it
	s.last = s.base
	s.streams.init()
	return s, nil
}

// now is this machine's clock, as records have it.
func (s *LocalStore[T]) now() time.Time { return s.form.cfg.now().UTC().Round(0) }

// Run deletes ended sessions, ends the streams (Bind) of sessions that have expired, and writes uses to the database,
// until ctx ends. It returns nil, or ErrRunning on a second call.
func (s *LocalStore[T]) Run(ctx context.Context) error {
	if !s.started.CompareAndSwap(false, true) {
		return ErrRunning
	}
	s.streams.open()
	close(s.ready)
	defer s.streams.close()

	tick := time.NewTicker(streamTick)
	defer tick.Stop()
	touched, swept := s.now(), s.now()
	for {
		select {
		case <-ctx.Done():
			s.flushUses(context.WithoutCancel(ctx))
			return nil
		case <-tick.C:
		}

		s.checkStreams()
		if now := s.now(); s.db != nil && now.Sub(touched) >= s.form.cfg.TouchInterval {
			s.flushUses(ctx)
			touched = now
		}
		if now := s.now(); s.form.cfg.SweepInterval > 0 && now.Sub(swept) >= s.form.cfg.SweepInterval {
			if err := s.Sweep(ctx); err != nil {
				s.form.log.WarnContext(ctx, "sessions not swept", slog.Any("error", err))
			}
			swept = now
		}
	}
}

// Ready returns a channel that is closed when Run has begun. From then until the end of Run, Bind works.
func (s *LocalStore[T]) Ready() <-chan struct{} { return s.ready }

// Close makes all later calls return ErrClosed. It does not close the database.
func (s *LocalStore[T]) Close() error {
	s.closed.Store(true)
	return nil
}
