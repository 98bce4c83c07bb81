package scsstore

import "errors"

var (
	// ErrConfig: New was given what cannot work; the text names it.
	ErrConfig = errors.New("scsstore: invalid configuration")
	// ErrIterated: a session that Iterate has reached was changed. Only who holds its token can do that; destroying it
	// works.
	ErrIterated = errors.New("scsstore: a session reached by Iterate can be destroyed and not changed")
	// ErrEncrypted: Iterate was called, and the data of sessions is encrypted with keys that only their tokens lead to.
	ErrEncrypted = errors.New("scsstore: encrypted sessions cannot be iterated over")
	// ErrUnhashed: the manager says that it hashes tokens, and this one is no hash: somebody else has called the store.
	ErrUnhashed = errors.New("scsstore: token is not hashed, though the manager hashes")
	// ErrFrame: the bytes begin as the manager's codec of New writes them, and go on otherwise.
	ErrFrame = errors.New("scsstore: bytes are not from the manager's codec")
)
