package pgtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

const howToGetOne = "to get one, set " + EnvDatabaseURL + " to a server's address, or install the server's binaries " +
	"(such as Debian's package postgresql) or set " + EnvBinaries + " to their directory, or start a container engine"

// starters are the functions that start a server of each kind.
var starters = map[Kind]func(context.Context, Config) (*Server, error){
	KindDSN:       startDSN,
	KindBinaries:  startBinaries,
	KindContainer: startContainer,
	KindDownload:  startDownload,
}

// Start returns a Postgres of the first kind that works. A nil cfg uses the
// defaults. The caller owns the server and calls Close. The context bounds the
// start only. Start returns ErrUnavailable when no kind works, and
// ErrUnsupported when a forced kind contradicts cfg.Crashable.
func Start(ctx context.Context, cfg *Config) (*Server, error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}

	ways := kinds
	if c.Kind != "" {
		if c.Crashable && !c.Kind.crashable() {
			return nil, fmt.Errorf("%w: %s: a crashable server is required", ErrUnsupported, c.Kind)
		}
		ways = []Kind{c.Kind}
	}

	var failed, passed []error
	for _, kind := range ways {
		if c.Crashable && !kind.crashable() {
			continue
		}

		server, err := startWithin(ctx, c, kind)
		if err == nil {
			attrs := []any{"kind", string(kind), "from", server.from, "version", server.version}
			if len(passed) > 0 {
				attrs = append(attrs, "passed_over", oneLine(errors.Join(passed...)))
			}
			c.Logger.InfoContext(ctx, "pgtest: using postgres", attrs...)
			return server, nil
		}

		err = fmt.Errorf("%s: %w", kind, err)
		failed = append(failed, err)

		if !errors.Is(err, errNotConfigured) {
			passed = append(passed, err)
		}
		if ctx.Err() != nil {
			break
		}
	}

	return nil, fmt.Errorf("%w\n%w\n%s", ErrUnavailable, errors.Join(failed...), howToGetOne)
}

func startWithin(ctx context.Context, c Config, kind Kind) (*Server, error) {
	ctx, cancel := withTimeout(ctx, c.StartTimeout)
	defer cancel()
	server, err := starters[kind](ctx, c)
	if err != nil {
		return nil, err
	}
	server.kind = kind
	server.config = c
	if server.version, err = serverVersion(ctx, server.DSN("")); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return server, nil
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
