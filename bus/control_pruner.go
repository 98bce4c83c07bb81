package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcoherence/pgcoherence/internal/pgerr"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// pruner deletes events that every pod that is to be spared a reset has long applied. How old a snapshot is, pods measure
// by their own clocks, one going on from where another ended: no clock of the database is asked, and no pod has to live
// for Retention.
type pruner struct {
	*env
	liveness *liveness

	kept    []keptSnapshot // ascending in time
	loaded  string         // the epoch whose snapshots and end have been read from the log
	pruned  position.Snapshot
	next    time.Time // when to exchange the kept snapshots with the log
	tidied  time.Time // when what is older than the log was last looked for
	current *prune
	batch   int
}

type keptSnapshot struct {
	at       time.Time // at the latest
	epoch    string    // short form
	snapshot position.Snapshot
}

// prune is one deletion, batch by batch.
type prune struct {
	keptSnapshot
	from uint64 // the largest transaction of the last batch
}

const (
	pruneSteps    = 15 // snapshots kept per Retention
	maxPruneBatch = 5000
	minPruneBatch = 50
)

// keep remembers a snapshot now and then.
func (r *pruner) keep(at time.Time, epoch string, s position.Snapshot) {
	if r.cfg.Retention < 0 {
		return
	}
	if n := len(r.kept); n > 0 {
		if r.kept[n-1].epoch != epoch {
			r.kept, r.current, r.loaded = nil, nil, ""
		} else if at.Sub(r.kept[n-1].at) < r.cfg.Retention/pruneSteps {
			return
		}
	}
	r.kept = append(r.kept, keptSnapshot{at, epoch, s})
}

// due is at once while there is more to delete, when the oldest snapshot has reached Retention, and four times as often as
// snapshots are kept, to exchange them.
func (r *pruner) due(now time.Time, st status) time.Time {
	switch {
	case !r.liveness.cleansUp(st) || len(r.kept) == 0 || r.kept[0].epoch != st.epoch:
		return never(now)
	case r.current != nil || r.loaded != st.epoch:
		return now
	}
	if oldest := r.kept[0].at.Add(r.cfg.Retention); oldest.Before(r.next) {
		return oldest
	}
	return r.next
}

// run exchanges the kept snapshots with the log, or deletes one batch.
func (r *pruner) run(ctx context.Context, conn *pgx.Conn, st status) error {
	now := time.Now()
	if r.current == nil && (r.loaded != st.epoch || !now.Before(r.next)) {
		r.next = now.Add(max(r.cfg.Retention/pruneSteps/4, time.Second))
		return r.exchange(ctx, conn, st, now)
	}
	if r.current == nil {
		r.current = r.takeOldest(now)
	}
	if r.current == nil {
		return nil
	}
	return r.deleteBatch(ctx, conn, st)
}

// exchange takes over the snapshots that others have kept and writes all of them down.
func (r *pruner) exchange(ctx context.Context, conn *pgx.Conn, st status, now time.Time) error {
	if r.loaded != st.epoch {
		if err := r.load(ctx, conn, st, now); err != nil {
			return err
		}
		r.loaded = st.epoch
	}

	texts, ages := make([]string, len(r.kept)), make([]int64, len(r.kept))
	for i, k := range r.kept {
		texts[i], ages[i] = k.snapshot.String(), now.Sub(k.at).Milliseconds()
	}
	r.stats.statements.Add(1)
	if _, err := conn.Exec(ctx, r.sql.keep, st.identity, texts, ages); err != nil {
		return fmt.Errorf("keep: %w", err)
	}
	if err := r.measure(ctx, conn, now); err != nil {
		return err
	}
	return r.tidy(ctx, conn, now)
}

