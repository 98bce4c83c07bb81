package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

const selectItem = `SELECT value FROM item WHERE id = $1`

// readItem reads a row by a key.
func readItem(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, key string,
) (*thing, error) {
	id, err := strconv.ParseInt(key, 10, 64)
	if err != nil {
		return nil, err
	}
	var t thing
	if err := db.QueryRow(ctx, selectItem, id).Scan(&t.version); err != nil {
		return nil, fmt.Errorf("item %d: %w", id, err)
	}
	return &t, nil
}

// lagging runs the case of the standby; why tells if there cannot be one.
func lagging(ctx context.Context, s *server, plan stalePlan) (_ map[string]*tally, why string, err error) {
	standby, err := s.postgres.Standby(ctx)
	if errors.Is(err, pgtest.ErrUnsupported) {
		return nil, err.Error(), nil
	}
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, standby.Close()) }()

	behind := &server{postgres: standby, database: s.database}
	replica, err := behind.pool(ctx, 4, nil)
	if err != nil {
		return nil, "", err
	}
	defer replica.Close()

	for _, statement := range []string{
		fmt.Sprintf(`ALTER SYSTEM SET recovery_min_apply_delay = '%d ms'`, plan.Lag.Milliseconds()), `SELECT pg_reload_conf()`,
	} {
		if _, err := replica.Exec(ctx, statement); err != nil {
			return nil, "", fmt.Errorf("standby: %w", err)
		}
	}

	primary, err := s.pool(ctx, 4, nil)
	if err != nil {
		return nil, "", err
	}
	defer primary.Close()

	found, err := runLagging(ctx, primary, replica, plan)
	return found, "", err
}

func runLagging(ctx context.Context, primary, replica *pgxpool.Pool, plan stalePlan) (_ map[string]*tally, err error) {
	var heard atomic.Int64
	var subjects []*subject
	pod, err := startPod(ctx, primary, bus.Config{Name: "stale"}, func(d bus.Delivery) {
		for _, s := range subjects[1:] { // ours hears by itself
			for _, key := range d.Keys {
				s.invalidate(key)
			}
		}
		if d.Local {
			heard.Add(1)
		}
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pod.stop()) }()

	fromReplica := func(ctx context.Context, key string) (*thing, error) { return readItem(ctx, replica, key) }
	for _, make := range []maker{oursOnReplica(pod, primary, replica), makeFlight, makeOtter, makeSturdyc, makeRedisCache} {
		s, err := make(10*plan.Keys, fromReplica)
		if err != nil {
			return nil, err
		}
		defer s.end() //nolint:gocritic // there are few, and all live until the end
		subjects = append(subjects, s)
	}

	found := map[string]*tally{}
	want := map[string]int64{}
	for i := range plan.Keys {
		key := strconv.Itoa(i)
		for _, s := range subjects {
			if _, err := s.get(ctx, key); err != nil {
				return nil, err
			}
		}

		_, err := pod.InTx(ctx, func(tx *bus.Tx) error {
			var now int64
			if err := tx.QueryRow(ctx, `UPDATE item SET value = value + 1 WHERE id = $1 RETURNING value`, i).Scan(&now); err != nil {
				return err
			}
			want[key] = now
			tx.Invalidate(topic, key)
			return nil
		})
		if err != nil {
			return nil, err
		}
		if err := eventually(ctx, func() bool { return heard.Load() > int64(i) }); err != nil {
			return nil, err
		}

		for _, s := range subjects { // the standby is behind
			if _, err := s.get(ctx, key); err != nil {
				return nil, err
			}
		}
	}

	if err := caughtUp(ctx, replica, want); err != nil {
		return nil, err
	}

	for _, s := range subjects {
		t := &tally{of: plan.Keys}
		found[s.name] = t
		for key, version := range want {
			got, err := s.get(ctx, key)
			if err != nil {
				return nil, err
			}
			if got.version != version {
				t.kept++
			}
		}
	}

	return found, nil
}

// caughtUp waits until a server has all versions.
func caughtUp(ctx context.Context, db *pgxpool.Pool, want map[string]int64) error {
	for key, version := range want {
		for {
			got, err := readItem(ctx, db, key)
			if err != nil {
				return err
			}
			if got.version == version {
				break
			}
			if sleep(ctx, 5*time.Millisecond); ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

// oursOnReplica loads from the standby in a snapshot, and from the primary when the cache asks for that.
func oursOnReplica(b bus.Bus, primary, replica *pgxpool.Pool) maker {
	return func(size int, _ loadFunc) (*subject, error) {
		load := cache.LoaderFunc[string, *thing](func(ctx context.Context, key string) (out cache.Loaded[*thing], err error) {
			if cache.WantPrimary(ctx) {
				out.Value, err = readItem(ctx, primary, key)
				return out, err
			}

			out.Snapshot, err = cache.InSnapshot(ctx, replica, func(tx pgx.Tx) error {
				out.Value, err = readItem(ctx, tx, key)
				return err
			})
			return out, err
		})
		c, err := cache.New(b, topic, load, oursConfig(size))
		if err != nil {
			return nil, err
		}

		return &subject{name: "ours", get: c.Get, close: func() { _ = c.Close() }}, nil
	}
}
