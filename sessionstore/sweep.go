package sessionstore

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// The sweep deletes what is over for an hour, a batch in each transaction. Most of it is found by indexes: sessions past
// their deadlines, those that were ended, and those that were never used. A session that was used and then left alone is
// in no index, because each use would have to change it. Such are found by a walk, which reads the table once a day, each
// sweep its part, and writes nothing to sessions in use. So a table of millions costs what changes in it.

// batch is what one transaction of a sweep does. more: there may be another.
type batch func(ctx context.Context, tx pgx.Tx) (more bool, err error)

const (
	// restFactor is how many times as long as a batch a sweep of Run rests after it.
	restFactor = 19
	// samplePages is in how many pages of the table valid sessions are counted, about twenty in each.
	samplePages = 100
	// walkPeriod is how long the walk takes through a table.
	walkPeriod = 24 * time.Hour
	// walkLeast is how many pages the walk reads in each sweep at least, so that small tables are read as a whole.
	walkLeast = 64
	// walkBatch is how many pages it reads in one transaction.
	walkBatch = 128
	// walkMissed is how much of the walk one sweep catches up with at most, after a time without one; or two intervals.
	walkMissed = time.Hour
	// sweepUsers is of how many users the sessions are emptied in one transaction.
	sweepUsers = 50
)

// runSweep sweeps every interval, give or take half, so that pods which started together do not come together.
func (s *Store[T]) runSweep(ctx context.Context) {
	interval := s.cfg.SweepInterval
	wait := rand.N(interval) + 1
	for {
		if !rest(ctx, wait) {
			return
		}
		wait = interval/2 + rand.N(interval) + 1
		if err := s.sweepInTurn(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "sweep failed", slog.Any("error", err))
		}
	}
}

// rest reports whether the time has passed, and ctx has not ended.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// sweepInTurn sweeps unless another pod has done so a short while ago.
func (s *Store[T]) sweepInTurn(ctx context.Context) error {
	var due bool
	var active, ago int64
	missed := max(2*s.cfg.SweepInterval, walkMissed)
	err := s.pool.QueryRow(ctx, s.sql.sweepBegin, (s.cfg.SweepInterval/2).Microseconds(), missed.Microseconds()).Scan(&due, &ago, &active)
	if err != nil {
		return explain("sweep", err)
	}
	if active >= 0 {
		s.stats.active.Store(active + 1)
	}
	if !due {
		return nil
	}

	return s.sweep(ctx, restFactor, &walk{share: float64(micros(ago)) / float64(walkPeriod)})
}

// Sweep deletes at once what Run deletes over time: sessions that ended more than an hour ago, and expired one-time
// values. It reads the whole table of sessions. It returns when everything is done, or when another pod is doing it.
func (s *Store[T]) Sweep(ctx context.Context) error { return s.sweep(ctx, 0, &walk{share: 1}) }

func (s *Store[T]) sweep(ctx context.Context, rests time.Duration, w *walk) error {
	for _, b := range []batch{
		s.deleting(s.sql.sweepExpired, sweptExpired),
		s.deleting(s.sql.sweepOneTime, sweptOneTime),
		s.deleting(s.sql.sweepLogouts, sweptLogout),
		s.deleting(s.sql.sweepForgotten, sweptLogout),
		s.emptying,
		s.examiningDue,
		s.walking(w),
		s.counting,
	} {
		mine, err := s.sweepBatches(ctx, b, rests)
		if err != nil {
			return explain("sweep", err)
		}
		if !mine {
			return nil // another pod is at it
		}
	}

	return nil
}

// sweepBatches runs batches of one kind until there are no more. Each is a transaction of its own: who writes to one of
// its rows waits for its end.
func (s *Store[T]) sweepBatches(ctx context.Context, b batch, rests time.Duration) (mine bool, err error) {
	for more := true; more; {
		begun := time.Now()
		err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
			if err := tx.QueryRow(ctx, s.sql.sweepLock, s.cfg.Schema).Scan(&mine); err != nil || !mine {
				return err
			}
			more, err = b(ctx, tx)
			return err
		})
		if err != nil || !mine {
			return mine, err
		}
		if more && rests > 0 && !rest(ctx, rests*min(time.Since(begun), time.Second)) {
			return mine, ctx.Err()
		}
	}

	return true, nil
}

// deleting deletes a batch by an index.
func (s *Store[T]) deleting(sql string, what int) batch {
	return func(ctx context.Context, tx pgx.Tx) (bool, error) {
		tag, err := tx.Exec(ctx, sql, s.cfg.SweepBatch)
		if err != nil {
			return false, err
		}
		s.stats.swept[what].Add(tag.RowsAffected())
		return tag.RowsAffected() == int64(s.cfg.SweepBatch), nil
	}
}

