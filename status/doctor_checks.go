package status

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// schemas checks that all tables are there and new enough, by what a migration would do.
func (d *doctor) schemas(ctx context.Context) (whole bool) {
	quiet := slog.New(slog.DiscardHandler)
	whole = true
	for _, c := range d.cfg.Components {
		var todo bytes.Buffer
		var err error
		call := c + ".Migrate"
		switch c {
		case ComponentBus:
			err = bus.Migrate(ctx, d.pool, &bus.MigrateConfig{Schema: d.cfg.Schema, DryRun: &todo, Logger: quiet})
		case ComponentLock:
			err = lock.Migrate(ctx, d.pool, &lock.MigrateConfig{Schema: d.cfg.Schema, DryRun: &todo, Logger: quiet})
		case ComponentSessionstore:
			err = sessionstore.Migrate(ctx, d.pool, &sessionstore.MigrateConfig{Schema: d.cfg.Schema, DryRun: &todo, Logger: quiet})
		default:
			d.note("schema", LevelFail, "The components are bus, lock and sessionstore.", "%q is no component.", c)
			continue
		}
		switch {
		case err != nil:
			d.note("schema", LevelFail, "Let the role read the table migration: see AppRole of "+call+".", "The version of %s is not known: %s.", c, trim(err))
		case todo.Len() > 0:
			d.note("schema", LevelFail, "Call "+call+" when you deploy.", "The tables of %s are missing or too old.", c)
		default:
			d.ok("schema", "The tables of %s are there.", c)
			continue
		}
		whole = whole && c != ComponentBus
	}
	return whole
}

func (d *doctor) grants(ctx context.Context) {
	var missing []string
	if err := d.query(ctx, "grants", d.cfg.Components, d.cfg.Schema).Scan(&missing); err != nil {
		d.broken("grants", err)
	} else if len(missing) > 0 {
		d.note("grants", LevelFail, "Name the role as AppRole when you migrate.", "The role lacks %s.", strings.Join(missing, ", "))
	} else {
		d.ok("grants", "The role may do all that it must.")
	}
}

// pooler looks whether statements reach one and the same backend, and the one that the handshake named.
func (d *doctor) pooler(ctx context.Context) {
	var again uint32
	if err := d.conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeExec).Scan(&again); err != nil {
		d.broken("pooler", err)
		return
	}
	if !d.pooled && again == d.conn.PgConn().PID() {
		d.ok("pooler", "The bus' connection leads straight to the server.")
		return
	}
	d.note("pooler", LevelWarn, "Set Connect to reach the server directly, or Mode to Poll.",
		"A pooler stands between the bus and the server: session settings do not hold, and notifications may not arrive.")
}

// listens looks whether what is notified arrives.
func (d *doctor) listens(ctx context.Context) {
	channel := "pgcoherence_doctor_" + strings.ToLower(rand.Text())
	if _, err := d.conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize(), pgx.QueryExecModeExec); err != nil {
		d.broken("listen", err)
		return
	}
	begin := time.Now()
	if err := d.notify(ctx, channel); err != nil {
		d.note("listen", LevelFail, "See the check of the queue.", "A notification could not be sent: %s.", trim(err))
		return
	}
	wait, cancel := context.WithTimeout(ctx, listenWait)
	defer cancel()
	_, err := d.conn.WaitForNotification(wait)
	switch {
	case err == nil:
		d.ok("listen", "Notifications arrive; this one took %v.", time.Since(begin).Round(100*time.Microsecond))
	case wait.Err() != nil && ctx.Err() == nil:
		d.note("listen", LevelFail, "Set Connect to reach the server directly. Until then the bus polls, in Mode Auto.",
			"LISTEN is accepted, and nothing arrives within %v.", listenWait)
		d.reconnect(ctx)
	default:
		d.broken("listen", err)
		d.reconnect(ctx)
	}
}

