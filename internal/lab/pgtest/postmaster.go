package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// postmaster is one run of the server's first process, the parent of all others.
type postmaster struct {
	pid    int
	exited chan struct{} // closed once it is reaped
}

// start runs a server unless one is running, and waits until it accepts
// connections. The caller has the cluster's turn, as for all methods below.
func (c *cluster) start(ctx context.Context) error {
	if c.running() {
		return nil
	}
	logPath := filepath.Join(c.dir, "server.log")
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	before, _ := logFile.Seek(0, 2)
	args := []string{
		"-D", c.data, "-c", "listen_addresses=127.0.0.1", "-c", "port=" + strconv.Itoa(c.port),
		// No socket: its path has a length limit which temporary directories
		// can exceed, and TCP is enough.
		"-c", "unix_socket_directories=",
	}
	cmd := exec.Command(c.programs.postgres(), append(args, settingArgs(c.settings)...)...)
	cmd.Dir = "/"
	cmd.Env = append(serverEnvironment(), c.environment...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = c.owner.attributes()
	err = cmd.Start()
	_ = logFile.Close() // the child has its own descriptor
	if err != nil {
		return err
	}
	server := &postmaster{pid: cmd.Process.Pid, exited: make(chan struct{})}
	c.watchdog.guard(server.pid)
	go func() {
		_ = cmd.Wait()
		c.watchdog.guard(0) // the pid may now be given to another process
		close(server.exited)
	}()
	c.mu.Lock()
	c.server, c.crashed = server, false
	c.mu.Unlock()

	if err := c.awaitReady(ctx, server); err != nil {
		killErr := c.kill(server)
		return errors.Join(fmt.Errorf("%w; its log ends:\n%s", err, tail(logPath, before)), killErr)
	}
	return nil
}

// awaitReady polls the status line in the postmaster's pid file, as pg_ctl does:
// this needs no login, and works for a hot standby.
func (c *cluster) awaitReady(ctx context.Context, server *postmaster) error {
	for {
		select {
		case <-server.exited:
			return errors.New("the server ended while starting")
		default:
		}

		if content, err := os.ReadFile(filepath.Join(c.data, "postmaster.pid")); err == nil {
			lines := strings.Split(string(content), "\n")
			// The file may still be from a killed server.
			if len(lines) > 7 && lines[0] == strconv.Itoa(server.pid) && strings.TrimSpace(lines[7]) == "ready" {
				return nil
			}
		}

		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for the server to accept connections: %w", err)
		}
	}
}

func (c *cluster) current() *postmaster {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return nil
	}
	select {
	case <-c.server.exited:
		return nil
	default:
		return c.server
	}
}

func (c *cluster) running() bool { return c.current() != nil }

func (c *cluster) wasCrashed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.crashed
}

// stop signals the server, and waits until it has ended.
func (c *cluster) stop(ctx context.Context, mode Mode) error {
	server := c.current()
	if server == nil {
		return nil
	}
	if err := signalStop(server.pid, mode); err != nil {
		return err
	}
	select {
	case <-server.exited:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("still shutting down: %w", context.Cause(ctx))
	}
}

// end stops the server, and kills it if it does not stop.
func (c *cluster) end(ctx context.Context) error {
	server := c.current()
	if server == nil {
		return nil
	}
	polite, cancel := context.WithTimeout(ctx, closeTimeout/3)
	defer cancel()
	if err := c.stop(polite, Fast); err == nil {
		return nil
	}
	return c.kill(server)
}

func (c *cluster) crash(context.Context) error {
	server := c.current()
	if server == nil {
		return ErrNotRunning
	}
	c.mu.Lock()
	c.crashed = true
	c.mu.Unlock()
	return c.kill(server)
}

// kill ends all processes of the server by SIGKILL and waits until they are
// gone: a survivor would keep the shared memory and so block the next start.
func (c *cluster) kill(server *postmaster) error {
	// Frozen, the postmaster cannot fork while its children are listed.
	_ = signalFreeze(server.pid)
	children, err := childrenOf(server.pid)
	killErr := signalKill(server.pid)

	for _, child := range children {
		_ = signalKill(child)
	}

	if killErr == nil {
		<-server.exited
	}

	deadline := time.Now().Add(10 * time.Second)
	for slices.ContainsFunc(children, alive) {
		if time.Now().After(deadline) {
			return errors.Join(err, killErr, fmt.Errorf("some of the processes %v outlive a SIGKILL", children))
		}
		time.Sleep(2 * time.Millisecond)
	}

	// All are gone, so the file is stale. Another process may soon have its pid,
	// and the next postmaster would take that process for a running server.
	removeErr := os.Remove(filepath.Join(c.data, "postmaster.pid"))
	if errors.Is(removeErr, os.ErrNotExist) {
		removeErr = nil
	}

	return errors.Join(err, killErr, removeErr)
}

func (c *cluster) killBackend(pid int) error {
	server := c.current()
	if server == nil {
		return ErrNotRunning
	}
	children, err := childrenOf(server.pid)
	if err != nil {
		return err
	}
	if !slices.Contains(children, pid) {
		return fmt.Errorf("process %d is not a backend of this server", pid)
	}
	return signalKill(pid)
}

// tail returns the last lines that were added to a log.
func tail(path string, from int64) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	text := strings.TrimSpace(string(content[min(from, int64(len(content))):]))
	const most = 2000
	if len(text) > most {
		text = "…" + text[len(text)-most:]
	}
	return text
}
