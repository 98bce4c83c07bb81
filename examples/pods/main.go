// Command pods shows the bus at work, with real processes on a real Postgres. It finds or starts a Postgres, starts three
// pods as separate processes behind one round-robin address, and plays a story:
//
//	go run ./examples/pods            # plays it, then stays up for you to try with curl
//	go run ./examples/pods -once      # exits after it: status 0 only if every check held
//	go run ./examples/pods -pods 5    # with five pods
//
// Each pod keeps accounts in a cache (see cache.go) that the bus keeps coherent. The chapters: a write on one pod; a writer
// in SQL without this library; a pod whose listening connection is killed repeatedly; a pod killed between commit and
// announcement; a pod frozen for longer than it may trust its cache; the database crashed, first for a moment, then until no
// pod trusts its cache any more.
//
// Meanwhile readers read every pod and the round-robin address, and an oracle (oracle.go) that knows when each version was
// committed checks every read. A read is stale if the version that it returned had been superseded before the read was sent.
// Staleness beyond the bound (bus.DefaultStaleAfter and measuringSlack) is a violation. After each chapter, when nothing is
// written any more, every pod has to be in sync and serve the last committed version of every account. A pod that does not
// has lost an event.
//
// A pod offers:
//
//	GET  /accounts/{id}            the account: from the cache if the bus is fresh, else from the database
//	POST /accounts/{id}?amount=5   a deposit (default 1): UPDATE and invalidation in one transaction
//	POST /accounts/{id}?die=1      the same, but the pod kills itself after the commit, before the announcement
//	GET  /stats, /status           the state of its bus and its cache; /status also lists all pods
//	GET  /_pgcoherence/            the live page of package status, with health checks and metrics; needs a token
//
// The server is found as in internal/lab/pgtest, but one that may be crashed is preferred: PGCOHERENCE_POSTGRES=dsn forces
// that of PGCOHERENCE_DATABASE_URL. On other servers the crashes are left out, and the output says so. Nothing remains,
// however the program ends: pods end when their standard input does, and the server has a watchdog. (Only on a server that
// ran before, a database named pgcoherence_pods_… remains if the program is killed by SIGKILL.)
package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
)

func main() {
	if config := os.Getenv(podVariable); config != "" {
		os.Exit(podMain(config)) // this process is one of the pods
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return demo.BadFlags("pods", err, stderr)
	}
	o.podLog = io.Discard
	if o.verbose {
		o.podLog = stderr
	}
	return demo.Play("pods", stderr, errChecks, func(ctx context.Context) error { return play(ctx, o, stdout) })
}

// play starts everything, plays the story, and stops everything in reverse order.
func play(ctx context.Context, o options, out io.Writer) (err error) {
	db, err := openDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	pods := newFleet(o.pods, db.DSN, o.podLog)
	defer pods.stop()
	if err := pods.startAll(ctx); err != nil {
		return err
	}
	front, err := startFront(pods)
	if err != nil {
		return err
	}
	defer front.close()

	s := newStory(out, db, pods, front)
	defer s.client.close()
	verdict := s.play(ctx)
	if verdict != nil && !errors.Is(verdict, errChecks) {
		return verdict
	}
	if !o.once {
		return errors.Join(verdict, s.stayUp(ctx))
	}
	return verdict
}
