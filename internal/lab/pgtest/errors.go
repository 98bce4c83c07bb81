package pgtest

import "errors"

var (
	// ErrUnavailable is returned by Start when no way led to a Postgres. Its
	// text lists the ways tried, why each failed, and how to get a server.
	ErrUnavailable = errors.New("pgtest: no Postgres available")

	// ErrUnsupported is returned by an operation which the kind of the server
	// does not allow, such as crashing a server that somebody else runs. Its
	// text names the operation and the kind. Ask for Config.Crashable, or use
	// NewServer, to get a server that allows all of them.
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

// errNotConfigured marks a way that nobody asked for: it is listed when nothing
// works, but is not worth a word when something else does.
var errNotConfigured = errors.New("not configured")
