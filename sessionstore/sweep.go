package sessionstore

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// sweeper deletes what is long over, a batch in each transaction. One pod of all does at a time.
type sweeper struct {
	lock  string
	after []byte // where in the order of keys the next page begins
	valid int64  // sessions in the pages before
}

// runSweep sweeps every interval, give or take half, so that pods which started together do not come together.
func (s *Store[T]) runSweep(ctx context.Context) {
	w := s.newSweeper()
	wait := rand.N(s.cfg.SweepInterval) + 1
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		wait = s.cfg.SweepInterval/2 + rand.N(s.cfg.SweepInterval) + 1
		if err := s.sweep(ctx, w); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "sweep failed", slog.Any("error", err))
		}
	}
}

func (s *Store[T]) newSweeper() *sweeper { return &sweeper{lock: s.cfg.Schema, after: []byte{}} }

// Sweep deletes now what Run would in its course: sessions an hour after they expired, one-time values that nobody took.
// It returns when all of it is done, or another pod is at it.
func (s *Store[T]) Sweep(ctx context.Context) error { return s.sweep(ctx, s.newSweeper()) }

func (s *Store[T]) sweep(ctx context.Context, w *sweeper) error {
	// Each batch is a transaction that deletes and does nothing else: who writes to one of its rows waits for its end.
	for _, batch := range []func(context.Context, pgx.Tx) (more bool, err error){
		s.deleting(s.sql.sweepExpired, sweptExpired),
		s.deleting(s.sql.sweepOneTime, sweptOneTime),
		s.deleting(s.sql.sweepLogouts, sweptLogout),
		func(ctx context.Context, tx pgx.Tx) (bool, error) {
			whole, err := s.sweepPage(ctx, tx, w, s.cfg.SweepBatch)
			return !whole, err
		},
	} {
		for more := true; more; {
			var mine bool
			err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
				if err := tx.QueryRow(ctx, s.sql.sweepLock, w.lock).Scan(&mine); err != nil || !mine {
					return err
				}
				more, err = batch(ctx, tx)
				return err
			})
			if err != nil {
				return explain("sweep", err)
			}
			if !mine {
				return nil // another pod is at it
			}
		}
	}
	return nil
}

// deleting deletes a batch by an index; more: there may be another.
func (s *Store[T]) deleting(sql string, what int) func(context.Context, pgx.Tx) (more bool, err error) {
	return func(ctx context.Context, tx pgx.Tx) (bool, error) {
		tag, err := tx.Exec(ctx, sql, s.cfg.SweepBatch)
		if err != nil {
			return false, err
		}
		s.stats.swept[what].Add(tag.RowsAffected())
		return tag.RowsAffected() == int64(s.cfg.SweepBatch), nil
	}
}

// sweepPage looks at one page for what no index tells; whole: it was the last.
func (s *Store[T]) sweepPage(ctx context.Context, tx pgx.Tx, w *sweeper, limit int) (whole bool, err error) {
	rows, err := tx.Query(ctx, s.sql.sweepPage, w.after, limit)
	if err != nil {
		return false, err
	}
	var idle, ended [][]byte
	n := 0
	var k []byte
	var isIdle, isEnded, isValid bool
	_, err = pgx.ForEachRow(rows, []any{&k, &isIdle, &isEnded, &isValid}, func() error {
		n++
		if isValid {
			w.valid++
		}
		w.after = append([]byte(nil), k...)
		switch {
		case isIdle:
			idle = append(idle, w.after)
		case isEnded:
			ended = append(ended, w.after)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if whole = n < limit; whole {
		s.stats.active.Store(w.valid + 1)
		w.after, w.valid = []byte{}, 0
	}
	if len(idle) > 0 {
		tag, err := tx.Exec(ctx, s.sql.sweepIdle, idle)
		if err != nil {
			return false, err
		}
		s.stats.swept[sweptIdle].Add(tag.RowsAffected())
	}
	if len(ended) > 0 {
		tag, err := tx.Exec(ctx, s.sql.sweepEnded, ended, string(ReasonUser))
		if err != nil {
			return false, err
		}
		s.stats.swept[sweptEmptied].Add(tag.RowsAffected())
	}
	return whole, nil
}
