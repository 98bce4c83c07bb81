package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
)

// What the program finds in its environment.
const (
	envKey   = "PGCOHERENCE_LOCK_KEY"
	envToken = "PGCOHERENCE_LOCK_TOKEN"
)

func (a *app) lockCommand() *cobra.Command {
	var wait, ttl, grace time.Duration
	cmd := &cobra.Command{
		Use:   "lock KEY -- PROGRAM [ARGUMENT…]",
		Short: "Wait for a lease, run a program under it, release it",
		Long: `Wait for a lease, run a program under it, release it, and end with the program's exit code.

The program finds the fencing token in $` + envToken + `: whatever it changes should refuse a token smaller than one it has
seen. If the lease is lost, the program gets SIGTERM, and SIGKILL after --grace; the exit code is then 4. SIGINT, SIGTERM
and SIGHUP are passed on. Without a terminal, what the program has started gets these signals as well. On Linux the program
is killed if this one is.`,
		Args: args(2, -1),
		RunE: func(cmd *cobra.Command, given []string) error {
			if cmd.ArgsLenAtDash() != 1 {
				return usageError("lock: the key comes first, then --, then the program")
			}
			r := &runner{app: a, key: given[0], program: given[1:], wait: wait, ttl: ttl, grace: grace}
			return r.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.DurationVarP(&wait, "wait", "w", -1, "how long to wait for the lease; 0: not at all (default until it is had)")
	flags.DurationVar(&ttl, "ttl", lock.DefaultTTL, "how long others wait after this machine has died")
	flags.DurationVar(&grace, "grace", 5*time.Second, "from SIGTERM to SIGKILL when the lease is lost")
	return cmd
}

// ownerName is what others read of who holds a lease.
func ownerName() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("%s/%d (pgcoherence)", host, os.Getpid())
}

// runner runs one program under a lease.
type runner struct {
	app              *app
	key              string
	program          []string
	wait, ttl, grace time.Duration
}

func (r *runner) run(ctx context.Context) error {
	if _, err := exec.LookPath(r.program[0]); err != nil {
		return usageError("lock: %v", err)
	}
	return r.app.withRunningBus(ctx, func(ctx context.Context, pool *pgxpool.Pool, b *bus.Postgres) error {
		// The bus' own connections can write where those of the pool may not, and an Acquire that is refused for that
		// would go on trying, as it must during a failover.
		var readOnly bool
		if err := pool.QueryRow(ctx, "SELECT current_setting('transaction_read_only')::bool").Scan(&readOnly); err != nil {
			return err
		}
		if readOnly {
			return exitCode{exitFailed, "lock: transactions are read-only: run pgcoherence doctor"}
		}

		locker, err := lock.New(b, pool, &lock.Config{Schema: r.app.schema, Owner: ownerName(), Logger: r.app.logger(), Options: lock.Options{TTL: r.ttl}})
		if err != nil {
			return err
		}
		running, stop := context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan error, 1)
		go func() { ended <- locker.Run(running) }()
		defer func() {
			stop()
			if err := <-ended; err != nil {
				r.app.note("pgcoherence: renewing leases: %v", err)
			}
		}()
		return r.hold(ctx, locker)
	})
}

// hold acquires the lease and runs the program while it is held.
func (r *runner) hold(ctx context.Context, locker *lock.Locker) error {
	lease, err := r.acquire(ctx, locker)
	if err != nil {
		return err
	}
	defer func() {
		if err := lease.Release(context.WithoutCancel(ctx)); err != nil && !errors.Is(err, lock.ErrLost) && !errors.Is(err, lock.ErrReleased) {
			r.app.note("pgcoherence: release: %v", err)
		}
	}()

	code, err := r.execute(lease)
	if err != nil {
		return err
	}
	if lost := lease.Err(); lost != nil {
		return exitCode{exitLost, lost.Error()}
	}
	if code != 0 {
		return exitCode{code: code}
	}
	return nil
}

func (r *runner) acquire(ctx context.Context, locker *lock.Locker) (*lock.Lease, error) {
	var held *lock.HeldError
	switch {
	case r.wait == 0:
		lease, err := locker.TryAcquire(ctx, r.key)
		if errors.As(err, &held) {
			return nil, exitCode{exitBusy, held.Error()}
		}
		return lease, err
	case r.wait > 0:
		limited, cancel := context.WithTimeout(ctx, r.wait)
		defer cancel()
		lease, err := locker.Acquire(limited, r.key)
		if limited.Err() != nil && ctx.Err() == nil && err != nil {
			return nil, exitCode{exitBusy, fmt.Sprintf("%s was not to be had within %v", r.key, r.wait)}
		}
		return lease, err
	}

	return locker.Acquire(ctx, r.key)
}

// execute runs the program to its end and returns its exit code.
func (r *runner) execute(lease *lock.Lease) (int, error) {
	// At a terminal the program is in this process' group, so ^C reaches it by itself and it may read from there; what is
	// sent to this process alone is passed on. Elsewhere it leads a group of its own, and all of the group gets signals.
	group := !r.app.readsTerminal()
	program := exec.Command(r.program[0], r.program[1:]...) //nolint:gosec // running it is what the command is for
	program.Stdin, program.Stdout, program.Stderr = r.app.in, r.app.out, r.app.errOut
	program.Env = append(os.Environ(), envKey+"="+r.key, envToken+"="+strconv.FormatInt(lease.Token(), 10))
	program.SysProcAttr = processAttributes(group)
	runtime.LockOSThread() // the program is killed when the thread that started it ends
	defer runtime.UnlockOSThread()
	if err := program.Start(); err != nil {
		return 0, err
	}
	send := func(s syscall.Signal) {
		pid := program.Process.Pid
		if group {
			pid = -pid
		}
		_ = syscall.Kill(pid, s) // it may have ended just now
	}

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	ended := make(chan error, 1)
	go func() { ended <- program.Wait() }()

	lost, kill := lease.Done(), (<-chan time.Time)(nil)
	for {
		select {
		case err := <-ended:
			return codeOf(err)
		case s := <-signals:
			if number, ok := s.(syscall.Signal); ok {
				send(number)
			}
		case <-lost:
			lost = nil
			r.app.note("pgcoherence: %v; ending the program", lease.Err())
			send(syscall.SIGTERM)
			kill = time.After(r.grace)
		case <-kill:
			send(syscall.SIGKILL)
		}
	}
}

// codeOf returns an exit code, as a shell does for a program that a signal ended.
func codeOf(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case !errors.As(err, &exit):
		return 0, err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
