package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Upgrade stops the server, moves all of its databases to a new cluster with
// pg_upgrade, and returns the new server, running. Both clusters have the same
// version: the effect on data is that of a real upgrade, and one version's
// programs are enough. The caller owns the new server and calls its Close.
// Upgrade returns ErrUnsupported where there is no pg_upgrade beside the
// server's programs.
func (s *Server) Upgrade(ctx context.Context) (*Server, error) { return s.UpgradeTo(ctx, "") }

// UpgradeTo is Upgrade to the version whose programs are in a directory, all of
// them: pg_upgrade and what it calls. The empty name means the server's own. What
// pg_upgrade calls of the old version has to be beside the server's own programs:
// pg_controldata and pg_resetwal.
func (s *Server) UpgradeTo(ctx context.Context, binaries string) (*Server, error) {
	ctx, cancel := withTimeout(ctx, s.config.StartTimeout)
	defer cancel()

	var upgraded *Server
	err := s.operate(ctx, "upgrade", func(ctx context.Context, old *cluster) error {
		target := old.programs
		if binaries != "" {
			target = programs(binaries)
		}
		if _, err := os.Stat(target.upgrade()); err != nil {
			return fmt.Errorf("%w: pg_upgrade: %w", ErrUnsupported, err)
		}
		if err := old.stop(ctx, Fast); err != nil {
			return err
		}

		next, err := newCluster(target, old.settings, old.environment, old.password)
		if err != nil {
			return err
		}

		version := 0
		err = next.initialise(ctx)
		if err == nil {
			version, err = serverVersion(ctx, next.dsn())
		}
		if err == nil {
			err = next.stop(ctx, Fast)
		}
		if err == nil {
			err = next.takeOver(ctx, old)
		}
		if err == nil {
			err = next.start(ctx)
		}
		if err != nil {
			return errors.Join(err, next.close(context.WithoutCancel(ctx)))
		}

		upgraded = &Server{kind: s.kind, from: string(target), version: version, base: next.dsn(), config: s.config, cluster: next}
		return nil
	})
	return upgraded, err
}

func (p programs) upgrade() string { return filepath.Join(string(p), "pg_upgrade") }

// takeOver runs pg_upgrade from another cluster to this one, which is empty. Both
// clusters are stopped.
func (c *cluster) takeOver(ctx context.Context, old *cluster) error {
	from, to := string(old.programs), string(c.programs)
	cmd := exec.CommandContext(ctx, c.programs.upgrade(), "-U", superuser, "-b", from, "-B", to, "-d", old.data, "-D", c.data,
		"-p", strconv.Itoa(old.port), "-P", strconv.Itoa(c.port), "-s", c.dir)
	cmd.Dir = c.dir // it leaves its scripts there
	cmd.Env = append(serverEnvironment(), "PGPASSWORD="+c.password)
	cmd.SysProcAttr = c.owner.attributes()
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_upgrade: %w: %s", errors.Join(err, context.Cause(ctx)), strings.TrimSpace(string(out)))
	}
	return nil
}
