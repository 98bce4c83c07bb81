package scsstore

import "errors"

var (
	// ErrConfig is returned by New for an invalid argument or Config field. The text names it.
	ErrConfig = errors.New("scsstore: invalid configuration")
	// ErrIterated is returned for a change of a session in Iterate. A change needs the session's token; destroying it
	// works.
	ErrIterated = errors.New("scsstore: a session reached by Iterate can be destroyed and not changed")
	// ErrEncrypted is returned by Iterate if sessions are encrypted, with keys that only their tokens contain.
	ErrEncrypted = errors.New("scsstore: encrypted sessions cannot be iterated over")
	// ErrUnhashed is returned if the manager hashes tokens and this one is not a hash, because other code than the
	// manager has called the store.
	ErrUnhashed = errors.New("scsstore: token is not hashed, though the manager hashes")
	// ErrFrame is returned for bytes that begin like those of the manager's codec, and then are invalid.
	ErrFrame = errors.New("scsstore: bytes are not from the manager's codec")
)