// notify sends a notification from a connection made as the pool does, and hears what the server remarks on it.
func (d *doctor) notify(ctx context.Context, channel string) error {
	config := d.pool.Config()
	if config.BeforeConnect != nil {
		if err := config.BeforeConnect(ctx, config.ConnConfig); err != nil {
			return err
		}
	}
	config.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if pid, ok := holderOf(n.Detail); ok {
			d.holder = pid
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, "SELECT pg_notify($1, '')", pgx.QueryExecModeExec, channel)
	return err
}

// reconnect replaces a connection on which a wait was broken off.
func (d *doctor) reconnect(ctx context.Context) {
	_ = d.conn.Close(ctx)
	if conn, err := d.cfg.Connect(ctx); err == nil {
		d.conn = conn
	}
}

// queue looks how full the notification queue is, and for who holds it.
func (d *doctor) queue(ctx context.Context) {
	var usage float64
	var suspects []int32
	if err := d.query(ctx, "queue").Scan(&usage, &suspects); err != nil {
		d.broken("queue", err)
		return
	}
	level := LevelOK
	switch {
	case usage >= d.queueFail:
		level = LevelFail
	case usage >= d.queueWarn:
		level = LevelWarn
	}
	if level == LevelOK {
		d.ok("queue", "The notification queue is %s full.", percent(usage))
		return
	}
	hint := "No session looks like the one that holds it; look for a listener that does not read, in any database of the server."
	if d.holder != "" {
		hint = "The server says that process " + d.holder + " holds it: SELECT pg_terminate_backend(" + d.holder + ")."
	} else if len(suspects) > 0 {
		hint = "Perhaps one of these processes holds it, the likeliest first: " + list(suspects) +
			". End it with pg_terminate_backend."
	}
	d.note("queue", level, hint, "The notification queue is %s full; when it is full, every NOTIFY on the server fails.", percent(usage))
}

func (d *doctor) connections(ctx context.Context) {
	var free, most int
	if err := d.query(ctx, "connections").Scan(&free, &most); err != nil {
		d.broken("connections", err)
		return
	}
	need := int(d.pool.Config().MaxConns) + 2
	if free < need {
		d.note("connections", LevelWarn, "Raise max_connections, or make the pools smaller: a pod takes its pool's MaxConns and 2 for the bus.",
			"%d connections are left of %d, and one more pod takes up to %d.", max(free, 0), most, need)
		return
	}
	d.ok("connections", "%d connections are left of %d; one more pod takes up to %d.", free, most, need)
}

// log looks at the bus' tables.
func (d *doctor) log(ctx context.Context) {
	var oldest *float64
	var pods int
	var lease float64
	if err := d.query(ctx, "log").Scan(&oldest, &pods, &lease); err != nil {
		d.broken("log", err)
		return
	}
	age := time.Duration(math.Round(deref(oldest))) * time.Second
	switch limit := 2*d.cfg.Retention + time.Minute; {
	case d.cfg.Retention > 0 && age > limit && pods > 0:
		d.note("retention", LevelWarn, "A pod that sweeps deletes what is older; look at the pods' logs for what keeps them from it.",
			"The oldest event is %v old, and should go after %v.", age, d.cfg.Retention)
	case oldest == nil:
		d.ok("retention", "The log is empty; %d pods run.", pods)
	default:
		d.ok("retention", "The oldest event is %v old; %d pods run.", age, pods)
	}
	length := time.Duration(lease * float64(time.Second))
	if d.cfg.StaleAfter > length*9/10 {
		d.note("lease", LevelFail, "Raise pod_lease in the table setting, or lower StaleAfter.",
			"A pod trusts its caches for %v, which is more than 0.9 of the pod lease of %v.", d.cfg.StaleAfter, length)
		return
	}
	d.ok("lease", "The pod lease of %v leaves room for StaleAfter, %v.", length, d.cfg.StaleAfter)
}
