package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const bouncerProgram = "pgbouncer"

// findBouncer also looks where Debian puts it, which is on root's PATH only.
func findBouncer() (string, error) {
	if path, err := exec.LookPath(bouncerProgram); err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", bouncerProgram))
}

func missingBouncer(options) string {
	if _, err := findBouncer(); err != nil {
		return bouncerProgram
	}
	return ""
}

// pooled puts a PgBouncer in transaction mode between the pods and the server.
func pooled(ctx context.Context, s *scene) error {
	program, err := findBouncer()
	if err != nil {
		return err
	}
	u, err := url.Parse(s.dsn)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "faults-pgbouncer-")
	if err != nil {
		return err
	}
	s.finally(func() error { return os.RemoveAll(dir) })
	port, err := unusedPort(ctx)
	if err != nil {
		return err
	}
	password, _ := u.User.Password()
	config := fmt.Sprintf(`[databases]
%s = host=%s port=%s user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
ignore_startup_parameters = idle_in_transaction_session_timeout,extra_float_digits
`, database, u.Hostname(), u.Port(), u.User.Username(), password, port)
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(program, "-q", file) // without a context: it outlasts the pods
	if cmd.SysProcAttr, err = unprivileged(dir, file); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.finally(func() error {
		_ = cmd.Process.Kill() // it holds nothing that matters
		_ = cmd.Wait()
		return nil
	})
	u.Host = fmt.Sprintf("127.0.0.1:%d", port)
	s.podDSN = u.String()
	return awaitPort(ctx, u.Host)
}

func unusedPort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.Join(fmt.Errorf("%v is no TCP address", l.Addr()), l.Close())
	}
	return address.Port, l.Close()
}

func awaitPort(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Second, errors.New(bouncerProgram+" does not answer"))
	defer cancel()
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}
