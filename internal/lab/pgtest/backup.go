package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// BaseBackup copies the running server with pg_basebackup, and returns a server on
// the copy, which does not run yet. Start makes it a second server with the same
// system identifier, as a backup that is put to use beside the original; Recover
// makes it the server of an earlier time. The caller owns it and calls its Close.
// BaseBackup returns ErrUnsupported where there is no pg_basebackup beside the
// server's programs.
func (s *Server) BaseBackup(ctx context.Context) (*Server, error) {
	ctx, cancel := withTimeout(ctx, s.config.StartTimeout)
	defer cancel()

	var backup *Server
	err := s.operate(ctx, "base backup", func(ctx context.Context, c *cluster) error {
		program := filepath.Join(string(c.programs), "pg_basebackup")
		if _, err := os.Stat(program); err != nil {
			return fmt.Errorf("%w: pg_basebackup: %w", ErrUnsupported, err)
		}
		if !c.running() {
			return ErrNotRunning
		}

		copied, err := newCluster(c.programs, c.settings, c.environment, c.password)
		if err != nil {
			return err
		}
		if err := copied.run(ctx, program, "-D", copied.data, "-d", c.dsn(), "--checkpoint=fast", "--wal-method=stream", "--no-sync"); err != nil {
			return errors.Join(err, copied.close(context.WithoutCancel(ctx)))
		}

		backup = &Server{kind: s.kind, from: s.from, version: s.version, base: copied.dsn(), config: s.config, cluster: copied}
		return nil
	})
	return backup, err
}

// Recover starts a server that BaseBackup returned with parameters of a recovery,
// such as restore_command and recovery_target_time, and returns when it accepts
// writes: in a timeline of its own, at the target.
func (s *Server) Recover(ctx context.Context, parameters map[string]string) error {
	ctx, cancel := withTimeout(ctx, s.config.StartTimeout)
	defer cancel()

	return s.operate(ctx, "recover", func(ctx context.Context, c *cluster) error {
		var text strings.Builder
		for _, name := range slices.Sorted(maps.Keys(parameters)) {
			fmt.Fprintf(&text, "%s = '%s'\n", name, strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(parameters[name]))
		}
		text.WriteString("recovery_target_action = 'promote'\n")
		if err := appendFile(filepath.Join(c.data, "postgresql.auto.conf"), text.String()); err != nil {
			return err
		}

		signal := filepath.Join(c.data, "recovery.signal")
		if err := errors.Join(os.WriteFile(signal, nil, 0o600), c.owner.own(signal)); err != nil {
			return err
		}
		if err := c.start(ctx); err != nil {
			return err
		}

		return c.awaitPrimary(ctx)
	})
}

// awaitPrimary waits until the server's recovery has ended.
func (c *cluster) awaitPrimary(ctx context.Context) error {
	return withConn(ctx, c.dsn(), func(conn *pgx.Conn) error {
		for {
			var recovering bool
			if err := conn.QueryRow(ctx, "select pg_is_in_recovery()").Scan(&recovering); err != nil {
				return fmt.Errorf("waiting for the end of recovery: %w", err)
			}
			if !recovering {
				return nil
			}
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return fmt.Errorf("waiting for the end of recovery: %w", err)
			}
		}
	})
}

// Dir returns the directory that contains everything of a crashable server, which
// its user owns and Close removes: a place for an archive. It is "" for other kinds.
func (s *Server) Dir() string {
	if s.cluster == nil {
		return ""
	}
	return s.cluster.dir
}
