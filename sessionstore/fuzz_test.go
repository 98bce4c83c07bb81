package sessionstore_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// What parses as a token is exactly what formats as one: no two texts stand for the same session.
func FuzzToken(f *testing.F) {
	key := []byte("0123456789abcdef")
	good := sessionstore.FormatToken(bytes.Repeat([]byte{7}, 32))
	for _, seed := range []string{good, good[:42] + "\n", sessionstore.FormatToken(bytes.Repeat([]byte{7}, 32), key), strings.Repeat("_", 43), ""} {
		f.Add(seed)
	}

	f.Fuzz(func(t *testing.T, token string) {
		for _, keys := range [][][]byte{nil, {key}, {[]byte("another key of 16"), key}} {
			secret, err := sessionstore.ParseToken(token, keys...)
			if err != nil {
				if !errors.Is(err, sessionstore.ErrMalformed) {
					t.Fatal(err)
				}
				continue
			}

			signer := keys
			if len(keys) > 1 {
				signer = keys[1:] // whichever has signed it
				if sessionstore.FormatToken(secret, keys[0]) == token {
					signer = keys[:1]
				}
			}

			if keys == nil && len(token) > 43 {
				token = token[:43] // a seal that another pod can check
			}
			if again := sessionstore.FormatToken(secret, signer...); again != token {
				t.Fatalf("%q parses like %q", token, again)
			}
		}
	})
}

// Whatever is in the column, reading it is an answer or ErrUnreadable.
func FuzzEnvelope(f *testing.F) {
	key, id := bytes.Repeat([]byte{3}, 32), uuid.MustParse("018f0000-0000-7000-8000-000000000001")
	f.Add(sessionstore.Pack(nil, id, 1, 1, []byte("{}")), int64(1))
	f.Add(sessionstore.Pack(key, id, 1, 1, []byte("{}")), int64(1))
	f.Add([]byte{2, 0, 0}, int64(0))
	f.Add([]byte{}, int64(0))

	f.Fuzz(func(t *testing.T, data []byte, version int64) {
		for _, k := range [][]byte{nil, key} {
			codec, encoded, err := sessionstore.Unpack(k, data, id, version)
			if err != nil {
				if !errors.Is(err, sessionstore.ErrUnreadable) {
					t.Fatal(err)
				}
				continue
			}

			sealed := sessionstore.Pack(key, id, version, codec, encoded)
			c, e, err := sessionstore.Unpack(key, sealed, id, version)
			if err != nil || c != codec || !bytes.Equal(e, encoded) {
				t.Fatalf("does not come back: %v", err)
			}
			if _, _, err := sessionstore.Unpack(key, sealed, id, version+1); err == nil {
				t.Fatal("opens as another version")
			}
		}
	})
}

// What parses as a login comes back as it was, and is of a user that can be one.
func FuzzLogin(f *testing.F) {
	for _, seed := range []string{"", "1:alice", "0:a", "9223372036854775807:a", "-1:a", "1:", "1", ":a", "1:a\x00b", "1:a:b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var l, again sessionstore.Login
		if err := l.UnmarshalText([]byte(text)); err != nil {
			if !errors.Is(err, sessionstore.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}

		written, err := l.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalText(written); err != nil || again != l {
			t.Fatalf("%q is %q, and does not come back: %v", text, written, err)
		}
	})
}
