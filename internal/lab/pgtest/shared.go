package pgtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

// process is the state that all tests of this process share. It is package-level
// because a test binary has no other place that outlives its tests.
var process = newShared()

// shared is a server with the templates made on it.
type shared struct {
	// turn contains a token while no work is running. Work is serialized: two
	// copies of one template at once conflict, and there is one connection.
	turn chan struct{}

	server    *Server
	startErr  error // of the only attempt: a second one would make every test wait
	admin     *pgx.Conn
	prefix    string // distinguishes processes that use the same server
	databases int
	templates map[string]*madeTemplate
}

type madeTemplate struct {
	database string
	err      error
}

func newShared() *shared {
	s := &shared{turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s
}

func (s *shared) enter(ctx context.Context) error {
	select {
	case <-s.turn:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("pgtest: waiting for other tests' databases: %w", context.Cause(ctx))
	}
}

func (s *shared) leave() { s.turn <- struct{}{} }

// create makes a database as a copy of the template's.
func (s *shared) create(ctx context.Context, template *Template) (*DB, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()

	if s.server == nil && s.startErr == nil {
		if s.server, s.startErr = Start(ctx, nil); s.startErr == nil {
			s.prefix = "pgtest_" + randomHex(4)
			s.templates = make(map[string]*madeTemplate)
		}
	}

	if s.startErr != nil {
		return nil, s.startErr
	}

	// No client can connect to template0, so copying it never waits.
	source := "template0"
	if template != nil {
		made := s.templates[template.Name]
		if made == nil {
			made = &madeTemplate{}
			made.database, made.err = s.build(ctx, template)
			s.templates[template.Name] = made
		}

		if made.err != nil {
			return nil, fmt.Errorf("pgtest: template %q: %w", template.Name, made.err)
		}

		source = made.database
	}

	name, err := s.clone(ctx, source)
	if err != nil {
		return nil, err
	}

	return &DB{Name: name, DSN: s.server.DSN(name), Server: s.server}, nil
}

// build fills a new database and closes it to all sessions.
func (s *shared) build(ctx context.Context, template *Template) (string, error) {
	name, err := s.clone(ctx, "template0")
	if err != nil {
		return "", err
	}

	if template.Make != nil {
		if err := template.Make(ctx, s.server.DSN(name)); err != nil {
			return "", errors.Join(err, s.exec(ctx, "drop database "+quoteName(name)+" with (force)"))
		}
	}

	// A database with an open session cannot be copied, and a pool's last
	// connection may still be closing.
	if err := s.exec(ctx, "alter database "+quoteName(name)+" allow_connections false"); err != nil {
		return "", err
	}

	return name, s.exec(ctx, "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and backend_type = 'client backend'", name)
}

// clone makes a new database from another.
func (s *shared) clone(ctx context.Context, source string) (string, error) {
	s.databases++
	name := s.prefix + "_" + strconv.Itoa(s.databases)
	for {
		err := s.exec(ctx, "create database "+quoteName(name)+" template "+quoteName(source))
		switch {
		case err == nil:
			return name, nil
		case pgerr.IsDenied(err):
			return "", fmt.Errorf("pgtest: the role of %s cannot create databases: grant it CREATEDB: %w", EnvDatabaseURL, err)
		case pgerr.IsInUse(err): // a connection that is being terminated, an autovacuum
			if pauseErr := pause(ctx, 20*time.Millisecond); pauseErr == nil {
				continue
			}
		}

		return "", fmt.Errorf("pgtest: create database: %w", err)
	}
}

// drop removes a database and the sessions in it.
func (s *shared) drop(ctx context.Context, name string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if s.server == nil {
		return nil // shut down meanwhile
	}
	if err := s.exec(ctx, "drop database if exists "+quoteName(name)+" with (force)"); err != nil {
		return fmt.Errorf("pgtest: drop database: %w", err)
	}
	return nil
}

// exec runs one statement outside of a transaction, on a connection that it
// keeps: a login costs as much as copying a small database.
func (s *shared) exec(ctx context.Context, sql string, args ...any) error {
	if s.admin == nil || s.admin.IsClosed() {
		conn, err := pgx.Connect(ctx, s.server.DSN(""))
		if err != nil {
			return err
		}
		s.admin = conn
	}
	_, err := s.admin.Exec(ctx, sql, args...)
	return err
}

// shutdown drops the templates if the server outlives this process, and stops the server otherwise.
func (s *shared) shutdown(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()

	var errs []error
	if s.server != nil {
		if s.server.Kind() == KindDSN {
			for _, made := range s.templates {
				if made.err == nil {
					errs = append(errs, s.exec(ctx, "drop database if exists "+quoteName(made.database)+" with (force)"))
				}
			}
		}

		if s.admin != nil {
			_ = s.admin.Close(ctx)
		}

		errs = append(errs, s.server.Close())
	}

	s.server, s.startErr, s.admin, s.templates = nil, nil, nil, nil
	return errors.Join(errs...)
}

func quoteName(name string) string { return pgx.Identifier{name}.Sanitize() }
