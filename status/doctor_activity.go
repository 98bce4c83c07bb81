package status

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// snapshots looks for who keeps the server from cleaning up dead rows. The tables of the bus and of locks are small and
// change all the time, so they are the first to become slow.
func (d *doctor) snapshots(ctx context.Context) {
	rows, err := d.conn.Query(ctx, d.statement("snapshots"), pgx.QueryExecModeExec, d.limits.snapshotAge.Seconds(), d.limits.snapshotXIDs)
	if err != nil {
		d.broken("snapshots", err)
		return
	}
	var holders []string
	var kind, who, first string
	var seconds *float64
	var xids *int64
	if _, err = pgx.ForEachRow(rows, []any{&kind, &who, &seconds, &xids}, func() error {
		age := fmt.Sprintf("%d transactions ago", *xids)
		if seconds != nil {
			age = (time.Duration(*seconds) * time.Second).String() + " ago"
		}
		if first == "" {
			first = kind
		}
		holders = append(holders, fmt.Sprintf("%s %s, begun %s", kind, who, age))
		return nil
	}); err != nil {
		d.broken("snapshots", err)
		return
	}

	if len(holders) == 0 {
		d.ok("snapshots", "No old snapshot keeps dead rows.")
		return
	}
	hint := map[string]string{
		"transaction":          "End it: SELECT pg_terminate_backend(its process). idle_in_transaction_session_timeout and transaction_timeout bound such transactions.",
		"prepared transaction": "COMMIT PREPARED or ROLLBACK PREPARED it.",
		"replication slot":     "Let its subscriber catch up, or drop the slot: SELECT pg_drop_replication_slot(its name).",
	}[first]
	d.note("snapshots", LevelWarn, hint, "Dead rows are kept, and tables that change often become slow, because of %s.", strings.Join(holders, "; "))
}

// connections checks that the connections suffice for one more pod than there is now, as a rolling deploy needs.
func (d *doctor) connections(ctx context.Context) {
	var free, most int
	var limit string
	if err := d.query(ctx, "connections").Scan(&free, &limit, &most); err != nil {
		d.broken("connections", err)
		return
	}

	need := int(d.pool.Config().MaxConns) + 2
	if free >= need {
		d.ok("connections", "%d connections are left of %d; one more pod takes up to %d, and %d are registered.", max(free, 0), most, need, d.pods)
		return
	}
	hint := map[string]string{
		"server":   "Raise max_connections, or make the pools smaller",
		"database": "Raise the database's own limit with ALTER DATABASE … CONNECTION LIMIT, or make the pools smaller",
		"role":     "Raise the role's own limit with ALTER ROLE … CONNECTION LIMIT, or make the pools smaller",
	}[limit]
	d.note("connections", LevelWarn, hint+": a pod takes its pool's MaxConns and 2 for the bus.",
		"The limit of the %s leaves %d connections, and one more pod takes up to %d; %d are registered.", limit, max(free, 0), need, d.pods)
}
