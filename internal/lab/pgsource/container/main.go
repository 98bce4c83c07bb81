// Command container runs a Postgres container for as long as its standard input
// is open. It writes one line of JSON once the container has started:
//
//	{"hosts": ["localhost"], "port": 49153}
//
// The server may not accept logins yet. The password arrives in the environment
// variable PGPASSWORD; arguments are settings of the server, as "name=value".
// When its input ends, or the container does, the program removes the container
// and ends.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

// endTimeout bounds the removal of a container.
const endTimeout = 20 * time.Second

// place is where the container's server is reached.
type place struct {
	Hosts []string `json:"hosts"`
	Port  int      `json:"port"`
}

func main() {
	image := flag.String("image", "", "the image of the container")
	name := flag.String("name", "", "the name of the container")
	user := flag.String("user", "postgres", "the name of the superuser")
	flag.Parse()

	quiet()

	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()

	err := run(ctx, *image, *name, *user, flag.Args())
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// quiet keeps testcontainers from starting its reaper, which needs another image,
// and from describing the engine and each step on stderr. A value of the variable
// that is set already stays.
func quiet() {
	const variable = "TESTCONTAINERS_RYUK_DISABLED"
	if _, set := os.LookupEnv(variable); !set {
		_ = os.Setenv(variable, "true")
	}
	tclog.SetDefault(tclog.NewNoopLogger())
}

func run(ctx context.Context, image, name, user string, settings []string) (err error) {
	if err := checkEngine(ctx); err != nil {
		return fmt.Errorf("no container engine is reachable: %w", err)
	}

	arguments := make([]string, 0, 2*len(settings))
	for _, setting := range settings {
		arguments = append(arguments, "-c", setting)
	}
	container, err := postgres.Run(ctx, image,
		postgres.WithUsername(user),
		postgres.WithPassword(os.Getenv("PGPASSWORD")),
		postgres.WithDatabase("postgres"),
		testcontainers.WithCmdArgs(arguments...),
		testcontainers.WithName(name),
	)

	// Run returns a container with some errors, too. Its data is worthless: no time
	// for a shutdown.
	defer func() {
		if container == nil || container.Container == nil {
			return
		}
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		err = errors.Join(err, container.Terminate(end, testcontainers.StopContext(end), testcontainers.StopTimeout(0)))
	}()
	if err != nil {
		return err
	}

	if err := announce(ctx, container); err != nil {
		return err
	}
	return watch(ctx, container)
}

// checkEngine asks for the engine before anything is pulled.
func checkEngine(ctx context.Context) (err error) {
	// The search for the engine's address panics in some of testcontainers' paths.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()

	provider, err := testcontainers.NewDockerProvider(testcontainers.WithLogger(tclog.NewNoopLogger()))
	if err != nil {
		return err
	}
	return errors.Join(provider.Health(ctx), provider.Close())
}

// announce writes where the server is reached.
func announce(ctx context.Context, container *postgres.PostgresContainer) error {
	host, err := container.Host(ctx)
	if err != nil {
		return err
	}
	port, err := container.MappedPort(ctx, "5432/tcp")
	if err != nil {
		return err
	}

	at := place{Hosts: []string{host}, Port: int(port.Num())}
	if host != "localhost" && host != "127.0.0.1" {
		// Inside a container testcontainers takes the bridge's gateway, which is
		// wrong where the engine runs in the same container and publishes ports by
		// its proxy only.
		at.Hosts = append(at.Hosts, "127.0.0.1")
	}
	return json.NewEncoder(os.Stdout).Encode(at)
}

// watch returns nil when ctx ends, and an error when the container does first.
func watch(ctx context.Context, container *postgres.PostgresContainer) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			state, err := container.State(ctx)
			if ctx.Err() == nil && err == nil && !state.Running {
				return fmt.Errorf("the container ended with exit code %d: %s", state.ExitCode, state.Error)
			}
		}
	}
}
