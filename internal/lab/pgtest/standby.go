package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Standby makes a hot standby of the server and returns when it is streaming.
// The primary is restarted for it, so its sessions end. The caller owns the
// standby and calls its Close.
func (s *Server) Standby(ctx context.Context) (*Server, error) {
	ctx, cancel := withTimeout(ctx, s.config.StartTimeout)
	defer cancel()

	var standby *Server
	err := s.operate(ctx, "standby", func(ctx context.Context, primary *cluster) error {
		copied, err := primary.clone(ctx)
		if startErr := primary.start(ctx); err == nil {
			err = startErr
		}
		if err == nil {
			err = copied.follow(primary)
		}
		if err == nil {
			err = copied.start(ctx)
		}
		if err == nil {
			err = primary.awaitStreaming(ctx, copied.applicationName())
		}

		if err != nil {
			if copied != nil {
				err = errors.Join(err, copied.close(context.WithoutCancel(ctx)))
			}
			return err
		}

		standby = &Server{kind: s.kind, from: s.from, version: s.version, base: copied.dsn(), config: s.config, cluster: copied}
		return nil
	})
	return standby, err
}

// Promote makes a standby a primary, and returns when it accepts writes.
func (s *Server) Promote(ctx context.Context) error {
	return s.operate(ctx, "promote", func(ctx context.Context, c *cluster) error {
		if !c.running() {
			return ErrNotRunning
		}
		return withConn(ctx, c.dsn(), func(conn *pgx.Conn) error {
			var promoted bool
			if err := conn.QueryRow(ctx, "select pg_promote(true, 60)").Scan(&promoted); err != nil {
				return err
			}
			if !promoted {
				return errors.New("not promoted within 60 s")
			}

			return nil
		})
	})
}

// clone stops the cluster and returns one with a copy of its data.
func (c *cluster) clone(ctx context.Context) (*cluster, error) {
	if err := c.stop(ctx, Fast); err != nil {
		return nil, err
	}

	copied, err := newCluster(c.programs, c.settings, c.environment, c.password)
	if err != nil {
		return nil, err
	}
	// A cold copy needs no program but initdb and postgres. The cluster's own
	// user makes it, so that it owns all files.
	if err := copied.run(ctx, "cp", "-R", "-p", c.data, copied.data); err != nil {
		return nil, errors.Join(err, copied.close(context.WithoutCancel(ctx)))
	}

	if own := filepath.Join(c.dir, downloaded); strings.HasPrefix(string(c.programs), own) {
		// The standby may live longer than the primary and its directory.
		to := filepath.Join(copied.dir, downloaded)
		if err := copied.run(ctx, "cp", "-R", "-p", own, to); err != nil {
			return nil, errors.Join(err, copied.close(context.WithoutCancel(ctx)))
		}
		copied.programs = programs(to + strings.TrimPrefix(string(c.programs), own))
	}

	return copied, nil
}

// follow makes the stopped cluster, which is a copy of primary, a standby of it.
func (c *cluster) follow(primary *cluster) error {
	conninfo := "host=127.0.0.1 port=" + strconv.Itoa(primary.port) +
		" user=" + superuser + " password=" + quoteValue(primary.password) +
		" application_name=" + c.applicationName()
	// In the file and not as an argument: a process list would show the password.
	setting := "primary_conninfo = '" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(conninfo) + "'\n"
	if err := appendFile(filepath.Join(c.data, "postgresql.auto.conf"), setting); err != nil {
		return err
	}
	signal := filepath.Join(c.data, "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		return err
	}
	return c.owner.own(signal)
}

func (c *cluster) applicationName() string { return "pgtest_standby_" + strconv.Itoa(c.port) }

func (c *cluster) awaitStreaming(ctx context.Context, name string) error {
	const query = "select exists (select from pg_stat_replication where application_name = $1 and state = 'streaming')"
	return withConn(ctx, c.dsn(), func(conn *pgx.Conn) error {
		for {
			var streaming bool
			if err := conn.QueryRow(ctx, query, name).Scan(&streaming); err != nil {
				return fmt.Errorf("waiting for streaming: %w", err)
			}
			if streaming {
				return nil
			}
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return fmt.Errorf("waiting for streaming: %w", err)
			}
		}
	})
}

func withConn(ctx context.Context, dsn string, use func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return use(conn)
}

func appendFile(path, text string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
