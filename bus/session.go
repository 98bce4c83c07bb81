package bus

import (
	"context"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/ownconn"
)

// session is one of the bus' own two connections. They are dialled, never taken from the pool: a starved pool must not
// stall invalidation, and the pool would recycle them.
type session struct {
	own  *ownconn.Conn
	conn *pgx.Conn
	net  net.Conn // for ending it from another goroutine: pgx.Conn itself must not be touched from there
}

// planSettings keep the planner on the index, whatever the statistics say and whatever else is switched off.
var planSettings = []ownconn.Setting{
	{Name: "enable_seqscan", Value: "off"},
	{Name: "enable_bitmapscan", Value: "off"},
	{Name: "enable_indexscan", Value: "on"},
	{Name: "enable_indexonlyscan", Value: "on"},
	{Name: "enable_tidscan", Value: "on"},
	{Name: "enable_nestloop", Value: "on"},
	{Name: "enable_sort", Value: "on"},
}

// newConnections returns what makes both connections of a bus: as the pool connects, or by Config.Connect.
func newConnections(pool *pgxpool.Pool, cfg *Config) *ownconn.Dialer {
	return &ownconn.Dialer{
		Pool: pool, Connect: cfg.Connect, Settings: planSettings, ErrNotPrimary: ErrNotPrimary, ErrConfig: ErrConfig,
		Listens: cfg.Mode != Poll,
	}
}

// close ends the session without waiting for a server that may be gone.
func (s *session) close() { s.own.Close() }

// checkSchema returns an error unless the schema is there and new enough.
func (e *env) checkSchema(ctx context.Context, conn *pgx.Conn) error {
	e.stats.statements.Add(1)
	return explainStart(migrations().Check(ctx, conn, e.cfg.Schema))
}

// name is what the server calls a connection for this purpose, in pg_stat_activity.
func (e *env) name(purpose string) string {
	return fmt.Sprintf("pgcoherence %s %s", purpose, e.cfg.Name)
}
