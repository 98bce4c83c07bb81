package pgtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const closeTimeout = 30 * time.Second

// Server is a Postgres server. Its methods are safe for concurrent use; those
// that change its state run one at a time.
type Server struct {
	kind    Kind
	from    string // where it came from, for the log
	version int
	base    string // the DSN of its maintenance database
	config  Config

	cluster *cluster                    // nil for the kinds that are not crashable
	release func(context.Context) error // ends a container; nil for other kinds

	closing  sync.Once
	closeErr error
}

// Kind returns the kind of server.
func (s *Server) Kind() Kind { return s.kind }

// Version returns the server's server_version_num, such as 150018.
func (s *Server) Version() int { return s.version }

// DSN returns the address of a database, with a role that may create databases:
// the superuser, unless the kind is dsn. The empty name means the maintenance
// database: postgres, or the database of the configured DSN.
func (s *Server) DSN(database string) string { return withDatabase(s.base, database) }

// Close stops the server and removes everything that Start made. A dsn server
// keeps running. Later calls are no-ops that return the first call's result.
func (s *Server) Close() error {
	s.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()

		switch {
		case s.cluster != nil:
			s.closeErr = s.cluster.close(ctx)
		case s.release != nil:
			s.closeErr = s.release(ctx)
		}

		if s.closeErr != nil {
			s.closeErr = fmt.Errorf("pgtest: close: %w", s.closeErr)
		}
	})
	return s.closeErr
}

// operate runs an operation on a crashable server, one at a time.
func (s *Server) operate(ctx context.Context, name string, operation func(context.Context, *cluster) error) error {
	if s.cluster == nil {
		return fmt.Errorf("%w: %s: %s", ErrUnsupported, s.kind, name)
	}
	if err := s.cluster.enter(ctx); err != nil {
		return err
	}
	defer s.cluster.leave()
	err := operation(ctx, s.cluster)
	if err == nil || errors.Is(err, ErrNotRunning) {
		return err
	}
	return fmt.Errorf("pgtest: %s: %w", name, err)
}
