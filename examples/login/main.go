// Command login shows sessions that every pod knows: three pods on one Postgres, behind one address that sends each request
// to the next of them. People log in, see on which devices they are logged in, end one session, or all; open pages notice
// at once, on whatever pod they are.
//
//	go run ./examples/login     # until Ctrl-C; -v shows the pods' logs
//	go test ./examples/login    # walks through all of it by HTTP
//
// The pods are parts of one process, and share nothing but the database: each has a bus, a store and a pool of its own. The
// code to look at:
//
//	pod.go      what a program sets up: a bus, a store, and its sessions over HTTP
//	handler.go  the routes: login, logout, the list of devices, and a stream that ends with its session
//	member.go   the password check, and when a login begins: before it
//	page.go     pages for people, error pages among them; web/ has the templates
//
// The address is plain HTTP on localhost, and Config.Insecure goes with it; behind HTTPS it is left out. What a real
// program needs besides is a limit on how often passwords may be tried. Logins through an identity provider are in package
// sessionstore/oidclogin.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	log, verbose := demo.Quiet(), false
	f := flag.NewFlagSet("login", flag.ContinueOnError)
	f.BoolVar(&verbose, "v", false, "show the pods' logs on standard error")
	if err := demo.ParseFlags(f, args, stderr); err != nil {
		return demo.BadFlags("login", err, stderr)
	}
	if verbose {
		log = slog.New(slog.NewTextHandler(stderr, nil))
	}
	return demo.Play("login", stderr, nil, func(ctx context.Context) error { return play(ctx, log, stdout) })
}

//go:embed user.sql
var userSQL string

// play starts everything, shows it, and clears up in the reverse order.
func play(ctx context.Context, log *slog.Logger, out io.Writer) (err error) {
	server, err := pgtest.Start(ctx, &pgtest.Config{Logger: demo.Quiet()})
	if err != nil {
		return err
	}
	db, err := demo.OpenDatabase(ctx, server, "login", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	site, err := openSite(ctx, db, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.close()) }()

	fmt.Fprintf(out, "%d pods on one Postgres %s (way: %s), behind %s\n", len(site.pods), db.Version(), server.Kind(), site.url)
	fmt.Fprint(out, "\nOpen it in a browser, and in another one. Log in as\n\n")
	for name, password := range site.passwords {
		fmt.Fprintf(out, "   %-8s password %s\n", name, password)
	}
	fmt.Fprint(out, "\nThen end one browser's session from the other, and watch its page. Everything stays up until Ctrl-C.\n")
	<-ctx.Done()
	return ctx.Err()
}
