package redistier

import (
	"errors"
	"fmt"

	"github.com/pgcoherence/pgcoherence/cache"
)

// Errors of New, FromClient and FromEnv.
var (
	// ErrConfig: a setting has a value that cannot work; the text names it, and never shows a URL or a password.
	ErrConfig = errors.New("redistier: invalid configuration")
	// ErrNoURL: there is no URL. Of FromEnv it says that the variable is not set: go on without a tier.
	ErrNoURL = errors.New("redistier: no URL")
)

// Errors of Get, Set, Delete and Ping. Whatever Redis itself answers comes back as it is: READONLY, LOADING,
// CLUSTERDOWN, WRONGTYPE, OOM, NOAUTH.
var (
	// ErrClosed: Close was called.
	ErrClosed = errors.New("redistier: closed")
	// ErrUnavailable: there is no connection, and the next attempt is not due yet. The text says why the last one ended.
	ErrUnavailable = errors.New("redistier: no connection")
	// ErrBusy: as many commands as a connection holds wait for their answers.
	ErrBusy = errors.New("redistier: too many commands under way")
	// ErrProtocol: what came back is not what a Redis would say to the command. The connection is given up if its
	// framing is broken.
	ErrProtocol = errors.New("redistier: malformed answer")
	// ErrTooLarge: the value is longer than MaxValueSize. Nothing was sent. It is cache.ErrTierRefuses.
	ErrTooLarge = fmt.Errorf("redistier: value is too large (%w)", cache.ErrTierRefuses)
	// ErrTTL: the time to live is not positive. Nothing was sent. It is cache.ErrTierRefuses.
	ErrTTL = fmt.Errorf("redistier: time to live is not positive (%w)", cache.ErrTierRefuses)
)
