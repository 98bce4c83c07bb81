package redistier

import (
	"errors"
	"fmt"

	"github.com/pgcoherence/pgcoherence/cache"
)

// Errors of [New], [FromClient], [FromEnv] and [ConfigFromEnv].
var (
	// ErrConfig is returned when a setting has an invalid value. The text names it, and never contains a URL or a
	// password.
	ErrConfig = errors.New("redistier: invalid configuration")
	// ErrNoURL is returned when there is no URL. From FromEnv it means that the variable is not set: continue without
	// a tier.
	ErrNoURL = errors.New("redistier: no URL")
)

// Errors of Get, Set, Delete and Ping. Error replies of Redis itself are returned unchanged: READONLY, LOADING,
// CLUSTERDOWN, WRONGTYPE, OOM, NOAUTH.
var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("redistier: closed")
	// ErrUnavailable is returned when there is no connection, and the next attempt is not due yet. The text says why
	// the last one ended.
	ErrUnavailable = errors.New("redistier: no connection")
	// ErrBusy is returned when too many commands already wait for replies on a connection.
	ErrBusy = errors.New("redistier: too many commands under way")
	// ErrProtocol is returned when the reply is not one that Redis can send to the command. If its framing is broken,
	// the connection is closed.
	ErrProtocol = errors.New("redistier: malformed reply")
	// ErrTooLarge is returned when the value is longer than MaxValueSize. Nothing was sent. It wraps
	// cache.ErrTierRefuses.
	ErrTooLarge = fmt.Errorf("redistier: value is too large (%w)", cache.ErrTierRefuses)
	// ErrTTL is returned when the time to live is not positive. Nothing was sent. It wraps cache.ErrTierRefuses.
	ErrTTL = fmt.Errorf("redistier: time to live is not positive (%w)", cache.ErrTierRefuses)
)
