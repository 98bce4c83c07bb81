package status

import (
	"cmp"
	"context"
	"embed"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

//go:embed query/*.sql
var queries embed.FS

// The components whose tables Doctor looks for.
const (
	ComponentBus          = "bus"
	ComponentLock         = "lock"
	ComponentSessionstore = "sessionstore"
)

// DoctorConfig is what Doctor looks at; nil is a good one for an application with a bus and nothing else.
type DoctorConfig struct {
	// Schema is that of bus.Config. Defaults to bus.DefaultSchema.
	Schema string
	// Connect is that of bus.Config: how the bus reaches the server. Defaults to the pool's way.
	Connect func(ctx context.Context) (*pgx.Conn, error)
	// Components are those in use. Defaults to ComponentBus.
	Components []string
	// Retention is that of bus.Config. Defaults to bus.DefaultRetention.
	Retention time.Duration
	// StaleAfter is that of bus.Config, with the longest time that a cache goes on serving after it. Defaults to
	// bus.DefaultStaleAfter.
	StaleAfter time.Duration
	// Timeout bounds all of it. Defaults to 20 seconds.
	Timeout time.Duration
}

const (
	oldestVersion = 14
	newestVersion = 18 // that has been tested
	listenWait    = 2 * time.Second
	maxOffset     = time.Second
)

type doctor struct {
	pool *pgxpool.Pool
	cfg  DoctorConfig
	// queueWarn and queueFail are how full the notification queue may be.
	queueWarn, queueFail float64
	Diagnosis

	conn   *pgx.Conn // as the bus connects
	pooled bool
	holder string // the process that the server says holds the notification queue
}

// Doctor checks whether a database is fit for a bus, and for what else is in use, and says what to do where it is not. It
// changes nothing: it listens on a channel of its own for a moment, and sends one notification to it. It makes two
// connections of its own and takes one of the pool, and returns when it is done, at the latest after Timeout.
func Doctor(ctx context.Context, pool *pgxpool.Pool, cfg *DoctorConfig) Diagnosis {
	d := &doctor{pool: pool, cfg: cfg.withDefaults(pool), queueWarn: 0.1, queueFail: 0.5}
	return d.examine(ctx)
}

func (c *DoctorConfig) withDefaults(pool *pgxpool.Pool) DoctorConfig {
	var d DoctorConfig
	if c != nil {
		d = *c
	}
	d.Schema = cmp.Or(d.Schema, bus.DefaultSchema)
	d.Retention = cmp.Or(d.Retention, bus.DefaultRetention)
	d.StaleAfter = cmp.Or(d.StaleAfter, bus.DefaultStaleAfter)
	d.Timeout = cmp.Or(d.Timeout, 20*time.Second)
	if d.Components = slices.Clone(d.Components); len(d.Components) == 0 {
		d.Components = []string{ComponentBus}
	}
	if d.Connect == nil && pool != nil {
		d.Connect = func(ctx context.Context) (*pgx.Conn, error) {
			config := pool.Config()
			if config.BeforeConnect != nil {
				if err := config.BeforeConnect(ctx, config.ConnConfig); err != nil {
					return nil, err
				}
			}
			return pgx.ConnectConfig(ctx, config.ConnConfig)
		}
	}
	return d
}

func (d *doctor) examine(ctx context.Context) Diagnosis {
	if err := sqltext.CheckSchema(d.cfg.Schema); err != nil || d.pool == nil {
		d.note("config", LevelFail, "", "The pool is nil, or the schema has a name that cannot be: %v.", err)
		return d.Diagnosis
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	if !d.reachable(ctx) {
		return d.Diagnosis
	}
	defer func() { _ = d.conn.Close(context.WithoutCancel(ctx)) }()
	if !d.server(ctx) {
		return d.Diagnosis
	}
	whole := d.schemas(ctx)
	d.grants(ctx)
	d.pooler(ctx)
	d.listens(ctx)
	d.queue(ctx)
	d.connections(ctx)
	if whole {
		d.log(ctx)
	}
	return d.Diagnosis
}

// query asks on the bus' kind of connection, without a prepared statement: a pooler may stand between.
func (d *doctor) query(ctx context.Context, name string, args ...any) pgx.Row {
	return d.conn.QueryRow(ctx, sqltext.Load(queries, "query/"+name+".sql", d.cfg.Schema), append([]any{pgx.QueryExecModeExec}, args...)...)
}

// broken notes a check that could not be made.
func (d *doctor) broken(check string, err error) {
	d.note(check, LevelFail, "Look at the server's log, or ask again: this check could not be made.", "%s.", trim(err))
}

// trim is an error's text as a sentence's beginning.
func trim(err error) string {
	return strings.TrimRight(strings.Join(strings.Fields(err.Error()), " "), ".")
}

func (d *doctor) reachable(ctx context.Context) bool {
	if err := d.pool.Ping(ctx); err != nil {
		d.note("reachable", LevelFail, "Check address, password, pg_hba.conf and whether the server runs.", "The pool does not connect: %s.", trim(err))
		return false
	}
	conn, err := d.cfg.Connect(ctx)
	if err != nil {
		d.note("reachable", LevelFail, "The bus needs two connections beside the pool: check Connect, or the limits.",
			"The bus' own connection is not made: %s.", trim(err))
		return false
	}
	d.conn = conn
	d.ok("reachable", "The pool connects, and so does the bus.")
	return true
}

// server checks what kind of server it is. Only a primary is worth looking at further.
func (d *doctor) server(ctx context.Context) bool {
	var recovery, readOnly bool
	var number int
	var version, user string
	var pid uint32
	var now time.Time
	sent := time.Now()
	if err := d.query(ctx, "server").Scan(&recovery, &readOnly, &number, &version, &pid, &now, &user); err != nil {
		d.broken("primary", err)
		return false
	}
	middle := sent.Add(time.Since(sent) / 2)
	d.pooled = pid != d.conn.PgConn().PID()
	if recovery || readOnly {
		d.note("primary", LevelFail, "Let the address lead to the primary, as target_session_attrs=read-write does with several hosts.",
			"The server is a standby or read-only.")
		return false
	}
	d.ok("primary", "The server is a primary, and takes writes.")
	switch major := number / 10000; {
	case major < oldestVersion:
		d.note("version", LevelFail, "Use 14 or newer.", "Postgres %s is too old.", version)
	case major > newestVersion:
		d.note("version", LevelWarn, "Expect it to work, and test.", "Postgres %s is newer than what this was tested with.", version)
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
