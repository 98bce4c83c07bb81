package sessionstore

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
)

const saltBytes = 32

func newSalt() []byte {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt)
	return salt
}

// successor is the token that follows one in a rotation with a grace. Both the old token and the salt in the row are
// needed for it, so the database alone does not give it away; and a client that presents the old token once more, because the
// response with the new one was lost or is still under way, is given the same.
func (s *secret) successor(salt []byte) secret {
	own := *s // what an interface takes goes to the heap; the caller's need not
	h := hmac.New(sha256.New, own[:])
	h.Write([]byte("pgcoherence session rotation"))
	h.Write(salt)
	return secret(h.Sum(nil))
}

// successor is the session's current token for the holder of the one before; ok is false if it was not derived from it.
func (r *row[T]) successor(p *present) (next present, ok bool) {
	if r.current || len(r.nextSalt) != saltBytes {
		return present{}, false
	}
	next.secret = p.secret.successor(r.nextSalt)
	next.key, next.proof = next.secret.hash()
	return next, next.key == r.key && next.proof.equal(r.currentProof)
}
