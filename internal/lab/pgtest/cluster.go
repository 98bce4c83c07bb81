package pgtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// cluster is a data directory with its port, and the server running on it.
type cluster struct {
	programs programs
	owner    *owner
	dir      string // contains everything of the cluster; removed by close
	data     string // the data directory
	port     int
	password string
	settings map[string]string
	watchdog *watchdog

	environment []string // added to the server's

	// turn contains a token while no operation is running. It is a channel, and
	// not a mutex, because waiting for it has to end with a context.
	turn   chan struct{}
	closed bool // guarded by turn

	mu      sync.Mutex
	server  *postmaster // the last one started; nil at first
	crashed bool        // the last server was crashed, and none started since
}

// newCluster makes the directory and its watchdog, and picks the port.
func newCluster(p programs, settings map[string]string, environment []string, password string) (_ *cluster, err error) {
	owner, err := findOwner()
	if err != nil {
		return nil, err
	}

	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()

	// The directory belongs to the server's user, not to root, so that the
	// watchdog, which runs as that user, can remove it.
	if err := owner.own(dir); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}

	port, err := freePort()
	if err != nil {
		return nil, err
	}

	dog, err := startWatchdog(dir, owner)
	if err != nil {
		return nil, err
	}

	c := &cluster{
		programs: p, owner: owner, dir: dir, data: filepath.Join(dir, "data"),
		port: port, password: password, settings: settings, environment: environment,
		watchdog: dog, turn: make(chan struct{}, 1),
	}
	c.turn <- struct{}{}
	return c, nil
}

// initialise runs initdb and starts the server.
func (c *cluster) initialise(ctx context.Context) error {
	secret := filepath.Join(c.dir, "password")
	if err := os.WriteFile(secret, []byte(c.password+"\n"), 0o600); err != nil {
		return err
	}
	defer func() { _ = os.Remove(secret) }()

	if err := c.owner.own(secret); err != nil {
		return err
	}

	args := []string{
		"-D", c.data, "-U", superuser, "--pwfile", secret,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
	}
	if c.programs.checksumsByDefault(ctx) {
		args = append(args, "--no-data-checksums") // alike in all versions: pg_upgrade requires it
	}
	if err := c.run(ctx, c.programs.initdb(), args...); err != nil {
		return err
	}

	// Another process may take the port between its choice and its use.
	for attempt := 0; ; attempt++ {
		err := c.start(ctx)
		if err == nil || attempt == 4 || !strings.Contains(err.Error(), "Address already in use") {
			return err
		}
		if c.port, err = freePort(); err != nil {
			return err
		}
	}
}

func (c *cluster) dsn() string { return makeDSN("127.0.0.1", c.port, c.password) }

// enter waits for the cluster's turn.
func (c *cluster) enter(ctx context.Context) error {
	select {
	case <-c.turn:
	case <-ctx.Done():
		return fmt.Errorf("pgtest: another operation is running: %w", context.Cause(ctx))
	}
	if c.closed {
		c.leave()
		return ErrClosed
	}
	return nil
}

func (c *cluster) leave() { c.turn <- struct{}{} }

// close ends the server, removes the directory and ends the watchdog.
func (c *cluster) close(ctx context.Context) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.leave()

	c.closed = true
	if c.wasCrashed() {
		// Shared memory outlives a killed server. Only the next server on the same
		// directory finds and removes it.
		_ = c.start(ctx)
	}

	stopErr := c.end(ctx)
	removeErr := os.RemoveAll(c.dir)
	c.watchdog.dismiss()
	return errors.Join(stopErr, removeErr)
}

// run executes a program as the cluster's user. The error contains the program's
// output.
func (c *cluster) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "/" // the current directory may be closed to that user
	cmd.Env = serverEnvironment()
	cmd.SysProcAttr = c.owner.attributes()
	// A killed initdb leaves a child that keeps the output open for a moment.
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %s", filepath.Base(name), errors.Join(err, context.Cause(ctx)), strings.TrimSpace(string(out)))
}

// serverEnvironment returns this process's environment without the variables
// that Postgres reads, and with messages in English, because start parses them.
func serverEnvironment() []string {
	var env []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PG") && !strings.HasPrefix(variable, "LC_") {
			env = append(env, variable)
		}
	}
	return append(env, "LC_ALL=C")
}

// freePort returns a free port below the ephemeral range (32768 and up): a
// stopped server's port must stay free until it starts again, and a client that
// redials a free port in that range can connect to itself.
func freePort() (int, error) {
	var last error
	for range 100 {
		port := 15000 + rand.IntN(32768-15000)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("no free port: %w", last)
}
