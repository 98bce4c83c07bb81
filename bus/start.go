package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/migrate"
	"github.com/pgcoherence/pgcoherence/internal/pgerr"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// startPatience is how long a start may take before an error says that there is none. A start goes on all the same.
const startPatience = 8 * time.Second

// firstSession connects until it succeeds, ctx ends (nil, nil), or it cannot succeed.
func (p *Postgres) firstSession(ctx context.Context) (*session, error) {
	d := newDialer(p, "control")
	begin, loud := time.Now(), false
	for ctx.Err() == nil {
		s, err := d.dial(ctx)
		if err == nil {
			if err = p.checkStart(ctx, s); err == nil {
				return s, nil
			}
			s.close()
		}
		if isPermanent(err) && ctx.Err() == nil {
			return nil, fmt.Errorf("bus: start: %w", err)
		}

		if !loud && time.Since(begin) > startPatience {
			loud = true
			p.log.ErrorContext(ctx, "bus has not started yet: nothing is cached", slog.Any("error", err), slog.String("remedy", remedy(err)))
		}
		d.failed(ctx, err)
	}
	return nil, nil
}

// checkStart checks what Run refuses to start without.
func (p *Postgres) checkStart(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()

	p.asciiOnly.Store(s.conn.PgConn().ParameterStatus("server_encoding") != "UTF8")

	// First what the catalog says: where rows are hidden or tables may not be read, the version cannot be known.
	var missing, hidden []string
	var role string
	p.stats.statements.Add(1)
	if err := s.conn.QueryRow(ctx, p.sql.privileges).Scan(&missing, &hidden, &role); err != nil {
		return fmt.Errorf("bus: check privileges: %w", explainStart(err))
	}
	if len(hidden) > 0 {
		return fmt.Errorf("%w in schema %s: %w", ErrPrivilege, sqltext.Quote(p.cfg.Schema), hiddenError(role, hidden))
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w in schema %s: role %q lacks %s", ErrPrivilege, sqltext.Quote(p.cfg.Schema), role, strings.Join(missing, ", "))
	}

	if err := p.checkSchema(ctx, s.conn); err != nil {
		return err
	}
	return p.loadPodLease(ctx, s.conn)
}

func hiddenError(role string, tables []string) error {
	return fmt.Errorf("%w of %s from role %q", migrate.ErrHidden, strings.Join(tables, ", "), role)
}

// explainStart adds what an error of the first statements means.
func explainStart(err error) error {
	switch {
	case errors.Is(err, migrate.ErrHidden), pgerr.IsDenied(err):
		return fmt.Errorf("%w: %w", ErrPrivilege, err)
	case pgerr.IsMissingObject(err):
		return fmt.Errorf("%w: %w", ErrSchema, err)
	}
	return err
}

// isPermanent reports whether trying again cannot mend an error: a person has to.
func isPermanent(err error) bool {
	return errors.Is(err, ErrSchema) || errors.Is(err, ErrConfig) || errors.Is(err, ErrPrivilege) || pgerr.IsPermanent(err)
}

// remedy returns what a person can do about an error that ends or holds up a start.
func remedy(err error) string {
	switch {
	case errors.Is(err, migrate.ErrHidden):
		return "disable row level security on these tables, or give the role BYPASSRLS"
	case errors.Is(err, ErrSchema):
		return "call bus.Migrate at deployment, with a role that may create the schema"
	case errors.Is(err, ErrPrivilege), pgerr.IsDenied(err):
		return "name the role as AppRole when calling bus.Migrate, or grant what is missing"
	case errors.Is(err, ErrConfig):
		return "change the configuration that the error names"
	case errors.Is(err, ErrNotPrimary):
		return "let the pool, or Config.Connect, reach the primary"
	case pgerr.IsRefusedLogin(err):
		return "check user, password and database of the pool, and pg_hba.conf"
	}
	return "check that the server can be reached from here, directly or by Config.Connect, and look at its log"
}
