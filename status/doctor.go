package status

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/ownconn"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

//go:embed query/*.sql
var queries embed.FS

// The components whose tables [Doctor] checks.
const (
	ComponentBus          = "bus"
	ComponentLock         = "lock"
	ComponentSessionstore = "sessionstore"
)

// DoctorConfig configures [Doctor]. A nil or zero DoctorConfig is for an application with a bus and nothing else.
type DoctorConfig struct {
	// Schema is that of bus.Config. Defaults to bus.DefaultSchema.
	Schema string

	// Connect is that of bus.Config. Defaults to the pool's configuration.
	Connect func(ctx context.Context) (*pgx.Conn, error)

	// Components are the components in use. Defaults to ComponentBus.
	Components []string

	// Retention is that of bus.Config. Defaults to bus.DefaultRetention.
	Retention time.Duration

	// StaleAfter is that of bus.Config, plus the longest ServeFor of a cache. Defaults to bus.DefaultStaleAfter.
	StaleAfter time.Duration

	// Timeout bounds all checks together. Defaults to 20 seconds.
	Timeout time.Duration
}

// doctor is one examination.
type doctor struct {
	pool   *pgxpool.Pool
	cfg    DoctorConfig
	limits doctorLimits
	Diagnosis

	conn   *pgx.Conn // connected as the bus connects
	pooled bool      // a pooler stands between conn and the server
	major  int       // of the server's version
	pods   int       // that are registered
	holder string    // the process that the server says holds the notification queue
}

// doctorLimits are the figures from which on something is worth a finding.
type doctorLimits struct {
	queueWarn, queueFail float64       // part of the notification queue that is full
	snapshotAge          time.Duration // of the oldest snapshot, where its time is known
	snapshotXIDs         int64         // transactions since, where it is not
	commitWait           time.Duration // that a commit may take
}

func defaultLimits() doctorLimits {
	return doctorLimits{queueWarn: 0.1, queueFail: 0.5, snapshotAge: 5 * time.Minute, snapshotXIDs: 1_000_000, commitWait: 3 * time.Second}
}

// Doctor checks whether a database is suitable for a bus, and for the other components in use. Each finding says what
// is wrong and how to repair it. Doctor changes nothing: it listens on a channel of its own for a moment, sends one
// notification to it, and commits one transaction that writes a WAL message and no row. It opens two connections,
// takes one from the pool, and returns within DoctorConfig.Timeout. A nil cfg uses the defaults.
func Doctor(ctx context.Context, pool *pgxpool.Pool, cfg *DoctorConfig) Diagnosis {
	d := &doctor{pool: pool, cfg: cfg.withDefaults(), limits: defaultLimits()}
	return d.examine(ctx)
}

func (c *DoctorConfig) withDefaults() DoctorConfig {
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

	return d
}

// connectTimeout bounds the attempt to connect to one address.
const connectTimeout = 4 * time.Second

// errNotPrimary and errConnect are what the bus' own connections fail with besides errors of the server.
var (
	errNotPrimary = errors.New("the server does not accept writes")
	errConnect    = errors.New("DoctorConfig.Connect")
)

// connect opens a connection as the bus opens its own: by the same function, with the same settings.
func (d *doctor) connect(ctx context.Context, onNotice pgconn.NoticeHandler) (*ownconn.Conn, error) {
	dialer := &ownconn.Dialer{
		Pool: d.pool, Connect: d.cfg.Connect, ErrNotPrimary: errNotPrimary, ErrConfig: errConnect, OnNotice: onNotice,
	}
	return dialer.Dial(ctx, "pgcoherence doctor", connectTimeout)
}

func (d *doctor) examine(ctx context.Context) Diagnosis {
	if d.pool == nil {
		d.note("config", LevelFail, "Pass the pool of the application.", "The pool is nil.")
		return d.Diagnosis
	}
	if err := sqltext.CheckSchema(d.cfg.Schema); err != nil {
		d.note("config", LevelFail, "Use the Schema of bus.Config.", "The schema cannot be used: %v.", err)
		return d.Diagnosis
	}

	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	if !d.reachable(ctx) {
		return d.Diagnosis
	}
	defer func() { _ = d.conn.Close(context.WithoutCancel(ctx)) }()

	// Without a primary that can be written to, nothing else is worth a look.
	if !d.server(ctx) {
		return d.Diagnosis
	}
	d.encoding(ctx)
	d.settings(ctx)
	d.commits(ctx)

	whole := d.schemas(ctx)
	d.tables(ctx)
	d.grants(ctx)
	d.watches(ctx)

	d.pooler(ctx)
	d.listens(ctx)
	d.queue(ctx)
	d.snapshots(ctx)
	if whole {
		d.origin(ctx)
		d.log(ctx)
	}
	d.connections(ctx)
	return d.Diagnosis
}

// query runs a statement on the bus' kind of connection, unprepared because a pooler may stand between.
func (d *doctor) query(ctx context.Context, name string, args ...any) pgx.Row {
	return d.conn.QueryRow(ctx, d.statement(name), append([]any{pgx.QueryExecModeExec}, args...)...)
}

func (d *doctor) statement(name string) string {
	return sqltext.Load(queries, "query/"+name+".sql", d.cfg.Schema)
}

// broken notes a check that could not be made.
func (d *doctor) broken(check string, err error) {
	d.note(check, LevelFail, remedyOf(err), "The check could not be made: %s.", trim(err))
}
