package pgtest

import "errors"

var (
	// ErrUnavailable is returned by Start when no kind of server works. Its text
	// lists the kinds tried, why each failed, and how to get a server.
	ErrUnavailable = errors.New("pgtest: no Postgres available")

	// ErrUnsupported is returned by an operation that the kind of server does
	// not allow, such as crashing a dsn server. Its text names the operation and
	// the kind. Set Config.Crashable, or use NewServer, for a server that allows
	// all operations.
	ErrUnsupported = errors.New("pgtest: unsupported by this kind of server")

	// ErrClosed is returned by an operation on a server after its Close.
	ErrClosed = errors.New("pgtest: server is closed")

	// ErrNotRunning is returned by an operation that needs a running server
	// after Stop or Crash. Call Start first.
	ErrNotRunning = errors.New("pgtest: server is not running")

	// ErrNoBouncer is returned by FindBouncer and StartBouncer when the program
	// is not installed. Install it, or do without.
	ErrNoBouncer = errors.New("pgtest: no PgBouncer")
)

// errNotConfigured marks a kind that is not configured: it is listed if no other
// kind works, and not mentioned if one does.
var errNotConfigured = errors.New("not configured")
