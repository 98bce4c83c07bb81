package status

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	oldestVersion = 14
	newestVersion = 18 // that has been tested
	maxOffset     = time.Second
)

// reachable checks that the pool connects, and that the bus does.
func (d *doctor) reachable(ctx context.Context) bool {
	if err := d.pool.Ping(ctx); err != nil {
		d.note("reachable", LevelFail, remedyOf(err), "The pool cannot connect: %s.", trim(err))
		return false
	}

	conn, err := d.connect(ctx, nil)
	if errors.Is(err, errNotPrimary) {
		d.ok("reachable", "The pool connects.")
		d.notPrimary(ctx, err)
		return false
	}
	if err != nil {
		d.note("reachable", LevelFail, "The bus needs two connections beside the pool. "+remedyOf(err),
			"The pool connects, and the bus cannot: %s.", trim(err))
		return false
	}
	d.conn, d.pooled = conn.Conn, conn.Pooled
	d.ok("reachable", "The pool connects, and so does the bus.")
	return true
}

// server checks which kind of server it is.
func (d *doctor) server(ctx context.Context) bool {
	var number int
	var version string
	var now time.Time
	sent := time.Now()
	if err := d.query(ctx, "server").Scan(&number, &version, &now); err != nil {
		d.broken("primary", err)
		return false
	}
	middle := sent.Add(time.Since(sent) / 2)
	d.major = number / 10000

	if readOnly, err := d.readOnly(ctx); err != nil {
		d.broken("primary", err)
		return false
	} else if readOnly {
		return false
	}
	d.ok("primary", "The server is a primary and accepts writes.")

	switch {
	case d.major < oldestVersion:
		d.note("version", LevelFail, fmt.Sprintf("Use Postgres %d or newer.", oldestVersion), "Postgres %s is too old.", version)
	case d.major > newestVersion:
		d.note("version", LevelWarn, "It may work: run your tests on it.", "Postgres %s is newer than what this version was tested with.", version)
	default:
		d.ok("version", "Postgres %s.", version)
	}

	if offset := now.Sub(middle); offset.Abs() > maxOffset {
		d.note("clock", LevelWarn, "Nothing correct depends on it, but delays are measured across the two clocks. Run NTP on both.",
			"The server's clock is %v off this machine's.", offset.Round(time.Millisecond))
	} else {
		d.ok("clock", "The server's clock is %v off this machine's.", offset.Round(time.Millisecond))
	}
	return true
}

// notPrimary notes why the server takes no writes of the bus.
func (d *doctor) notPrimary(ctx context.Context, err error) {
	var recovery bool
	if queryErr := d.pool.QueryRow(ctx, "SELECT pg_is_in_recovery()", pgx.QueryExecModeExec).Scan(&recovery); queryErr != nil {
		d.broken("primary", queryErr)
		return
	}
	if recovery {
		d.note("primary", LevelFail, "Let the address lead to the primary, as target_session_attrs=read-write does with several hosts.",
			"The server is a standby.")
		return
	}
	if readOnly, settingErr := d.readOnly(ctx); settingErr != nil || !readOnly {
		d.note("primary", LevelFail, "Look for default_transaction_read_only.", "The bus cannot write: %s.", trim(err))
	}
}

// readOnly notes a primary on which this role's transactions are read-only, with the place of the setting.
func (d *doctor) readOnly(ctx context.Context) (bool, error) {
	all, err := d.readSettings(ctx, "default_transaction_read_only")
	if err != nil {
		return false, err
	}
	s, ok := all["default_transaction_read_only"]
	if !ok || s.value != "on" {
		return false, nil
	}
	d.note("primary", LevelFail, s.remedy(), "The server is a primary, but transactions are read-only: default_transaction_read_only is on, %s.", s.place())
	return true, nil
}

// encoding checks that text of all languages can be stored and sent.
func (d *doctor) encoding(ctx context.Context) {
	var encoding string
	if err := d.query(ctx, "encoding").Scan(&encoding); err != nil {
		d.broken("encoding", err)
		return
	}
	if encoding != "UTF8" {
		d.note("encoding", LevelWarn, "Use a database with ENCODING 'UTF8', or keep keys to ASCII.",
			"The database's encoding is %s: a key with other characters than ASCII may not reach the caches as it was written.", encoding)
		return
	}
	d.ok("encoding", "The database's encoding is UTF8.")
}

// commits checks that a commit comes to its end, which needs a synchronous standby where one is configured. The
// transaction writes a message into the WAL and nothing else.
func (d *doctor) commits(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, d.limits.commitWait)
	defer cancel()
	begin := time.Now()
	conn, err := d.connect(limit, nil)
	if err != nil {
		d.broken("commit", err)
		return
	}
	defer conn.Close()

	_, err = conn.Exec(limit, "SELECT pg_logical_emit_message(true, 'pgcoherence.doctor', '')", pgx.QueryExecModeExec)
	if err == nil {
		d.ok("commit", "A commit returns; this one took %v with its connection.", time.Since(begin).Round(100*time.Microsecond))
		return
	}
	if limit.Err() == nil || ctx.Err() != nil {
		d.broken("commit", err)
		return
	}

	// The standbys' names tell whether it is a standby that is missing.
	standbys, err := d.readSettings(ctx, "synchronous_standby_names")
	if s := standbys["synchronous_standby_names"]; err == nil && s.value != "" {
		d.note("commit", LevelFail, "Bring the standby back, or shorten synchronous_standby_names.",
			"A commit does not return within %v: the server waits for a synchronous standby (synchronous_standby_names is '%s').", d.limits.commitWait, s.value)
		return
	}
	d.note("commit", LevelFail, "Look at the server's disk, locks and load: wait_event of pg_stat_activity names what it waits for.",
		"A commit does not return within %v.", d.limits.commitWait)
}

// remedyOf returns what to do about an error of the server or of the network.
func remedyOf(err error) string {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return "Check the address, the network and whether the server runs."
	}

	switch pgErr.Code {
	case "28P01", "28000":
		return "Check user, password and pg_hba.conf."
	case "3D000":
		return "Create the database, or correct its name in the address."
	case "53300":
		return connectionLimit(pgErr.Message)
	case "57P03":
		return "The server starts or stops: try again."
	case "42501":
		return "Grant the role what the message names: AppRole of the Migrate functions does."
	case "42P01", "42883", "3F000":
		return "Call the Migrate function of the component when you deploy."
	case "57014":
		return "A time-out of the server ended the statement: raise statement_timeout for this role."
	case "55P03":
		return "A lock was not to be had in time: raise lock_timeout for this role, and look for who holds the lock."
	}

	return "Look at the server's log for this message."
}

// connectionLimit distinguishes the limit of a role or a database from that of the server, by the server's own message.
func connectionLimit(message string) string {
	switch {
	case strings.Contains(message, "for role"):
		return "The role's own limit is reached: raise it with ALTER ROLE … CONNECTION LIMIT, or make the pools smaller."
	case strings.Contains(message, "for database"):
		return "The database's own limit is reached: raise it with ALTER DATABASE … CONNECTION LIMIT, or make the pools smaller."
	}
	return "The server's limit is reached: raise max_connections, or make the pools smaller."
}

// trim returns an error's text without line breaks and the full stop.
func trim(err error) string {
	return strings.TrimRight(strings.Join(strings.Fields(err.Error()), " "), ".")
}
