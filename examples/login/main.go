// Command login shows sessions that every pod knows, with real processes on a real Postgres: three pods behind one
// round-robin address, and a small OAuth 2.0 provider. People log in with a password or through the provider, see on which
// devices they are logged in, end one, or all; open pages learn of that at once.
//
//	go run ./examples/login        # stays up, with a page to use in a browser, until Ctrl-C
//	go run ./examples/login -once  # walks through all of it by HTTP and exits: status 0 only if every step held
//	go run ./examples/login -http  # plain HTTP, for browsers that do not like a certificate signed by itself
//
// No request has to go to the pod that served the one before it: the session, and the state, nonce and PKCE verifier of a
// login through the provider, are in package sessionstore. The code to look at:
//
//	pod.go      what a program sets up: a bus, a store, its sessions over HTTP, and what runs them
//	handler.go  the routes, the login with a password, and what is shown for which error
//	sso.go      the login through the provider: it begins on one pod and ends on another
//	devices.go  the list, ending one session or all, and waiting until every pod has confirmed that
//	events.go   a stream of server-sent events that ends with its session, on whatever pod that is ended
//	member.go   when a login begins: before credentials are checked
//	web/        the pages
//
// Cookies are __Host-, Secure, HttpOnly and SameSite=Lax. For that the front speaks HTTPS on localhost, with a certificate
// that is made at the start and signed by itself: a browser warns of it. With -http cookies do without Secure and the
// prefix, which is for trying things out on one's own machine and for nothing else. What a real program needs besides:
// a limit on how often passwords may be tried, and a provider that does not believe whoever presses a button.
//
// A Postgres is found or started as in internal/lab/pgtest. Nothing is left behind, however the program ends. (Only on a
// server of somebody else's a database named pgcoherence_login_… stays if the program is killed outright.)
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
	if config := os.Getenv(childVariable); config != "" {
		os.Exit(childMain(config)) // this process is a pod, or the provider
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// options are the command line.
type options struct {
	once  bool
	plain bool
	log   io.Writer // where the logs of the pods go
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{log: io.Discard}
	verbose := false
	f := flag.NewFlagSet("login", flag.ContinueOnError)
	f.BoolVar(&o.once, "once", false, "walk through all of it and exit: status 0 only if every step held")
	f.BoolVar(&o.plain, "http", false, "plain HTTP on localhost, and cookies that go with it")
	f.BoolVar(&verbose, "v", false, "show the pods' logs on standard error")
	err := demo.ParseFlags(f, args, stderr)
	if verbose {
		o.log = stderr
	}
	return o, err
}

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return demo.BadFlags("login", err, stderr)
	}
	return demo.Play("login", stderr, errSteps, func(ctx context.Context) error { return play(ctx, o, stdout) })
}

// play sets the stage, plays, and clears up in the reverse order.
func play(ctx context.Context, o options, out io.Writer) (err error) {
	db, err := openDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	st, err := setStage(ctx, db, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	st.introduce(out, db)
	if o.once {
		return tell(ctx, st, out)
	}
	st.invite(out)
	<-ctx.Done()
	fmt.Fprintln(out, "\nCleaning up.")
	return ctx.Err()
}
