package gorillastore

import "errors"

var (
	// ErrConfig is returned by New when a Config field has an invalid value. The text names it.
	ErrConfig = errors.New("gorillastore: invalid configuration")
	// ErrForeign is returned by Save for a session that was not made by a store, or has no name.
	ErrForeign = errors.New("gorillastore: session was not made by a store")
)
