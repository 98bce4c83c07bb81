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

// connections checks that the connections suffice for the pods that a rolling deploy starts before it ends others: a
// quarter of those there are, as Kubernetes does by default, and at least one.
func (d *doctor) connections(ctx context.Context) {
	var free, most int
	var limit string
	if err := d.query(ctx, "connections").Scan(&free, &limit, &most); err != nil {
		d.broken("connections", err)
		return
	}

	each := int(d.pool.Config().MaxConns) + 2
	room, surge := max(free, 0)/each, max(1, (d.pods+3)/4)
	if room >= surge {
		d.ok("connections", "%d connections are left of %d: room for %d pods more that take up to %d each; %d are registered.", free, most, room, each, d.pods)
		return
	}
	hint := map[string]string{
		"server":   "Raise max_connections, or make the pools smaller",
		"database": "Raise the database's own limit with ALTER DATABASE … CONNECTION LIMIT, or make the pools smaller",
		"role":     "Raise the role's own limit with ALTER ROLE … CONNECTION LIMIT, or make the pools smaller",
	}[limit]
	d.note("connections", LevelWarn, hint+": a pod takes its pool's MaxConns and 2 for the bus.",
		"The limit of the %s leaves %d connections, which is room for %d pods more of up to %d each; %d are registered, and a rolling deploy may start %d at once.",
		limit, max(free, 0), room, each, d.pods, surge)
}
