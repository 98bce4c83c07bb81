package pgtest

import (
	"context"
	"fmt"
	"os"
)

// Runner is what pgtest needs of a *testing.M; it satisfies goleak's interface.
type Runner interface{ Run() int }

// Main returns a Runner that runs m and then Shutdown. If Shutdown fails, it
// prints the error and returns 1:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m).Run()) }
func Main(m Runner) Runner { return mainRunner{m} }

type mainRunner struct{ m Runner }

func (r mainRunner) Run() int {
	code := r.m.Run()
	if err := Shutdown(); err != nil {
		fmt.Fprintf(os.Stderr, "pgtest: shutdown: %v\n", err)
		code = max(code, 1)
	}
	return code
}

// Shutdown stops the server that New started, if any, and drops the template
// databases. Without it a server from binaries still ends with the process, but
// a container stays, and so do templates on a dsn server.
func Shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return process.shutdown(ctx)
}
