package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/redisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/gomodule/redigo/redis"

	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
)

// sessionSide is a way to read sessions; all of it hold as many, of the same data.
type sessionSide struct {
	name   string
	remote bool // a read is a round trip: fewer are measured
	tokens []string
	get    func(ctx context.Context, token string) error
}

// startSessionSides makes the sides and fills them. Without a redis-server its side is left out.
func startSessionSides(ctx context.Context, p *sessionPod, sessions int) (sides []*sessionSide, closeAll func() error, err error) {
	var closers []func() error
	closeAll = func() error {
		var errs []error
		for _, c := range closers {
			errs = append(errs, c())
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll())
			closeAll = nil
		}
	}()

	ours := &sessionSide{name: "ours", tokens: make([]string, sessions), get: func(ctx context.Context, token string) error {
		_, err := p.Get(ctx, token)
		return err
	}}
	if err := together(16, func(w int) (err error) {
		for i := w; i < sessions && err == nil; i += 16 {
			ours.tokens[i], err = p.login(ctx, fmt.Sprint("user ", i%1000))
		}
		return err
	}); err != nil {
		return nil, closeAll, err
	}

	manager := scs.New()
	adapter, err := scsstore.New(p.bus.Postgres, p.pool, manager, &scsstore.Config{
		Sessions: sessionstore.Config[scsstore.Data]{Name: "scs", Size: 1 << 16, SweepInterval: -1, Logger: warnings()},
	})
	if err != nil {
		return nil, closeAll, err
	}

	closers = append(closers, adapter.Close)
	values := map[string]any{"user": 1, "role": "reader", "theme": "dark"}
	deadline := time.Now().Add(12 * time.Hour)
	frame, err := manager.Codec.Encode(deadline, values)
	if err != nil {
		return nil, closeAll, err
	}

	plain, err := scs.GobCodec{}.Encode(deadline, values)
	if err != nil {
		return nil, closeAll, err
	}

	sides = append(sides, ours, scsSide("ours, as a store of scs", false, adapter))
	fill := map[*sessionSide]func(token string) error{
		sides[1]: func(token string) error { return adapter.CommitCtx(ctx, token, frame, deadline) },
	}
	pgx := pgxstore.NewWithCleanupInterval(p.pool, 0)
	side := scsSide("pgxstore", true, pgx)
	sides, fill[side] = append(sides, side), func(token string) error { return pgx.Commit(token, plain, deadline) }
	server, err := redistest.Start(ctx, &redistest.Config{TCP: true})
	switch {
	case err == nil:
		closers = append(closers, server.Close)
		pool := &redis.Pool{MaxIdle: 64, Dial: func() (redis.Conn, error) { return redis.Dial("tcp", server.Address()) }}
		closers = append(closers, pool.Close)
		store := redisstore.New(pool)
		side := scsSide("redisstore", true, store)
		sides, fill[side] = append(sides, side), func(token string) error { return store.Commit(token, plain, deadline) }
	case !errors.Is(err, redistest.ErrUnavailable):
		return nil, closeAll, err
	}

	inMemory := &mapStore{rows: map[string]mapRow{}}
	side = scsSide("map", false, inMemory)
	sides, fill[side] = append(sides, side), func(token string) error { inMemory.put(token, plain, deadline); return nil }
	for side, put := range fill {
		side.tokens = make([]string, sessions)
		if err := together(16, func(w int) (err error) {
			for i := w; i < sessions && err == nil; i += 16 {
				side.tokens[i] = benchToken(i)
				err = put(side.tokens[i])
			}
			return err
		}); err != nil {
			return nil, closeAll, fmt.Errorf("%s: %w", side.name, err)
		}
	}

	return sides, closeAll, nil
}

// finder is what sides of scs are read by.
type finder interface {
	Find(token string) ([]byte, bool, error)
}

func scsSide(name string, remote bool, store finder) *sessionSide {
	return &sessionSide{name: name, remote: remote, get: func(_ context.Context, token string) error {
		_, found, err := store.Find(token)
		if err == nil && !found {
			err = errAbsent
		}
		return err
	}}
}

// mapStore is the least that a store can do: a map and a lock.
type mapStore struct {
	mu   sync.RWMutex
	rows map[string]mapRow
}

type mapRow struct {
	data   []byte
	expiry time.Time
}

func (s *mapStore) put(token string, data []byte, expiry time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[token] = mapRow{data, expiry}
}

// Find is that of scs.Store.
func (s *mapStore) Find(token string) ([]byte, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.rows[token]
	return r.data, ok && time.Now().Before(r.expiry), nil
}