// measure finds out how much the log holds, for metrics.
func (r *pruner) measure(ctx context.Context, conn *pgx.Conn, now time.Time) error {
	var rows int64
	var oldest *int64
	r.stats.statements.Add(1)
	err := conn.QueryRow(ctx, r.sql.measure, strconv.FormatUint(r.pruned.Xmax, 10)).Scan(&rows, &oldest)
	if _, refused := pgerr.As(err); refused { // a metric is not worth the connection
		r.log.DebugContext(ctx, "log not measured", slog.Any("error", err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("measure the log: %w", err)
	}

	size := logSize{at: now, rows: rows}
	if oldest != nil {
		size.oldest = time.Duration(*oldest) * time.Millisecond
	}
	r.stats.log.Store(&size)
	return nil
}

// tidy deletes what no prune comes to. Looking for what is older than the log reads through all that was deleted, where an
// old snapshot keeps it, and so it is done rarely, and the server ends it in time.
func (r *pruner) tidy(ctx context.Context, conn *pgx.Conn, now time.Time) error {
	if now.Sub(r.tidied) < r.cfg.Retention {
		r.stats.statements.Add(1)
		return r.deleteForged(ctx, conn, position.Snapshot{})
	}

	r.tidied = now
	err := r.bounded(ctx, conn, func(tx pgx.Tx) error { return r.deleteForged(ctx, tx, r.pruned) })
	if pgerr.IsCanceled(err) {
		r.log.InfoContext(ctx, "looking for events that no prune comes to took too long")
		return nil
	}
	return err
}

// execer is a connection or a transaction.
type execer interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
}

// deleteForged deletes events of transactions that have not begun, and those that a snapshot sees.
func (r *pruner) deleteForged(ctx context.Context, db execer, older position.Snapshot) error {
	tag, err := db.Exec(ctx, r.sql.tidy, maxPruneBatch, strconv.FormatUint(older.Xmax, 10), decimal(older.Xip))
	if err != nil {
		return fmt.Errorf("tidy: %w", err)
	}
	r.stats.unreadable.Add(tag.RowsAffected())
	return nil
}

// load merges the snapshots in the log with those of this pod. What does not make sense is left out.
func (r *pruner) load(ctx context.Context, conn *pgx.Conn, st status, now time.Time) error {
	var texts []*string
	var ages []*int64
	var pruned *string
	r.stats.statements.Add(1)
	err := conn.QueryRow(ctx, r.sql.kept, st.identity).Scan(&texts, &ages, &pruned)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // the epoch has gone: a reset follows
	}
	if err != nil {
		return fmt.Errorf("read kept snapshots: %w", err)
	}

	r.pruned = position.Snapshot{}
	if pruned != nil {
		if r.pruned, err = position.ParseSnapshot(*pruned); err != nil {
			return err
		}
	}
	newest := r.kept[len(r.kept)-1].snapshot.Stamp()
	for i := range min(len(texts), len(ages), 4*pruneSteps) {
		if texts[i] == nil || ages[i] == nil {
			continue
		}
		s, err := position.ParseSnapshot(*texts[i])
		if err != nil || !newest.AtLeast(s.Stamp()) {
			continue
		}
		age := time.Duration(min(max(*ages[i], 0), 1<<40)) * time.Millisecond
		r.kept = append(r.kept, keptSnapshot{now.Add(-age), st.epoch, s})
	}
	slices.SortStableFunc(r.kept, func(a, b keptSnapshot) int { return a.at.Compare(b.at) })

	// A later snapshot cannot be older.
	ordered := r.kept[:0]
	for _, k := range r.kept {
		if n := len(ordered); n == 0 || k.snapshot.Stamp().AtLeast(ordered[n-1].snapshot.Stamp()) {
			ordered = append(ordered, k)
		}
	}
	r.kept = ordered[max(0, len(ordered)-2*pruneSteps):]
	return nil
}

// takeOldest returns the newest of the snapshots that have reached Retention, and forgets those before it.
func (r *pruner) takeOldest(now time.Time) *prune {
	n := 0
	for n < len(r.kept) && now.Sub(r.kept[n].at) >= r.cfg.Retention {
		n++
	}
	if n == 0 {
		return nil
	}
	taken := r.kept[n-1]
	r.kept = r.kept[n:]
	return &prune{keptSnapshot: taken}
}

// deleteBatch deletes one batch. If the server ends it for taking too long, the next ones are smaller.
func (r *pruner) deleteBatch(ctx context.Context, conn *pgx.Conn, st status) error {
	if r.batch == 0 {
		r.batch = maxPruneBatch
	}
	s := r.current.snapshot
	args := []any{
		s.String(), st.identity, r.batch, strconv.FormatUint(s.Xmax, 10), decimal(s.Xip),
		strconv.FormatUint(r.pruned.Xmax, 10), decimal(r.pruned.Xip), strconv.FormatUint(r.current.from, 10),
	}
	var claimed, deleted int64
	var last *string
	err := r.bounded(ctx, conn, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, r.sql.prune, args...).Scan(&claimed, &deleted, &last)
	})
	if pgerr.IsCanceled(err) && r.batch > minPruneBatch {
		r.batch = max(r.batch/4, minPruneBatch)
		r.log.InfoContext(ctx, "pruning took too long, going on in smaller batches", slog.Int("events", r.batch))
		return nil
	}
	if err != nil {
		r.current, r.loaded = nil, ""
		return err
	}

	r.stats.pruned.Add(deleted)
	if last != nil {
		if from, err := strconv.ParseUint(*last, 10, 64); err == nil {
			r.current.from = max(r.current.from, from)
		}
	}
	switch {
	case claimed == 0: // another pod has gone further, or the epoch has ended
		r.current, r.loaded = nil, ""
		return nil
	case deleted >= int64(r.batch):
		r.batch = min(2*r.batch, maxPruneBatch)
		return nil
	}
	r.current, r.pruned = nil, s
	r.stats.statements.Add(1)
	_, err = conn.Exec(ctx, r.sql.pruned, s.String(), st.identity, strconv.FormatUint(s.Xmax, 10))
	return err
}

// bounded runs f in a transaction whose statements the server itself ends in time, so that the connection survives it.
func (r *pruner) bounded(ctx context.Context, conn *pgx.Conn, f func(pgx.Tx) error) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()

	r.stats.statements.Add(4)
	limit := max(r.statementTimeout()/2, time.Millisecond).Milliseconds()
	if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = "+strconv.FormatInt(limit, 10)); err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
