package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

// containerTimeout keeps an engine that retries an unreachable registry from
// using up the time that other kinds may need.
const containerTimeout = 90 * time.Second

// reaperOff keeps testcontainers from starting its reaper, which needs another
// image and a connection for the life of the process. A variable that is already
// set is respected. testcontainers reads it only once.
var reaperOff = sync.OnceFunc(func() {
	const variable = "TESTCONTAINERS_RYUK_DISABLED"
	if _, set := os.LookupEnv(variable); !set {
		_ = os.Setenv(variable, "true")
	}
	// By default it describes the engine and each step on stderr.
	tclog.SetDefault(tclog.NewNoopLogger())
})

func startContainer(ctx context.Context, c Config) (*Server, error) {
	reaperOff()
	ctx, cancel := context.WithTimeout(ctx, containerTimeout)
	defer cancel()
	if err := pingEngine(ctx); err != nil {
		return nil, fmt.Errorf("no container engine responds: %w", err)
	}
	container, err := postgres.Run(ctx, c.Image,
		postgres.WithUsername(superuser),
		postgres.WithPassword(c.Password),
		postgres.WithDatabase("postgres"),
		testcontainers.WithCmdArgs(settingArgs(c.Settings)...),
		testcontainers.WithName("pgtest_"+randomHex(6)),
	)
	release := func(ctx context.Context) error {
		if container == nil || container.Container == nil {
			return nil
		}
		// Its data is not needed, so it gets no time for a clean shutdown.
		return container.Terminate(ctx, testcontainers.StopContext(ctx), testcontainers.StopTimeout(0))
	}
	if err == nil {
		var server *Server
		if server, err = awaitContainer(ctx, c, container); err == nil {
			server.release = release
			return server, nil
		}
	}
	// ctx may have ended.
	end, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancelEnd()
	return nil, errors.Join(err, release(end))
}

// pingEngine checks that an engine responds before an image is pulled.
func pingEngine(ctx context.Context) (err error) {
	// Some paths in testcontainers panic when they look for the engine's address.
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

// awaitContainer waits until a login succeeds, and not for a log line or a
// command inside the container: this works with every image, and the temporary
// server that initialises the data, which has no TCP port, is not mistaken for
// the real one.
func awaitContainer(ctx context.Context, c Config, container *postgres.PostgresContainer) (*Server, error) {
	host, err := container.Host(ctx)
	if err != nil {
		return nil, err
	}
	port, err := container.MappedPort(ctx, "5432/tcp")
	if err != nil {
		return nil, err
	}
	hosts := []string{host}
	if host != "localhost" && host != "127.0.0.1" {
		// Inside a container testcontainers uses the bridge's gateway, which
		// is wrong where the engine runs in the same container and publishes
		// ports only through its proxy. The password identifies our server.
		hosts = append(hosts, "127.0.0.1")
	}
	for {
		var loginErr error
		for _, host := range hosts {
			base := makeDSN(host, int(port.Num()), c.Password)
			// A proxy may accept a connection and never respond.
			attempt, cancel := context.WithTimeout(ctx, time.Second)
			_, loginErr = serverVersion(attempt, base)
			cancel()
			if loginErr == nil {
				return &Server{base: base, from: c.Image}, nil
			}
		}
		if !container.IsRunning() {
			return nil, fmt.Errorf("the container ended: %w", loginErr)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return nil, fmt.Errorf("waiting for the container: %w (last: %w)", err, loginErr)
		}
	}
}
