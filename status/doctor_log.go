package status

import (
	"context"
	"math"
	"time"
)

// origin checks that the log is this database's own. The bus empties one that is not, as soon as a pod notices.
func (d *doctor) origin(ctx context.Context) {
	var foreign bool
	if err := d.query(ctx, "origin").Scan(&foreign); err != nil {
		d.broken("origin", err)
		return
	}
	if foreign {
		d.note("origin", LevelWarn, "Start a pod: the first one empties the log, and all caches begin anew. Leave the data of the log out of the next dump: pg_dump --exclude-table-data.",
			"The log was written in another cluster or database, and came here by a dump, a template or a copy.")
		return
	}
	d.ok("origin", "The log was written here.")
}

// log checks what the bus' tables hold.
func (d *doctor) log(ctx context.Context) {
	var oldest *float64
	var lease float64
	if err := d.query(ctx, "log").Scan(&oldest, &d.pods, &lease); err != nil {
		d.broken("retention", err)
		return
	}

	age := time.Duration(math.Round(deref(oldest))) * time.Second
	switch limit := 2*d.cfg.Retention + time.Minute; {
	case d.cfg.Retention > 0 && age > limit && d.pods > 0:
		d.note("retention", LevelWarn, "A pod that sweeps deletes what is older; look at the pods' logs for what keeps them from it.",
			"The oldest event is %v old, and should go after %v.", age, d.cfg.Retention)
	case oldest == nil:
		d.ok("retention", "The log is empty; %d pods run.", d.pods)
	default:
		d.ok("retention", "The oldest event is %v old; %d pods run.", age, d.pods)
	}

	length := time.Duration(lease * float64(time.Second))
	if d.cfg.StaleAfter > length*9/10 {
		d.note("lease", LevelFail, "Raise the lease with SetPodLease or CALL pgcoherence.set_pod_lease, or lower StaleAfter.",
			"A pod trusts its caches for %v, which is more than 0.9 of the pod lease of %v.", d.cfg.StaleAfter, length)
		return
	}
	d.ok("lease", "The pod lease of %v leaves room for StaleAfter, %v.", length, d.cfg.StaleAfter)
}
