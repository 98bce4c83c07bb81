package status

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const listenWait = 2 * time.Second

// pooler checks that statements reach one and the same backend, and the one that the handshake named.
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

// listens checks that a notification arrives.
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

// notify sends a notification from another connection, and reads what the server remarks on it.
func (d *doctor) notify(ctx context.Context, channel string) error {
	conn, err := d.connect(ctx, func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if pid, ok := holderOf(n.Detail); ok {
			d.holder = pid
		}
	})
	if err != nil {
		return err
	}
	defer conn.Close()

	// The bus does not want to hear of it each time, and so has it switched off.
	if _, err := conn.Exec(ctx, "SET client_min_messages = warning", pgx.QueryExecModeExec); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "SELECT pg_notify($1, '')", pgx.QueryExecModeExec, channel)
	return err
}

// reconnect replaces a connection on which a wait was broken off.
func (d *doctor) reconnect(ctx context.Context) {
	_ = d.conn.Close(ctx)
	if conn, err := d.connect(ctx, nil); err == nil {
		d.conn = conn.Conn
	}
}

// queue checks how full the notification queue is, and who holds it.
func (d *doctor) queue(ctx context.Context) {
	var usage float64
	var suspects []int32
	if err := d.query(ctx, "queue").Scan(&usage, &suspects); err != nil {
		d.broken("queue", err)
		return
	}

	level := LevelOK
	switch {
	case usage >= d.limits.queueFail:
		level = LevelFail
	case usage >= d.limits.queueWarn:
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
