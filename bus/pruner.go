package bus

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// pruner deletes events that everybody who is to be spared a reset has long applied. It keeps snapshots in memory with
// the time they were taken, so no clock but this process' own is asked.
type pruner struct {
	p     *Postgres
	kept  []keptSnapshot // ascending in time
	doing *position.Snapshot
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
	if r.p.cfg.Retention < 0 {
		return
	}
	if n := len(r.kept); n > 0 {
		if r.kept[n-1].epoch != epoch {
			r.kept, r.doing = nil, nil
		} else if at.Sub(r.kept[n-1].at) < r.p.cfg.Retention/pruneSteps {
			return
		}
	}
	r.kept = append(r.kept, keptSnapshot{at, epoch, s})
}

// step deletes one batch if there is one to delete.
func (r *pruner) step(ctx context.Context, conn *pgx.Conn, st standing) (done bool, err error) {
	if r.doing == nil {
		n := 0
		for n < len(r.kept) && time.Since(r.kept[n].at) >= r.p.cfg.Retention {
			n++
		}
		if n == 0 || r.kept[n-1].epoch != st.epoch {
			return false, nil
		}
		snapshot := r.kept[n-1].snapshot
		r.doing, r.kept = &snapshot, r.kept[n:]
	}
	r.p.stats.statements.Add(1)
	tag, err := conn.Exec(ctx, r.p.sql.prune, r.doing.String(), st.identity, pruneBatch,
		strconv.FormatUint(r.doing.Xmax, 10), decimal(r.doing.Xip))
	if err != nil {
		r.doing = nil
		return false, fmt.Errorf("bus: prune: %w", err)
	}
	r.p.stats.pruned.Add(tag.RowsAffected())
	if tag.RowsAffected() < pruneBatch {
		r.doing = nil
	}
	return true, nil
}
