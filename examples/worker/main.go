// Command worker shows what a lease is for, and what Guard is for, with real processes on a real Postgres: workers own
// the shards of a table of jobs through leases, so that each job is done once, whatever becomes of the workers.
//
//	go run ./examples/worker            # starts three workers for you to kill and to stop, until Ctrl-C
//	go run ./examples/worker -once      # plays a story and exits: status 0 only if all came out as it must
//	go run ./examples/worker -unguarded # as the first, but without Guard
//
// The code to look at is shard.go: [lock.Locker.Do] around the work, and [lock.Lease.Guard] in the transaction that
// writes.
//
// The story starts three workers, kills one with SIGKILL, and stops another with SIGSTOP for longer than its leases
// last, as a paused virtual machine or a long garbage collection would. Others take over. Then it goes on where it stood,
// in the middle of a job, and writes what another has written meanwhile: nothing that it could have asked before
// would have helped, because a process can stop right after asking. With Guard that write is refused, and no job is ever
// written by two owners. Then the same is played without Guard, and there are such jobs.
//
// A Postgres is found or started as in internal/lab/pgtest. Nothing is left behind, however the program ends. (Only on a
// server of others a database named pgcoherence_worker_… stays if the program is killed outright.)
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
)

func main() {
	if config := os.Getenv(workerVariable); config != "" {
		os.Exit(workerMain(config)) // this process is one of the workers
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// options are the command line.
type options struct {
	once      bool
	unguarded bool
	log       io.Writer // where the workers' logs go
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{log: io.Discard}
	verbose := false
	f := flag.NewFlagSet("worker", flag.ContinueOnError)
	f.BoolVar(&o.once, "once", false, "play the story and exit: status 0 only if all came out as it must")
	f.BoolVar(&o.unguarded, "unguarded", false, "without -once: the workers do without Guard")
	f.BoolVar(&verbose, "v", false, "show the workers' logs on standard error")

	err := demo.ParseFlags(f, args, stderr)
	if err == nil && o.once && o.unguarded {
		err = errors.New("-unguarded is for a run without -once, whose story has both")
	}
	if verbose {
		o.log = stderr
	}

	return o, err
}

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return demo.BadFlags("worker", err, stderr)
	}
	return demo.Play("worker", stderr, errChecks, func(ctx context.Context) error { return play(ctx, o, stdout) })
}

// play opens the database, plays, and clears up.
func play(ctx context.Context, o options, out io.Writer) (err error) {
	if !demo.CanFreeze {
		return errors.New("this needs SIGSTOP, and so a Unix")
	}

	db, err := openDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	fmt.Fprintf(out, "%d workers, %d shards of a table of jobs, one Postgres %s (way: %s)\n",
		len(names), shards, db.Version(), db.Server.Kind())

	if !o.once {
		return stayUp(ctx, db, o, out)
	}

	return tell(ctx, db, o, out)
}
