package migrate

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
	"github.com/pgcoherence/pgcoherence/internal/pgerr"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// Run brings the component up to date and grants the roles' privileges, or writes the SQL to DryRun. It does not change a database
// that is newer than the component.
func (c Component) Run(ctx context.Context, pool *pgxpool.Pool, cfg *Config) error {
	d, err := c.withDefaults(cfg)
	if err != nil {
		return err
	}
	if pool == nil {
		return fmt.Errorf("%w: pool is nil", c.ErrConfig)
	}
	all, err := c.Load(d.Schema)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("%s: migrate: %w", c.Name, err)
	}
	defer conn.Release()

	if d.DryRun != nil {
		return c.dryRun(ctx, conn, all, d)
	}
	for _, m := range all {
		if err := c.apply(ctx, conn.Conn(), d, m); err != nil {
			return fmt.Errorf("%s: migrate: version %d (%s): %w", c.Name, m.Version, m.Name, err)
		}
	}
	if err := c.grant(ctx, conn.Conn(), d); err != nil {
		return fmt.Errorf("%s: migrate: grant: %w", c.Name, err)
	}
	return nil
}

// apply applies one version unless it is there already, which is looked up under the lock.
func (c Component) apply(ctx context.Context, conn *pgx.Conn, cfg Config, m Migration) error {
	applied := false
	err := locked(ctx, conn, cfg.Schema, func(tx pgx.Tx) error {
		missing, err := readMissing(ctx, tx, cfg.Schema)
		if err != nil {
			return err
		}
		if _, err := conn.PgConn().Exec(ctx, missing.sql(cfg.Schema)).ReadAll(); err != nil {
			return err
		}
		version, err := c.Version(ctx, tx, cfg.Schema)
		if err != nil || version >= m.Version {
			return err
		}

		applied = true
		_, err = conn.PgConn().Exec(ctx, m.SQL+"\n"+c.insertVersion(cfg.Schema, m)).ReadAll()
		return err
	})
	if err == nil && applied {
		cfg.Logger.InfoContext(ctx, "schema migrated", slog.String("component", c.Name), slog.String("schema", cfg.Schema),
			slog.Int("version", m.Version), slog.String("name", m.Name))
	}
	return err
}

// grantAttempts bounds how often grants are run while other programs change the same privileges. GRANT takes no lock
// that would make them wait: it fails with "tuple concurrently updated", an internal error.
const grantAttempts = 10

// grant runs the grants under the lock, for GRANT fails where another process grants on the same table.
func (c Component) grant(ctx context.Context, conn *pgx.Conn, cfg Config) error {
	grants := c.grants(cfg)
	if grants == "" {
		return nil
	}
	for attempt := 1; ; attempt++ {
		err := locked(ctx, conn, cfg.Schema, func(pgx.Tx) error {
			_, err := conn.PgConn().Exec(ctx, grants).ReadAll()
			return err
		})
		if !pgerr.IsInternal(err) || attempt == grantAttempts || !backoff.Wait(ctx, time.Duration(attempt)*10*time.Millisecond) {
			return err
		}
	}
}

// locked runs fn in a transaction that holds the schema's advisory lock. Each statement of fn sees what was committed
// before the lock was granted, whatever isolation and access mode are the database's defaults.
func locked(ctx context.Context, conn *pgx.Conn, schema string, fn func(pgx.Tx) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}
	return pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
		var lockTimeout, statementTimeout string
		const read = "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
		if err := tx.QueryRow(ctx, read).Scan(&lockTimeout, &statementTimeout); err != nil {
			return err
		}

		// Waiting for another process that migrates hurts no one, so it is bounded by ctx only. The migration itself keeps
		// to the role's settings.
		const set = "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)"
		if _, err := tx.Exec(ctx, set, "0", "0"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqltext.AdvisoryLock, sqltext.LockName(schema)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, set, lockTimeout, statementTimeout); err != nil {
			return err
		}
		return fn(tx)
	})
}

// dryRun writes what Run would do, as a script. It only reads.
func (c Component) dryRun(ctx context.Context, db Queryer, all []Migration, cfg Config) error {
	version, err := c.Version(ctx, db, cfg.Schema)
	if err != nil {
		return fmt.Errorf("%s: migrate: %w", c.Name, err)
	}
	pending := all[min(version, len(all)):]

	script := c.script(pending, missing{}, cfg)
	if len(pending) > 0 {
		missing, err := readMissing(ctx, db, cfg.Schema)
		if err != nil {
			return fmt.Errorf("%s: migrate: %w", c.Name, err)
		}
		script = c.script(pending, missing, cfg)
	}
	if _, err := io.WriteString(cfg.DryRun, script); err != nil {
		return fmt.Errorf("%s: migrate: DryRun: %w", c.Name, err)
	}
	return nil
}
