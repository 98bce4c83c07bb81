package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// TB is what redistest needs of a testing.TB.
type TB = pgtest.TB

// New starts a server for one test. Without redis-server the test is skipped; under CI=true it fails.
func New(t TB, cfg *Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), cfg)
	if err != nil {
		giveUp(t, err)
		return nil
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return s
}

// Shared is a server for all tests of a binary, started by the first test that needs it. Tests use different prefixes of
// keys. The zero value is ready to use.
type Shared struct {
	mu     sync.Mutex
	server *Server
}

// Server returns the shared server. The test must not stop or reconfigure it.
func (s *Shared) Server(t TB) *Server {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		server, err := Start(context.WithoutCancel(t.Context()), nil)
		if err != nil {
			giveUp(t, err)
			return nil
		}
		s.server = server
	}
	return s.server
}

// Runner is what Main needs of a *testing.M.
type Runner interface{ Run() int }

// Main returns a Runner that runs m and then ends the server:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Main(m)) }
func (s *Shared) Main(m Runner) Runner { return sharedRunner{s, m} }

type sharedRunner struct {
	shared *Shared
	m      Runner
}

func (r sharedRunner) Run() int {
	code := r.m.Run()
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	if r.shared.server != nil {
		if err := r.shared.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	return code
}

// giveUp ends a test that got no server.
func giveUp(t TB, err error) {
	t.Helper()
	if errors.Is(err, ErrUnavailable) {
		pgtest.Missing(t, "%v", err)
		return
	}
	t.Fatalf("%v", err)
}
