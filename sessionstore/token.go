package sessionstore

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
)

// A token is 256 random bits in base64url; with seals configured a dot and 128 bits of HMAC-SHA256 follow. It is shown
// once, to the client, and is nowhere kept: the row has its SHA-256, in two halves. By the first the row is found, and
// it is the key in caches and notifications; the second proves that the caller knows more than those who listen.
const (
	tokenBytes = 32
	tokenLen   = 43 // base64url of 32 bytes without padding
	sealBytes  = 16
	sealLen    = 22
)

var encoding = base64.RawURLEncoding.Strict()

// secret is the random part of a token. It formats as nothing, so that it cannot end in a log.
type secret [tokenBytes]byte

func (secret) String() string   { return "(secret)" }
func (secret) GoString() string { return "(secret)" }

// Format keeps every verb from printing the bytes.
func (secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("(secret)")) }

// key is the first half of a token's hash: what rows, caches and notifications know a session by.
type key [16]byte

func (k key) String() string { return hex.EncodeToString(k[:]) }

func parseKey(text string) (k key, err error) {
	if len(text) != 2*len(k) {
		return k, fmt.Errorf("sessionstore: key of %d characters", len(text))
	}
	_, err = hex.Decode(k[:], []byte(text))
	return k, err
}

// proof is the second half.
type proof [16]byte

func (p proof) equal(other []byte) bool { return subtle.ConstantTimeCompare(p[:], other) == 1 }

func newSecret() secret {
	var s secret
	_, _ = rand.Read(s[:]) // it never fails: it ends the program instead
	return s
}

func (s *secret) hash() (key, proof) {
	sum := sha256.Sum256(s[:])
	return key(sum[:16]), proof(sum[16:])
}

// sealer makes and checks tokens. The first key signs, all are accepted, and those of others as well.
type sealer struct {
	keys     [][]byte // none: tokens are made without a seal
	others   [][]byte // accepted, before they sign or after
	unsealed bool     // tokens without a seal are accepted as well
}

// format makes the token for the client.
func (l *sealer) format(s *secret) string {
	token := encoding.EncodeToString(s[:])
	if len(l.keys) == 0 {
		return token
	}
	sum := seal(l.keys[0], s)
	return token + "." + encoding.EncodeToString(sum[:])
}

// parse checks the form, without the seal: that costs more than finding a session in memory, and what is found there
// was a real token's. sealed is the rest of the text, for check.
func (l *sealer) parse(token string) (s secret, sealed string, err error) {
	switch {
	case len(token) == tokenLen && (len(l.keys) == 0 || l.unsealed):
	case len(token) == tokenLen+1+sealLen && token[tokenLen] == '.':
		// Without a key this pod cannot check it, and need not: the row proves the token. Pods that have keys already may
		// have made it.
		sealed = token[tokenLen+1:]
	default:
		return s, "", ErrMalformed
	}

	// Decode skips line breaks, which then leave too few bytes.
	if n, err := encoding.Decode(s[:], []byte(token[:tokenLen])); err != nil || n != tokenBytes {
		return secret{}, "", ErrMalformed
	}

	return s, sealed, nil
}

// check checks the seal that parse has found.
func (l *sealer) check(s *secret, sealed string) error {
	if sealed == "" {
		return nil // parse has decided that none is needed
	}
	var given [sealBytes]byte
	if n, err := encoding.Decode(given[:], []byte(sealed)); err != nil || n != sealBytes {
		return ErrMalformed
	}

	if len(l.keys) == 0 && len(l.others) == 0 {
		return nil
	}
	for _, keys := range [][][]byte{l.keys, l.others} {
		for _, k := range keys {
			want := seal(k, s)
			if hmac.Equal(given[:], want[:]) {
				return nil
			}
		}
	}

	return ErrMalformed
}

func seal(k []byte, s *secret) (sum [sealBytes]byte) {
	h := hmac.New(sha256.New, k)
	h.Write([]byte("pgcoherence session token"))
	own := *s // what an interface takes goes to the heap; the caller's need not
	h.Write(own[:])
	return [sealBytes]byte(h.Sum(nil)[:sealBytes])
}
