package gorillastore

import "errors"

var (
	// ErrConfig: a Config field has a value that cannot work; the text names it.
	ErrConfig = errors.New("gorillastore: invalid configuration")
	// ErrForeign: a session was saved that is no store's, or has no name.
	ErrForeign = errors.New("gorillastore: session was not made by a store")
)
