// Command pgcoherence looks after a database that pgcoherence uses: it migrates the schema, finds out what is wrong,
// shows pods, events, sessions and leases, and runs a program under a lock.
//
// Every command finds the database the same way: --dsn, else PGCOHERENCE_DATABASE_URL, else what libpq's own variables
// and service file say. With --json a command writes JSON to its standard output, and nothing else. Exit codes:
//
//	0  done
//	1  it did not work; the message says why
//	2  the command line makes no sense
//	3  it worked, and what was found is bad: doctor found a failure, a confirmation did not come, a watch is broken
//	4  lock: the lease was lost while the program ran
//	5  lock: the lease was not to be had within --wait
//	130  interrupted
//
// lock passes on the exit code of the program that it ran.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

func main() { os.Exit(run(os.Args[1:])) }

// run executes one command line.
func run(args []string) int {
	// The lock command passes signals on to its program, and so handles them itself.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// What does not end by its context can still be interrupted: the second signal ends the program.
	context.AfterFunc(ctx, stop)
	return execute(ctx, args, os.Stdin, os.Stdout, os.Stderr)
}

func execute(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot(&app{in: in, out: out, errOut: errOut})
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)

	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		if code.message != "" {
			fmt.Fprintln(errOut, "pgcoherence: "+code.message)
		}
		return code.code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(errOut, "pgcoherence: interrupted")
		return exitInterrupted
	}
	text := withoutSecrets(err)
	switch {
	case errors.Is(err, bus.ErrSchema), errors.Is(err, lock.ErrSchema), errors.Is(err, sessionstore.ErrSchema):
		text += "; run pgcoherence migrate"
	case refusesWrites(err):
		text += "; the server is a standby, or set to read only: run pgcoherence doctor"
	}
	fmt.Fprintln(errOut, "pgcoherence: "+text)
	if strings.HasPrefix(err.Error(), "unknown command") { // cobra has no type for it
		return exitUsage
	}
	return exitFailed
}

// refusesWrites reports whether an error comes of a server that takes no writes. A standby cannot even read the log, which
// is an unlogged table.
func refusesWrites(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return errors.Is(err, bus.ErrNotPrimary) || strings.Contains(err.Error(), bus.ErrNotPrimary.Error())
	}
	return pgErr.Code == "25006" || pgErr.Code == "0A000" && strings.Contains(pgErr.Message, "recovery")
}

// The exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
	exitBad    = 3
	exitLost   = 4
	exitBusy   = 5

	exitInterrupted = 130 // as of a program that SIGINT ended
)

// exitCode ends the program with a code of its own.
type exitCode struct {
	code    int
	message string // empty: everything has been said
}

func (e exitCode) Error() string { return e.message }

func usageError(format string, args ...any) error {
	return exitCode{exitUsage, fmt.Sprintf(format, args...)}
}