// examiningDue looks up the rows whose time for that has come.
func (s *Store[T]) examiningDue(ctx context.Context, tx pgx.Tx) (more bool, err error) {
	n, err := s.examine(ctx, tx, s.sql.sweepDue, s.cfg.SweepBatch)
	return n == s.cfg.SweepBatch, err
}

// walk is the part of the table that a sweep reads.
type walk struct {
	share float64 // of the table
	begun bool
	left  int64 // pages
}

// walking reads some pages of the table, from where the last sweep has ended.
func (s *Store[T]) walking(w *walk) batch {
	return func(ctx context.Context, tx pgx.Tx) (more bool, err error) {
		var pages, from int64
		if err := tx.QueryRow(ctx, s.sql.sweepPages).Scan(&pages, &from); err != nil {
			return false, err
		}
		if !w.begun {
			w.begun, w.left = true, min(max(int64(math.Ceil(w.share*float64(pages))), walkLeast), pages)
		}
		if from >= pages {
			from = 0 // around, or the table has become smaller
		}
		to := min(from+min(w.left, walkBatch), pages)
		n, err := s.examine(ctx, tx, s.sql.sweepWalk, from, to, s.cfg.SweepBatch)
		if err != nil {
			return false, err
		}
		if n == s.cfg.SweepBatch {
			return true, nil // the same pages once more
		}

		w.left -= to - from
		_, err = tx.Exec(ctx, s.sql.sweepWalked, to)
		return w.left > 0, err
	}
}

// examine deletes those of the rows that a statement locks which are over, and leaves the others to their deadlines and
// the walk. It returns how many there were.
func (s *Store[T]) examine(ctx context.Context, tx pgx.Tx, sql string, args ...any) (n int, err error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return 0, err
	}
	over := map[string]int64{}
	var dead, alive [][]byte
	var k []byte
	var why string
	_, err = pgx.ForEachRow(rows, []any{&k, &why}, func() error {
		own := append([]byte(nil), k...)
		if why == "" {
			alive = append(alive, own)
			return nil
		}
		dead = append(dead, own)
		over[why]++
		return nil
	})
	if err != nil {
		return 0, err
	}

	if len(dead) > 0 {
		if _, err := tx.Exec(ctx, s.sql.sweepDelete, dead); err != nil {
			return 0, err
		}
	}
	if len(alive) > 0 {
		if _, err := tx.Exec(ctx, s.sql.sweepLater, alive); err != nil {
			return 0, err
		}
		tag, err := tx.Exec(ctx, s.sql.sweepOrphans, alive, string(ReasonUser))
		if err != nil {
			return 0, err
		}
		s.stats.swept[sweptEmptied].Add(tag.RowsAffected())
	}
	for why, n := range over {
		s.stats.swept[sweptKind(why)].Add(n)
	}
	return len(dead) + len(alive), nil
}

// emptying takes the data of sessions whose users' sessions were all ended.
func (s *Store[T]) emptying(ctx context.Context, tx pgx.Tx) (more bool, err error) {
	rows, err := tx.Query(ctx, s.sql.sweepUsers, sweepUsers)
	if err != nil {
		return false, err
	}
	var users []string
	var gens []int64
	var user string
	var gen int64
	_, err = pgx.ForEachRow(rows, []any{&user, &gen}, func() error {
		users, gens = append(users, user), append(gens, gen)
		return nil
	})
	if err != nil || len(users) == 0 {
		return false, err
	}

	tag, err := tx.Exec(ctx, s.sql.sweepEnded, users, gens, string(ReasonUser), s.cfg.SweepBatch)
	if err != nil {
		return false, err
	}
	s.stats.swept[sweptEmptied].Add(tag.RowsAffected())
	if tag.RowsAffected() == int64(s.cfg.SweepBatch) {
		return true, nil // the same users once more
	}
	_, err = tx.Exec(ctx, s.sql.sweepUsersDone, users, gens)
	return len(users) == sweepUsers, err
}

// counting estimates how many sessions are valid, for all pods.
func (s *Store[T]) counting(ctx context.Context, tx pgx.Tx) (more bool, err error) { //nolint:unparam // a step of the sweep, like the others
	var pages, walked, active int64
	if err := tx.QueryRow(ctx, s.sql.sweepPages).Scan(&pages, &walked); err != nil {
		return false, err
	}
	percent := 100.0
	if pages > samplePages {
		percent = samplePages * 100 / float64(pages)
	}
	if err := tx.QueryRow(ctx, s.sql.sweepEnd, percent).Scan(&active); err != nil {
		return false, err
	}
	s.stats.active.Store(active + 1)
	return false, nil
}
