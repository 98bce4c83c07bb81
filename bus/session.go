package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/migrate"
	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

// session is one of the bus' own two connections. They are dialled, never taken from the pool: a starved pool must not
// stall invalidation, and the pool would recycle them.
type session struct {
	conn   *pgx.Conn
	net    net.Conn // for ending it from another goroutine: pgx.Conn itself must not be touched from there
	pooled bool     // a pooler stands between; settings of the session are not ours to make
}

// settings fit the two connections to their work: nobody ends them for idling, the planner stays on the index whatever
// the statistics say, and no statement is compiled.
const settings = `SET application_name = '%s'; SET idle_session_timeout = 0; SET statement_timeout = 0; ` +
	`SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off; SET max_parallel_workers_per_gather = 0; ` +
	`SET default_transaction_isolation = 'read committed'`

// dial makes a connection within the timeout and finds out what it leads to.
func (p *Postgres) dial(ctx context.Context, purpose string, timeout time.Duration) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, net: conn.PgConn().Conn()}
	if err := p.inspect(ctx, s, purpose); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// connect calls Config.Connect, or connects as the pool does.
func (p *Postgres) connect(ctx context.Context) (*pgx.Conn, error) {
	if p.cfg.Connect != nil {
		return p.cfg.Connect(ctx)
	}
	poolConfig := p.pool.Config()
	config := poolConfig.ConnConfig
	if poolConfig.BeforeConnect != nil {
		if err := poolConfig.BeforeConnect(ctx, config); err != nil {
			return nil, err
		}
	}
	return pgx.ConnectConfig(ctx, config)
}

func (p *Postgres) inspect(ctx context.Context, s *session, purpose string) error {
	var recovery, readOnly bool
	var pid uint32
	var version int
	p.stats.statements.Add(1)
	if err := s.conn.QueryRow(ctx, p.sql.session).Scan(&recovery, &readOnly, &pid, &version); err != nil {
		return err
	}
	if recovery || readOnly {
		return fmt.Errorf("%w (in recovery: %t, read-only: %t)", ErrNotPrimary, recovery, readOnly)
	}
	if s.pooled = pid != s.conn.PgConn().PID(); s.pooled {
		return nil
	}
	p.stats.statements.Add(1)
	name := strings.ReplaceAll("pgcoherence "+purpose, "'", "''")
	_, err := s.conn.PgConn().Exec(ctx, fmt.Sprintf(settings, name)).ReadAll()
	return err
}

// close ends the session without waiting for a server that may not answer.
func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_ = s.conn.Close(ctx) // it ends either way
}

// checkSchema says whether the schema is there and new enough.
func (p *env) checkSchema(ctx context.Context, conn *pgx.Conn) error {
	p.stats.statements.Add(1)
	return migrations().Check(ctx, conn, p.cfg.Schema)
}

// hopeless says whether an error of the very first connection is one that trying again cannot mend: a person has to.
func hopeless(err error) bool {
	return errors.Is(err, ErrSchema) || errors.Is(err, ErrConfig) || errors.Is(err, ErrPrivilege) ||
		errors.Is(err, migrate.ErrHidden) || pgerr.IsPermanent(err)
}
