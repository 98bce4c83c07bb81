package bus

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// pruner deletes events that every pod that is to be spared a reset has long applied. It keeps snapshots in memory with
// the time they were taken, so no clock but this process' own is asked.
type pruner struct {
	*env
	liveness *liveness

	kept    []keptSnapshot // ascending in time
	current *keptSnapshot  // what is being pruned, batch by batch
}

type keptSnapshot struct {
	at       time.Time
	epoch    string
	snapshot position.Snapshot
}

const (
	pruneSteps = 15 // snapshots kept per Retention
	pruneBatch = 5000
)

// keep remembers a snapshot now and then.
func (r *pruner) keep(at time.Time, epoch string, s position.Snapshot) {
	if r.cfg.Retention < 0 {
		return
	}
	if n := len(r.kept); n > 0 {
		if r.kept[n-1].epoch != epoch {
			r.kept, r.current = nil, nil
		} else if at.Sub(r.kept[n-1].at) < r.cfg.Retention/pruneSteps {
			return
		}
	}
	r.kept = append(r.kept, keptSnapshot{at, epoch, s})
}

// due is when the oldest snapshot has reached Retention; at once while there is more to delete.
func (r *pruner) due(now time.Time, st status) time.Time {
	switch {
	case !r.liveness.cleansUp(st):
		return never(now)
	case r.current != nil && r.current.epoch == st.epoch:
		return now
	case len(r.kept) == 0 || r.kept[0].epoch != st.epoch:
		return never(now)
	}
	return r.kept[0].at.Add(r.cfg.Retention)
}

// run deletes one batch.
func (r *pruner) run(ctx context.Context, conn *pgx.Conn, st status) error {
	if r.current == nil || r.current.epoch != st.epoch {
		r.current = r.takeOldest(time.Now())
	}
	if r.current == nil {
		return nil
	}

	s := r.current.snapshot
	r.stats.statements.Add(1)
	tag, err := conn.Exec(ctx, r.sql.prune, s.String(), st.identity, pruneBatch, strconv.FormatUint(s.Xmax, 10), decimal(s.Xip))
	if err != nil {
		r.current = nil
		return err
	}
	r.stats.pruned.Add(tag.RowsAffected())
	if tag.RowsAffected() < pruneBatch {
		r.current = nil
	}
	return nil
}

// takeOldest returns the newest of the snapshots that have reached Retention, and forgets those before it.
func (r *pruner) takeOldest(now time.Time) *keptSnapshot {
	n := 0
	for n < len(r.kept) && now.Sub(r.kept[n].at) >= r.cfg.Retention {
		n++
	}
	if n == 0 {
		return nil
	}
	taken := r.kept[n-1]
	r.kept = r.kept[n:]
	return &taken
}
